//! Rooms, broadcasts and acknowledgements.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sockeye::adapter::{AckListener, Packet, PacketBody, RoomEvent};
use sockeye::{
    AckError, Args, Bound, BroadcastAckError, BroadcastError, Data, JoinError, Limits, Server, Socket, Target,
};
use support::WebSocket;
use support::net::{LIMIT, Net, Served, over_both, until};
use tokio::sync::Semaphore;

over_both! {
    who_gets_a_broadcast,
    joining_leaving_and_what_listeners_hear,
    a_room_grows_and_shrinks,
    a_socket_may_leave_its_own_room,
    sockets_of_a_target_are_found_moved_and_disconnected,
    acknowledgements_of_one_client,
    acknowledgements_of_many_clients,
    a_client_that_goes_away_answers_no_broadcast_any_more,
    an_adapter_hears_the_count_first_and_each_acknowledgement_as_it_comes,
    a_thread_without_a_runtime_may_disconnect_a_socket,
    bounds_of_rooms_and_acknowledgements,
    reserved_names_and_values_that_cannot_be_encoded_are_errors,
    namespaces_by_name_by_pattern_and_by_function,
    empty_children_go_away_if_the_options_say_so,
    a_namespace_stays_for_a_client_that_is_about_to_join_it,
    a_namespace_goes_with_a_client_that_was_refused,
    bounds_of_namespaces,
}

async fn three(server: &Served) -> [(WebSocket, String); 3] {
    [WebSocket::joined(server).await, WebSocket::joined(server).await, WebSocket::joined(server).await]
}

fn socket(server: &Server, id: &str) -> Socket {
    server.main_namespace().sockets().socket(id).expect("it is connected")
}

async fn who_gets_a_broadcast(net: Net) {
    let server = net.serve(Server::new());
    let [(mut a, a_id), (mut b, b_id), (mut c, _)] = three(&server).await;
    let (a_socket, b_socket) = (socket(&server, &a_id), socket(&server, &b_id));
    a_socket.join(["red", "blue"]).unwrap();
    b_socket.join("blue").unwrap();

    server.to("red").emit("e", 1);
    server.to(["red", "blue"]).emit("e", 2);
    server.to("blue").except("red").emit("e", 3);
    server.except("blue").emit("e", 4);
    a_socket.to("blue").emit("e", 5);
    a_socket.broadcast().emit("e", 6);
    server.to(a_id.as_str()).emit("e", 7);
    server.to(a_id.as_str()).to("red").emit("e", 8);
    server.emit("e", 9);
    server.local().emit("e", 10);

    let mut got = Vec::new();
    for client in [&mut a, &mut b, &mut c] {
        let mut mine = Vec::new();
        while let Some(text) = client.text_soon().await {
            mine.push(text.trim_start_matches("42[\"e\",").trim_end_matches(']').parse::<u8>().unwrap());
        }
        got.push(mine);
    }
    assert_eq!(got, [vec![1, 2, 7, 8, 9, 10], vec![2, 3, 5, 6, 9, 10], vec![4, 6, 9, 10]]);
}

async fn joining_leaving_and_what_listeners_hear(net: Net) {
    let server = net.serve(Server::new());
    let events = Arc::new(Mutex::new(Vec::new()));
    let log = events.clone();
    server.main_namespace().sockets().on_room_event(move |event| {
        log.lock().push(match event {
            RoomEvent::Created(room) if room.len() < 20 => format!("+{room}"),
            RoomEvent::Deleted(room) if room.len() < 20 => format!("-{room}"),
            RoomEvent::Joined(room, _) if room.len() < 20 => format!(">{room}"),
            RoomEvent::Left(room, _) if room.len() < 20 => format!("<{room}"),
            _ => "own".to_owned(),
        });
    });
    let (mut client, id) = WebSocket::joined(&server).await;
    let me = socket(&server, &id);
    me.join("r").unwrap();
    me.join("r").unwrap();
    assert_eq!(me.rooms().iter().map(|room| room.to_string()).collect::<Vec<_>>(), [id.as_str(), "r"]);
    me.leave("r");
    me.leave("r");
    me.join(["s", "s"]).unwrap();
    client.send("41").await;
    client.silence().await;
    until(|| events.lock().len() >= 12).await;
    assert_eq!(*events.lock(), ["own", "own", "+r", ">r", "<r", "-r", "+s", ">s", "<s", "-s", "own", "own"]);
    assert!(server.main_namespace().sockets().rooms().is_empty());
    assert_eq!(me.join("late"), Err(JoinError::Disconnected));
}

