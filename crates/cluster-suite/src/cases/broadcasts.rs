//! Who gets a broadcast, and in which order.

use bytes::Bytes;
use sockeye::Value;

use crate::support::WebSocket;
use crate::{Cluster, Fleet};

/// Everybody gets it once.
pub async fn a_broadcast_reaches_all_nodes<C: Cluster>() {
    let mut fleet = Fleet::<C>::of(3).await;
    for at in 0..3 {
        fleet.server(at).emit("e", ("text", 1, [true]));
        assert_eq!(fleet.received(&[1; 3]).await, vec![["42[\"e\",\"text\",1,[true]]"]; 3]);
    }
}

/// One room, several, none twice, and exceptions.
pub async fn rooms_are_rooms_of_all_nodes<C: Cluster>() {
    let mut fleet = Fleet::<C>::of(3).await;
    fleet.socket(0).join(["red", "blue"]).unwrap();
    fleet.socket(1).join(["blue", "rouge à lèvres"]).unwrap();
    fleet.socket(2).join("green").unwrap();
    fleet.heard_in(2, ["red", "blue"], 0).await;
    fleet.heard_in(2, ["blue", "rouge à lèvres"], 1).await;
    let server = fleet.server(2).clone();
    fleet.reaches(&server.to("red"), &[0]).await;
    fleet.reaches(&server.to("blue"), &[0, 1]).await;
    fleet.reaches(&server.to("rouge à lèvres"), &[1]).await;
    fleet.reaches(&server.to(["red", "blue"]), &[0, 1]).await;
    fleet.reaches(&server.to(["red", "green"]), &[0, 2]).await;
    fleet.reaches(&server.to("blue").except("red"), &[1]).await;
    fleet.reaches(&server.except("blue"), &[2]).await;
    fleet.reaches(&server.except(["blue", "green"]), &[]).await;
    fleet.reaches(&server.to("nobody's"), &[]).await;
    let id = fleet.clients[1].id.clone();
    fleet.reaches(&server.to(id.as_str()), &[1]).await;
    fleet.reaches(&server.except(id.as_str()), &[0, 2]).await;
}

/// It reaches the clients of its own node.
pub async fn a_local_emit_stays<C: Cluster>() {
    let mut fleet = Fleet::<C>::of(2).await;
    let server = fleet.server(0).clone();
    fleet.reaches(&server.local(), &[0]).await;
}

/// They are taken to other nodes as all else.
pub async fn volatile_emits_reach_who_is_ready<C: Cluster>() {
    let mut fleet = Fleet::<C>::of(2).await;
    let server = fleet.server(0).clone();
    fleet.reaches(&server.volatile(), &[0, 1]).await;
}

/// What a socket broadcasts reaches all others.
pub async fn a_socket_does_not_hear_itself<C: Cluster>() {
    let mut fleet = Fleet::<C>::of(3).await;
    for at in 0..3 {
        fleet.socket(at).join("r").unwrap();
    }
    for at in 0..2 {
        fleet.heard_in(2, ["r"], at).await;
    }
    fleet.reaches(&fleet.socket(1).broadcast(), &[0, 2]).await;
    fleet.reaches(&fleet.socket(2).to("r"), &[0, 1]).await;
}

/// Attachments arrive as they were.
pub async fn binary_reaches_all_nodes<C: Cluster>() {
    let mut fleet = Fleet::<C>::of(2).await;
    let value = Value::Binary(Bytes::from_static(&[0, 1, 255]));
    fleet.server(0).emit("b", ("before", value.clone(), value, 4));
    let text = "452-[\"b\",\"before\",{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1},4]";
    assert_eq!(fleet.received(&[3, 3]).await, vec![vec![text, "[0, 1, 255]", "[0, 1, 255]"]; 2]);
}

