//! Messages for a room go where it has members, if the cluster routes by interest.

use std::time::Duration;

use crate::{Cluster, Faults, Fleet};

/// How many messages a node gets while `emits` are sent to the room from the first node, or none if that is not known.
async fn counted<C: Cluster>(fleet: &mut Fleet<C>, at: usize, room: &str, emits: u64) -> Option<u64> {
    let delivered = |fleet: &Fleet<C>| fleet.faults().and_then(|faults: &dyn Faults| faults.delivered(fleet.name(at)));
    let before = delivered(fleet)?;
    for number in 0..emits {
        fleet.server(0).to(room).emit("e", number);
    }
    // Until they are there.
    tokio::time::sleep(Duration::from_millis(300)).await;
    Some(delivered(fleet)?.saturating_sub(before))
}

/// Not even the message.
pub async fn who_has_no_member_gets_nothing<C: Cluster>() {
    let mut fleet = Fleet::<C>::of(3).await;
    fleet.socket(1).join("r").unwrap();
    fleet.drain().await;
    let Some(idle) = counted(&mut fleet, 2, "r", 50).await else { return };
    // A heartbeat may be among them.
    assert!(idle <= 2, "{idle}");
    assert_eq!(fleet.drain_at_least(&[0, 50, 0]).await.iter().map(Vec::len).collect::<Vec<_>>(), [0, 50, 0]);
}

/// From the first that joins to the last that leaves, one that is disconnected included.
pub async fn interest_follows_the_members<C: Cluster>() {
    let mut fleet = Fleet::<C>::of(2).await;
    let mut second = fleet.client(1).await;
    let sockets = fleet.server(1).main_namespace().sockets().clone();
    fleet.socket(1).join("r").unwrap();
    sockets.socket(&second.id).unwrap().join("r").unwrap();
    fleet.socket(1).leave("r");
    fleet.drain().await;
    let Some(one_left) = counted(&mut fleet, 1, "r", 50).await else { return };
    assert!(one_left >= 50, "{one_left}");
    assert_eq!(second.drain().await.len(), 50);
    second.socket.send("41").await;
    fleet.drain().await;
    let none_left = counted(&mut fleet, 1, "r", 50).await.unwrap();
    assert!(none_left <= 2, "{none_left}");
    fleet.socket(1).join("r").unwrap();
    fleet.drain().await;
    fleet.server(0).to("r").emit("e", "back");
    assert_eq!(fleet.drain_at_least(&[0, 1]).await[1], ["42[\"e\",\"back\"]"]);
}

/// Two threads that join and leave at once do not confuse it.
pub async fn interest_survives_races<C: Cluster>() {
    let mut fleet = Fleet::<C>::of(2).await;
    let second = fleet.client(1).await;
    let sockets = [fleet.socket(1), fleet.server(1).main_namespace().sockets().socket(&second.id).unwrap()];
    for round in 0..100 {
        let room = format!("room-{}", round % 3);
        let threads: Vec<_> = sockets
            .iter()
            .cloned()
            .map(|socket| {
                let room = room.clone();
                std::thread::spawn(move || {
                    for _ in 0..20 {
                        socket.join(room.as_str()).unwrap();
                        socket.leave(room.as_str());
                    }
                    socket.join(room.as_str()).unwrap();
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        sockets[round % 2].leave(room.as_str());
        let stays = sockets[(round + 1) % 2].id().to_owned();
        if round % 20 == 0 {
            fleet.drain().await;
            fleet.server(0).to(room.as_str()).emit("e", stays.as_str());
            let mine = if stays == second.id { 0 } else { 1 };
            assert_eq!(fleet.drain_at_least(&[0, mine]).await[1].len(), mine, "round {round}");
        }
        sockets[(round + 1) % 2].leave(room.as_str());
    }
    fleet.drain().await;
    for room in ["room-0", "room-1", "room-2"] {
        let Some(count) = counted(&mut fleet, 1, room, 50).await else { return };
        assert!(count <= 2, "nobody is left in {room}: {count}");
    }
}

/// A program lets a client of another node join a room, and emits to the room at once.
pub async fn who_was_let_join_gets_what_follows<C: Cluster>() {
    let mut fleet = Fleet::<C>::of(2).await;
    let other = fleet.socket(1).id().to_owned();
    fleet.drain().await;
    for number in 0..20 {
        let room = format!("new-{number}");
        fleet.server(0).to(other.as_str()).sockets_join(room.as_str());
        fleet.server(0).to(room.as_str()).emit("e", number);
    }
    let expected: Vec<_> = (0..20).map(|number| format!("42[\"e\",{number}]")).collect();
    assert_eq!(fleet.drain_at_least(&[0, 20]).await[1], expected);
}