async fn a_room_grows_and_shrinks(net: Net) {
    let server = net.serve(Server::new());
    let mut clients = Vec::new();
    for _ in 0..40 {
        clients.push(WebSocket::joined(&server).await);
    }
    let members = || server.main_namespace().sockets().rooms().first().map_or(0, |(_, members)| *members);
    for (number, (_, id)) in clients.iter().enumerate() {
        let socket = socket(&server, id);
        socket.join("room").unwrap();
        socket.join("room").unwrap();
        assert_eq!(members(), number + 1);
    }
    server.to("room").emit("e", 1);
    for (client, _) in &mut clients {
        assert_eq!(client.text().await, r#"42["e",1]"#);
        client.silence().await;
    }
    for (number, (_, id)) in clients.iter().enumerate().rev() {
        socket(&server, id).leave("room");
        assert_eq!(members(), number);
    }
    let targeted = server.main_namespace().sockets().sockets(&Target::default()).len();
    assert_eq!((targeted, server.main_namespace().sockets().has_room("room")), (40, false));
}

async fn a_socket_may_leave_its_own_room(net: Net) {
    let server = net.serve(Server::new());
    let (mut client, id) = WebSocket::joined(&server).await;
    let me = socket(&server, &id);
    me.leave(id.as_str());
    server.to(id.as_str()).emit("e", 1);
    me.join(id.as_str()).unwrap();
    server.to(id.as_str()).emit("e", 2);
    assert_eq!(client.text().await, "42[\"e\",2]");
}

async fn sockets_of_a_target_are_found_moved_and_disconnected(net: Net) {
    let server = net.serve(Server::new());
    let [(_a, a_id), (mut b, b_id), (mut c, _)] = three(&server).await;
    socket(&server, &a_id).join("x").unwrap();
    socket(&server, &a_id).set_data("name", "a");
    server.to("x").sockets_join(["y", "z"]);
    server.to(b_id.as_str()).sockets_join("y");
    let mut found = server.to("y").fetch_sockets().await.unwrap().answers;
    found.sort_by_key(|socket| socket.id() != a_id);
    assert_eq!(found.iter().map(|socket| socket.id()).collect::<Vec<_>>(), [&a_id, &b_id]);
    assert_eq!(found[0].data()["name"], "a");
    assert_eq!(found[0].rooms().len(), 4);
    assert_eq!(found[0].handshake()["query"]["transport"], "websocket");
    found[0].leave("y");
    assert_eq!(server.to("y").fetch_sockets().await.unwrap().len(), 1);
    found[1].emit("hi", ());
    assert_eq!(b.text().await, "42[\"hi\"]");
    server.to("y").disconnect_sockets(false);
    assert_eq!(b.text().await, "41");
    server.except("x").disconnect_sockets(true);
    assert_eq!(c.text().await, "41");
    assert_eq!(c.closed().await, None);
    assert_eq!(server.fetch_sockets().await.unwrap().len(), 1);
}

async fn acknowledgements_of_one_client(net: Net) {
    let server = net.serve(Server::new());
    let (mut client, id) = WebSocket::joined(&server).await;
    let me = socket(&server, &id);

    let asking = tokio::spawn({
        let me = me.clone();
        async move { me.emit_with_ack::<(String, u8)>("q", "?").await }
    });
    assert_eq!(client.text().await, "420[\"q\",\"?\"]");
    client.send("430[\"yes\",1]").await;
    assert_eq!(asking.await.unwrap().unwrap(), ("yes".to_owned(), 1));

    let late = me.timeout(Duration::from_millis(1)).emit_with_ack::<()>("q", ()).await;
    assert!(matches!(late, Err(AckError::Timeout)), "{late:?}");
    assert_eq!(client.text().await, "421[\"q\"]");
    client.send("431[]").await; // too late, and nothing happens

    let asking = tokio::spawn({
        let me = me.clone();
        async move { me.emit_with_ack::<u8>("q", ()).await }
    });
    assert_eq!(client.text().await, "422[\"q\"]");
    client.send("432[\"no number\"]").await;
    assert!(matches!(asking.await.unwrap(), Err(AckError::Mismatch(_))));

    let asking = tokio::spawn({
        let me = me.clone();
        async move { me.emit_with_ack::<u8>("q", ()).await }
    });
    assert_eq!(client.text().await, "423[\"q\"]");
    client.send("41").await;
    assert!(matches!(asking.await.unwrap(), Err(AckError::Disconnected)));
    assert!(matches!(me.emit_with_ack::<u8>("q", ()).await, Err(AckError::Disconnected)));
}

async fn acknowledgements_of_many_clients(net: Net) {
    let server = net.serve(Server::new());
    let [(mut a, _), (mut b, _), (mut c, _)] = three(&server).await;
    let asking = tokio::spawn({
        let server = server.clone();
        async move { server.timeout(LIMIT).emit_with_ack::<u8>("q", ()).await }
    });
    for (client, n) in [(&mut a, 1), (&mut b, 2), (&mut c, 3)] {
        assert_eq!(client.text().await, "420[\"q\"]");
        client.send(&format!("430[{n}]")).await;
    }
    let mut answers = asking.await.unwrap().unwrap();
    answers.sort_unstable();
    assert_eq!(answers, [1, 2, 3]);

    let nobody = server.to("nobody").emit_with_ack::<u8>("q", ()).await.unwrap();
    assert!(nobody.is_empty());
}

/// Over a pipe only: one answers in time, and two do not.
#[tokio::test(start_paused = true)]
async fn a_broadcast_ends_with_those_who_have_answered_in_time() {
    let server = Server::new();
    let [(mut a, _), _b, _c] = three(&Served::from(&server)).await;
    let asking = tokio::spawn({
        let server = server.clone();
        async move { server.timeout(Duration::from_secs(3)).emit_with_ack::<u8>("q", ()).await }
    });
    assert_eq!(a.text().await, "420[\"q\"]");
    a.send("430[9]").await;
    let Err(BroadcastError::Incomplete(error)) = asking.await.unwrap() else { panic!("two did not answer") };
    assert_eq!((error.responses.len(), error.expected), (1, 3));
    assert_eq!(error.responses[0].deserialize::<u8>().unwrap(), 9);
}

async fn a_client_that_goes_away_answers_no_broadcast_any_more(net: Net) {
    let server = net.serve(Server::new());
    let [(mut a, _), (mut b, _), (c, _)] = three(&server).await;
    let start = tokio::time::Instant::now();
    let asking = tokio::spawn({
        let server = server.clone();
        async move { server.timeout(Duration::from_secs(600)).emit_with_ack::<u8>("q", ()).await }
    });
    a.text().await;
    a.send("430[1]").await;
    b.text().await;
    b.send("430[2]").await;
    drop(c);
    let Err(BroadcastError::Incomplete(error)) = asking.await.unwrap() else { panic!("one did not answer") };
    assert_eq!((error.responses.len(), error.expected), (2, 3));
    assert!(start.elapsed() < Duration::from_secs(600), "nobody waits for a client that is gone");
}

/// What an adapter hears of a broadcast.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl AckListener for Heard {
    fn handle_count(&self, clients: usize) {
        self.0.lock().push(format!("{clients} clients"));
    }

    fn handle_ack(&self, args: Args) {
        self.0.lock().push(format!("ack {}", args.deserialize::<u8>().unwrap()));
    }

    fn handle_loss(&self) {
        self.0.lock().push("loss".to_owned());
    }
}