/// What is sent in one is heard in no other.
pub async fn namespaces_are_apart<C: Cluster>() {
    let mut fleet = Fleet::<C>::of(2).await;
    let mut clients = Vec::new();
    for at in 0..2 {
        fleet.server(at).of("/other");
        let mut client = WebSocket::open(fleet.server(at), "EIO=4&transport=websocket").await;
        client.text().await;
        client.send("40/other,").await;
        assert!(client.text().await.starts_with("40/other,"));
        clients.push(client);
    }
    let adapter = fleet.server(0).of("/other").adapter().clone();
    crate::fleet::eventually("the namespace knows its nodes", || async {
        adapter.server_count().await.is_ok_and(|count| count == 2)
    })
    .await;
    fleet.server(0).of("/other").emit("e", 1);
    for client in &mut clients {
        assert_eq!(client.text().await, "42/other,[\"e\",1]");
    }
    assert_eq!(fleet.received(&[0, 0]).await, vec![Vec::<String>::new(); 2]);
    fleet.server(0).emit("e", 2);
    assert_eq!(fleet.received(&[1, 1]).await, vec![["42[\"e\",2]"]; 2]);
    fleet.server(0).of("/other").emit("e", 3);
    for client in &mut clients {
        assert_eq!(client.text().await, "42/other,[\"e\",3]", "nothing of the main namespace came before");
    }
}

/// In order, once each.
pub async fn the_order_of_a_sender_is_kept<C: Cluster>() {
    let mut fleet = Fleet::<C>::of(2).await;
    fleet.socket(1).join("r").unwrap();
    fleet.heard_in(0, ["r"], 1).await;
    // A message to the room comes by another way than one to all, in some clusters; each way keeps its order.
    for number in 0..500 {
        fleet.server(0).emit("all", number);
        fleet.server(0).to("r").emit("room", number);
    }
    let got = fleet.received(&[500, 1_000]).await.remove(1);
    for name in ["all", "room"] {
        let prefix = format!("42[\"{name}\",");
        let numbers: Vec<_> = got.iter().filter_map(|text| text.strip_prefix(&prefix)?.strip_suffix(']')).collect();
        let expected: Vec<_> = (0..500).map(|number| number.to_string()).collect();
        assert_eq!(numbers, expected);
    }
}

/// Each of many rooms is heard by its member.
pub async fn many_rooms<C: Cluster>() {
    let mut fleet = Fleet::<C>::of(2).await;
    let rooms: Vec<_> = (0..500).map(|number| format!("room-{number}")).collect();
    fleet.socket(1).join(rooms.clone()).unwrap();
    fleet.heard_in(0, rooms.clone(), 1).await;
    for room in &rooms {
        fleet.server(0).to(room).emit("e", room.as_str());
    }
    let expected: Vec<_> = rooms.iter().map(|room| format!("42[\"e\",\"{room}\"]")).collect();
    let mut got = fleet.received(&[0, 500]).await;
    let (mut got, others) = (got.remove(1), got.remove(0));
    let mut sorted = expected;
    got.sort_unstable();
    sorted.sort_unstable();
    assert_eq!(got, sorted);
    assert!(others.is_empty());
}

/// One task brings what other nodes send: it goes on, whatever the program does in it.
pub async fn a_listener_that_panics_holds_up_nothing<C: Cluster>() {
    let mut fleet = Fleet::<C>::of(2).await;
    fleet.server(1).on_any_outgoing(|_, event, _| assert!(event != "bad", "on purpose"));
    fleet.server(1).main_namespace().sockets().on_room_event(|_| panic!("on purpose"));
    for event in ["bad", "bad", "good"] {
        fleet.server(0).emit(event, 1);
    }
    fleet.server(0).sockets_join("room");
    assert_eq!(fleet.received(&[3, 3]).await, [["42[\"bad\",1]", "42[\"bad\",1]", "42[\"good\",1]"]; 2]);
    fleet.heard_in(0, ["room"], 1).await;
    fleet.server(0).to("room").emit("good", 2);
    assert_eq!(fleet.received(&[1, 1]).await, [["42[\"good\",2]"]; 2]);
    // Two of the event, two because the room came to be and was joined.
    assert_eq!(fleet.server(1).metrics().handler_panics.value(), 4);
    assert_eq!(fleet.server(0).metrics().handler_panics.value(), 0);
}
