//! Messages for a room go where it has members, if the cluster routes by interest.

use sockeye::{Ack, Data, JoinError, Socket};
use tokio::time::Instant;

use crate::client::{PATIENCE, PROBE};
use crate::fleet::emit_own;
use crate::{Cluster, Fleet};

/// How many emits are counted at a time. A few other messages may be among them: heartbeats, and the last words of the servers.
const EMITS: u64 = 50;
const OTHERS: u64 = 20;

/// How many messages a node gets while the first node emits to the room, and until the last words are there.
async fn counted<C: Cluster>(fleet: &mut Fleet<C>, at: usize, room: &str) -> u64 {
    let before = fleet.cluster.delivered(fleet.name(at));
    for _ in 0..EMITS {
        // One that comes late, as a room may have another path than all, is not taken for what the case emits.
        emit_own(&fleet.server(0).to(room), PROBE);
    }
    fleet.received(&vec![0; fleet.nodes.len()]).await;
    fleet.cluster.delivered(fleet.name(at)) - before
}

/// Waits until the node gets nothing more that is for the room.
async fn until_nothing_comes<C: Cluster>(fleet: &mut Fleet<C>, at: usize, room: &str) {
    let deadline = Instant::now() + PATIENCE;
    while counted(fleet, at, room).await > OTHERS {
        assert!(Instant::now() < deadline, "the node gets what is for {room}, of which it has no member");
    }
}

/// Not even the message.
pub async fn who_has_no_member_gets_nothing<C: Cluster>() {
    let mut fleet = Fleet::<C>::of(3).await;
    fleet.socket(1).join("r").unwrap();
    fleet.heard_in(0, ["r"], 1).await;
    let before = fleet.cluster.delivered(fleet.name(2));
    for number in 0..EMITS {
        fleet.server(0).to("r").emit("e", number);
    }
    let got = fleet.received(&[0, 50, 0]).await;
    assert_eq!(got.iter().map(Vec::len).collect::<Vec<_>>(), [0, 50, 0]);
    let idle = fleet.cluster.delivered(fleet.name(2)) - before;
    assert!(idle <= OTHERS, "{idle}");
}

/// From the first that joins to the last that leaves, one that is disconnected included.
pub async fn interest_follows_the_members<C: Cluster>() {
    let mut fleet = Fleet::<C>::of(2).await;
    let mut second = fleet.client(1).await;
    let sockets = fleet.server(1).main_namespace().sockets().clone();
    fleet.socket(1).join("r").unwrap();
    sockets.socket(&second.id).unwrap().join("r").unwrap();
    fleet.heard_in(0, ["r"], 1).await;
    fleet.socket(1).leave("r");
    let before = fleet.cluster.delivered(fleet.name(1));
    for number in 0..EMITS {
        fleet.server(0).to("r").emit("e", number);
    }
    assert_eq!(fleet.received_by(&mut second, 50).await.len(), 50);
    assert!(fleet.cluster.delivered(fleet.name(1)) - before >= EMITS);
    second.socket.send("41").await;
    until_nothing_comes(&mut fleet, 1, "r").await;
    fleet.socket(1).join("r").unwrap();
    fleet.heard_in(0, ["r"], 1).await;
    fleet.server(0).to("r").emit("e", "back");
    assert_eq!(fleet.received(&[0, 1]).await[1], ["42[\"e\",\"back\"]"]);
}

/// Two threads that join and leave at once do not confuse it.
pub async fn interest_survives_races<C: Cluster>() {
    let mut fleet = Fleet::<C>::of(2).await;
    let second = fleet.client(1).await;
    let sockets = [fleet.socket(1), fleet.server(1).main_namespace().sockets().socket(&second.id).unwrap()];
    for round in 0..100 {
        let room = format!("room-{}", round % 3);
        race(&sockets, &room);
        if round % 20 == 0 {
            sockets[1].leave(room.as_str());
            fleet.heard_in(0, [room.as_str()], 1).await;
            fleet.server(0).to(room.as_str()).emit("e", round);
            assert_eq!(fleet.received(&[0, 1]).await[1], [format!("42[\"e\",{round}]")]);
        }
        sockets.iter().for_each(|socket| socket.leave(room.as_str()));
    }
}

/// Nothing is left of it when all have left.
pub async fn no_interest_is_left_after_races<C: Cluster>() {
    let mut fleet = Fleet::<C>::of(2).await;
    let second = fleet.client(1).await;
    let sockets = [fleet.socket(1), fleet.server(1).main_namespace().sockets().socket(&second.id).unwrap()];
    for round in 0..100 {
        let room = format!("room-{}", round % 3);
        race(&sockets, &room);
        sockets.iter().for_each(|socket| socket.leave(room.as_str()));
    }
    for room in ["room-0", "room-1", "room-2"] {
        until_nothing_comes(&mut fleet, 1, room).await;
    }
}

/// Each socket joins the room and leaves it many times, in a thread of its own; in the end it is a member.
fn race(sockets: &[Socket], room: &str) {
    std::thread::scope(|scope| {
        for socket in sockets {
            scope.spawn(move || {
                for _ in 0..20 {
                    socket.join(room).unwrap();
                    socket.leave(room);
                }
                socket.join(room).unwrap();
            });
        }
    });
}

/// A program lets a client of another node join a room, and emits to the room at once.
pub async fn who_was_let_join_gets_what_follows<C: Cluster>() {
    let mut fleet = Fleet::<C>::of(2).await;
    let other = fleet.socket(1).id().to_owned();
    fleet.heard_in(0, [other.as_str()], 1).await;
    for number in 0..20 {
        let room = format!("new-{number}");
        fleet.server(0).to(other.as_str()).sockets_join(room.as_str());
        fleet.server(0).to(room.as_str()).emit("e", number);
    }
    let expected: Vec<_> = (0..20).map(|number| format!("42[\"e\",{number}]")).collect();
    assert_eq!(fleet.received(&[0, 20]).await[1], expected);
}

/// A client joins a room and is told so, and then another node emits to the room at once.
pub async fn who_was_told_of_a_join_gets_what_follows<C: Cluster>() {
    let mut fleet = Fleet::<C>::of(2).await;
    fleet.server(1).on("join", |socket: Socket, Data(room): Data<String>, ack: Ack| -> Result<(), JoinError> {
        socket.join(room)?;
        ack.send(());
        Ok(())
    });
    let mut got = Vec::new();
    for number in 0..JOINS {
        let room = format!("joined-{number}");
        fleet.clients[1].socket.send(&format!("42{number}[\"join\",\"{room}\"]")).await;
        // Events of earlier rounds may come first.
        loop {
            let text = fleet.next(1).await;
            if text.starts_with(&format!("43{number}[")) {
                break;
            }
            got.push(text);
        }
        fleet.server(0).to(room).emit("e", number);
    }
    // In some clusters each room goes its own way, and last words may overtake an event.
    let deadline = Instant::now() + PATIENCE;
    while got.len() < JOINS && Instant::now() < deadline {
        got.extend(fleet.received(&[0, 0]).await.swap_remove(1));
    }
    let expected: Vec<_> = (0..JOINS).map(|number| format!("42[\"e\",{number}]")).collect();
    let missed: Vec<_> = expected.iter().filter(|event| !got.contains(event)).collect();
    assert!(missed.is_empty(), "{} of {JOINS} are lost: {missed:?}", missed.len());
}

/// How many rooms are joined one after the other.
const JOINS: usize = 500;