async fn an_adapter_hears_the_count_first_and_each_acknowledgement_as_it_comes(net: Net) {
    let server = net.serve(Server::new());
    let [(mut a, _), (mut b, _), (mut c, _)] = three(&server).await;
    let heard = Arc::new(Heard::default());
    let body = PacketBody::Event { name: "q".into(), args: Args::empty() };
    let local = server.main_namespace().sockets().clone();
    let listener: Arc<dyn AckListener> = heard.clone();
    let open = local.start_broadcast_with_ack(Packet::new("/", body), &Target::default(), &listener);
    assert_eq!(*heard.0.lock(), ["3 clients"]);
    for client in [&mut a, &mut b, &mut c] {
        assert_eq!(client.text().await, "420[\"q\"]");
    }
    b.send("430[2]").await;
    b.silence().await;
    assert_eq!(*heard.0.lock(), ["3 clients", "ack 2"]);
    drop(a);
    until(|| heard.0.lock().len() >= 3).await;
    assert_eq!(*heard.0.lock(), ["3 clients", "ack 2", "loss"]);
    c.send("430[3]").await;
    c.silence().await;
    drop(open);
    assert_eq!(*heard.0.lock(), ["3 clients", "ack 2", "loss", "ack 3"]);
}

async fn a_thread_without_a_runtime_may_disconnect_a_socket(net: Net) {
    let server = net.serve(Server::new());
    let done = Arc::new(Mutex::new(0));
    let count = done.clone();
    server.on_disconnect(move || {
        let count = count.clone();
        async move {
            tokio::task::yield_now().await;
            *count.lock() += 1;
        }
    });
    let (mut client, id) = WebSocket::joined(&server).await;
    let me = socket(&server, &id);
    std::thread::spawn(move || me.disconnect()).join().expect("it does not panic");
    std::thread::spawn({
        let server = server.clone();
        move || server.of("/later")
    })
    .join()
    .expect("it does not panic");
    assert_eq!(client.text().await, "41");
    client.silence().await;
    until(|| *done.lock() == 1).await;
}

#[test]
fn the_error_of_a_broadcast_names_the_nodes_that_are_missing() {
    let error = BroadcastAckError::new(vec![Args::empty()], 2, vec!["n1".to_owned(), "n2".to_owned()]);
    assert_eq!(error.to_string(), "operation has timed out (1 of 2 answered; nothing from n1, n2)");
    assert_eq!(
        BroadcastAckError::new(Vec::new(), 1, Vec::new()).to_string(),
        "operation has timed out (0 of 1 answered)"
    );
}

async fn bounds_of_rooms_and_acknowledgements(net: Net) {
    let mut limits = Limits::default();
    limits.max_rooms = 2;
    limits.max_pending_acks = 1;
    let server = net.serve(Server::builder().limits(limits).build());
    let (mut client, id) = WebSocket::joined(&server).await;
    let me = socket(&server, &id);
    assert_eq!(me.join(["a", "b", "c"]), Err(JoinError::TooManyRooms));
    assert_eq!(me.rooms().len(), 1, "all or none");
    me.join(["a", "b"]).unwrap();
    assert_eq!(me.join("c"), Err(JoinError::TooManyRooms));
    me.join("a").unwrap();
    assert_eq!(server.metrics().reached(Bound::Rooms), 2);

    let first = tokio::spawn({
        let me = me.clone();
        async move { me.timeout(LIMIT).emit_with_ack::<()>("q", ()).await }
    });
    assert_eq!(client.text().await, "420[\"q\"]");
    assert!(matches!(me.emit_with_ack::<()>("q", ()).await, Err(AckError::TooMany)));
    client.send("430[]").await;
    first.await.unwrap().unwrap();
    assert_eq!(server.metrics().reached(Bound::PendingAcks), 1);
}

async fn reserved_names_and_values_that_cannot_be_encoded_are_errors(net: Net) {
    let server = net.serve(Server::new());
    let (mut client, id) = WebSocket::joined(&server).await;
    assert!(server.try_emit("disconnect", ()).is_err());
    assert!(socket(&server, &id).try_emit("connect_error", ()).is_err());
    let map = std::collections::HashMap::from([((1, 2), 3)]);
    assert!(server.try_emit("x", &map).is_err());
    server.emit("x", &map);
    assert_eq!(server.metrics().failed_emits.value(), 1);
    assert!(server.server_side_emit("new_namespace", ()).is_err());
    client.silence().await;
}

async fn namespaces_by_name_by_pattern_and_by_function(net: Net) {
    let server = net.serve(Server::new());
    server.of("/static").on_connection(|socket: Socket| socket.emit("in", socket.namespace().name()));
    let pattern = server.of_pattern(regex::Regex::new("^/dyn-\\d+$").unwrap());
    pattern.on_connection(|socket: Socket| socket.emit("in", socket.namespace().name()));
    pattern.on("to all", |Data(text): Data<String>, socket: Socket| socket.namespace().emit("all", text));
    let by_function = server.of_function(|name, auth| async move { name == "/secret" && auth["key"] == 1 });
    by_function.on_connection(|socket: Socket| socket.emit("in", "secret"));
    let created = Arc::new(Mutex::new(Vec::new()));
    let log = created.clone();
    server.on_new_namespace(move |namespace| log.lock().push(namespace.name().to_owned()));

    let mut client = WebSocket::open(&server, "EIO=4&transport=websocket").await;
    client.text().await;
    for (packet, name, reply) in [
        ("40/static,", "/static", "\"/static\""),
        ("40/dyn-1", "/dyn-1", "\"/dyn-1\""),
        ("40/dyn-22,{}", "/dyn-22", "\"/dyn-22\""),
        ("40/secret,{\"key\":1}", "/secret", "\"secret\""),
    ] {
        client.send(packet).await;
        assert!(client.text().await.starts_with(&format!("40{name},{{\"sid\":")));
        assert_eq!(client.text().await, format!("42{name},[\"in\",{reply}]"));
    }
    client.send("40/nowhere,").await;
    assert_eq!(client.text().await, "44/nowhere,{\"message\":\"Invalid namespace\"}");
    client.send("42/dyn-22,[\"to all\",\"x\"]").await;
    assert_eq!(client.text().await, "42/dyn-22,[\"all\",\"x\"]");
    pattern.emit("parent", 1);
    let mut both = [client.text().await, client.text().await];
    both.sort();
    assert_eq!(both, ["42/dyn-1,[\"parent\",1]", "42/dyn-22,[\"parent\",1]"]);
    assert_eq!(*created.lock(), ["/dyn-1", "/dyn-22", "/secret"]);
    // A namespace that the program names itself gets the pattern's handlers too.
    server.of("/dyn-7");
    client.send("40/dyn-7,").await;
    client.text().await;
    assert_eq!(client.text().await, "42/dyn-7,[\"in\",\"/dyn-7\"]");
}

async fn empty_children_go_away_if_the_options_say_so(net: Net) {
    let server = net.serve(Server::builder().cleanup_empty_child_namespaces(true).build());
    let pattern = server.of_pattern(regex::Regex::new("^/room/").unwrap());
    let mut limits_seen = 0;
    let mut client = WebSocket::open(&server, "EIO=4&transport=websocket").await;
    client.text().await;
    for _ in 0..3 {
        client.send("40/room/1,").await;
        assert!(client.text().await.starts_with("40/room/1,"));
        assert_eq!(pattern.children().len(), 1);
        client.send("41/room/1,").await;
        client.silence().await;
        until(|| pattern.children().is_empty()).await;
        limits_seen += 1;
    }
    assert_eq!(limits_seen, 3);
}

/// A server whose children go when they are empty, a client of it for each query, and how many joins of the slow ones have begun
/// and how many may go on.
async fn server_with_slow_joins<const N: usize>(
    net: Net,
    queries: [&str; N],
) -> (Served, [WebSocket; N], Arc<(Semaphore, Semaphore)>) {
    let server = net.serve(Server::builder().cleanup_empty_child_namespaces(true).build());
    let joins = Arc::new((Semaphore::new(0), Semaphore::new(0)));
    let parent = server.of_function(|name, _| async move { name.starts_with("/d") });
    parent.middleware({
        let joins = joins.clone();
        move |socket: Socket| {
            let joins = joins.clone();
            async move {
                let (begun, go_on) = &*joins;
                if socket.request().url().contains("slow") {
                    begun.add_permits(1);
                    go_on.acquire().await.unwrap().forget();
                }
                Ok(())
            }
        }
    });
    let mut clients = Vec::new();
    for query in queries {
        let mut client = WebSocket::open(&server, &format!("EIO=4&transport=websocket&{query}")).await;
        client.text().await;
        clients.push(client);
    }
    (server, clients.try_into().unwrap_or_else(|_| unreachable!()), joins)
}

async fn a_namespace_stays_for_a_client_that_is_about_to_join_it(net: Net) {
    let (server, [mut quick, mut slow], joins) = server_with_slow_joins(net, ["quick", "slow"]).await;
    let (begun, go_on) = &*joins;
    quick.send("40/d1,").await;
    assert!(quick.text().await.starts_with("40/d1,"));
    slow.send("40/d1,").await;
    begun.acquire().await.unwrap().forget();
    quick.send("41/d1,").await;
    quick.silence().await;
    quick.send("40/d1,").await;
    assert!(quick.text().await.starts_with("40/d1,"));
    go_on.add_permits(1);
    assert!(slow.text().await.starts_with("40/d1,"));
    server.of("/d1").emit("to both", ());
    assert_eq!(quick.text().await, "42/d1,[\"to both\"]");
    assert_eq!(slow.text().await, "42/d1,[\"to both\"]");
    slow.send("41/d1,").await;
    slow.silence().await;
    server.of("/d1").emit("to one", ());
    assert_eq!(quick.text().await, "42/d1,[\"to one\"]");
    quick.send("41/d1,").await;
    quick.silence().await;
    // The count of children is still right.
    for _ in 0..2 {
        quick.send("40/d2,").await;
        assert!(quick.text().await.starts_with("40/d2,"));
        quick.send("41/d2,").await;
        quick.silence().await;
    }
}

async fn a_namespace_goes_with_a_client_that_was_refused(net: Net) {
    let server = net.serve(Server::builder().cleanup_empty_child_namespaces(true).build());
    let parent = server.of_function(|name, _| async move { name.starts_with("/d") });
    parent.middleware(|_: Socket| async { Err("no".into()) });
    let mut client = WebSocket::open(&server, "EIO=4&transport=websocket").await;
    client.text().await;
    client.send("40/d1,").await;
    assert_eq!(client.text().await, "44/d1,{\"message\":\"no\"}");
    until(|| parent.children().is_empty()).await;
}

/// Over a pipe only: the task of a join holds the namespace for a moment longer than the client waits, which another thread sees.
#[tokio::test(start_paused = true)]
async fn empty_children_make_room_for_others_when_the_bound_is_reached() {
    let mut limits = Limits::default();
    limits.max_child_namespaces = 2;
    let server = Server::builder().limits(limits).build();
    let parent = server.of_pattern(regex::Regex::new("^/d").unwrap());
    let (mut client, _) = WebSocket::joined(&server).await;
    drop(server.of("/d-named"));
    for name in ["/d1", "/d2", "/d3"] {
        client.send(&format!("40{name},")).await;
        assert!(client.text().await.starts_with(&format!("40{name},")));
        client.send(&format!("41{name},")).await;
        client.silence().await;
    }
    assert_eq!(server.metrics().reached(Bound::ChildNamespaces), 0);
    let mut names: Vec<_> = parent.children().iter().map(|child| child.name().to_owned()).collect();
    names.sort_unstable();
    assert_eq!(names, ["/d-named", "/d3"], "what the program named stays");
    // What somebody holds stays, too.
    let _held = server.of("/d3");
    client.send("40/d4,").await;
    assert_eq!(client.text().await, "44/d4,{\"message\":\"Invalid namespace\"}");
    assert_eq!(server.metrics().reached(Bound::ChildNamespaces), 1);
}

/// Over a pipe only: the next search is due after a while.
#[tokio::test(start_paused = true)]
async fn unused_children_are_not_looked_for_again_at_once_when_there_was_none() {
    let mut limits = Limits::default();
    limits.max_child_namespaces = 2;
    let server = Server::builder().limits(limits).build();
    server.of_pattern(regex::Regex::new("^/d").unwrap());
    let (mut client, _) = WebSocket::joined(&server).await;
    for name in ["/d1", "/d2"] {
        client.send(&format!("40{name},")).await;
        assert!(client.text().await.starts_with(&format!("40{name},")));
    }
    let refused = "44/d3,{\"message\":\"Invalid namespace\"}";
    client.send("40/d3,").await;
    assert_eq!(client.text().await, refused);
    client.send("41/d1,").await;
    client.send("40/d3,").await;
    assert_eq!(client.text().await, refused);
    tokio::time::advance(Duration::from_millis(100)).await;
    client.send("40/d3,").await;
    assert!(client.text().await.starts_with("40/d3,"));
}

async fn bounds_of_namespaces(net: Net) {
    let mut limits = Limits::default();
    limits.max_namespaces = 2;
    limits.max_child_namespaces = 1;
    let server = net.serve(Server::builder().limits(limits).build());
    server.of_pattern(regex::Regex::new("^/d").unwrap());
    let (mut client, _) = WebSocket::joined(&server).await;
    client.send("40/d1,").await;
    assert!(client.text().await.starts_with("40/d1,"));
    client.send("40/d1x,").await;
    assert_eq!(client.text().await, "44/d1x,{\"message\":\"Too many namespaces\"}");
    let (mut other, _) = WebSocket::joined(&server).await;
    other.send("40/d2,").await;
    assert_eq!(other.text().await, "44/d2,{\"message\":\"Invalid namespace\"}");
    other.send("40/d1,").await;
    assert!(other.text().await.starts_with("40/d1,"));
    assert_eq!(server.metrics().reached(Bound::Namespaces), 1);
    assert_eq!(server.metrics().reached(Bound::ChildNamespaces), 1);
}
