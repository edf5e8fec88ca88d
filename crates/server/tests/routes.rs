//! What clients may do, as the configuration declares it.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use serde_json::{Value, json};
use support::{Client, Process, config};

async fn person(server: &Process, name: &str) -> Client {
    Client::connect(server.address, json!({ "name": name, "color": "#123456", "admin": true })).await
}

fn data(name: &str) -> Value {
    json!({ "name": name, "color": "#123456" })
}

#[tokio::test]
async fn the_chat_tells_the_members_of_a_room_what_happens_in_it() {
    let server = Process::start([]);
    let (mut anna, mut ben, mut eve) =
        (person(&server, "Anna").await, person(&server, "Ben").await, person(&server, "Eve").await);
    assert_eq!(anna.ask("join", json!([{ "room": "lobby" }])).await, json!({ "ok": true }));
    let joined = |client: &Client, name: &str| json!(["sockeye:joined", { "room": "lobby", "id": client.id, "data": data(name) }]);
    assert_eq!(anna.event().await, joined(&anna, "Anna"));
    assert_eq!(ben.ask("join", json!([{ "room": "lobby" }])).await, json!({ "ok": true }));
    assert_eq!(anna.event().await, joined(&ben, "Ben"));
    assert_eq!(ben.event().await, joined(&ben, "Ben"));
    // A second join is no news.
    assert_eq!(ben.ask("join", json!([{ "room": "lobby" }])).await, json!({ "ok": true }));

    let mut members = ben.ask("members", json!([{ "room": "lobby" }])).await;
    members.as_array_mut().unwrap().sort_by_key(|member| member["data"]["name"].to_string());
    let expected = json!([{ "id": anna.id, "data": data("Anna") }, { "id": ben.id, "data": data("Ben") }]);
    assert_eq!(members, expected);

    let message = json!({ "room": "lobby", "text": "hé \u{1f41f}", "id": "1", "n": 1.50 });
    assert_eq!(anna.ask("message", json!([message])).await, json!({ "ok": true }));
    let sender = json!({ "id": anna.id, "data": data("Anna") });
    assert_eq!(ben.event().await, json!(["message", message, sender]));

    let file = json!({ "room": "lobby", "id": "2", "data": { "_placeholder": true, "num": 0 } });
    anna.emit_binary("file", json!([file]), b"\x00\x01\xff").await;
    assert_eq!(ben.event().await, json!(["file", file, sender]));
    assert_eq!(ben.message().await.unwrap().into_data().as_ref(), b"\x00\x01\xff");

    for event in ["typing", "read"] {
        anna.emit(event, json!([{ "room": "lobby", "on": true }])).await;
        assert_eq!(ben.event().await, json!([event, { "room": "lobby", "on": true }, sender]));
    }
    anna.assert_quiet().await;

    assert_eq!(ben.ask("leave", json!([{ "room": "lobby" }])).await, json!({ "ok": true }));
    let left =
        |client: &Client, name: &str| json!(["sockeye:left", { "room": "lobby", "id": client.id, "data": data(name) }]);
    assert_eq!(anna.event().await, left(&ben, "Ben"));
    ben.assert_quiet().await;
    ben.ask("join", json!([{ "room": "lobby" }])).await;
    anna.event().await;
    let gone = left(&ben, "Ben");
    drop(ben);
    assert_eq!(anna.event().await, gone);
    eve.assert_quiet().await;
}

#[tokio::test]
async fn the_chat_answers_the_event_of_the_tutorial() {
    let server = Process::start([]);
    let mut anna = Client::connect(server.address, json!({})).await;
    let mut ben = Client::connect(server.address, json!({})).await;
    anna.emit("chat message", json!(["hello"])).await;
    assert_eq!(ben.event().await, json!(["chat message", "hello"]));
    assert_eq!(anna.event().await, json!(["chat message", "hello"]));
}

#[tokio::test]
async fn who_comes_back_to_the_chat_is_announced_and_has_missed_nothing() {
    let server = Process::start([]);
    let (mut anna, mut ben) = (person(&server, "Anna").await, person(&server, "Ben").await);
    for client in [&mut anna, &mut ben] {
        client.ask("join", json!([{ "room": "lobby" }])).await;
        assert_eq!(client.event().await[1]["id"], client.id);
    }
    assert_eq!(anna.event().await[1]["id"], ben.id);
    let (id, recovery) = (ben.id.clone(), ben.recovery.clone());
    drop(ben);
    assert_eq!(anna.event().await, json!(["sockeye:left", { "room": "lobby", "id": id, "data": data("Ben") }]));
    anna.ask("message", json!([{ "room": "lobby", "text": "missed" }])).await;

    let mut ben = Client::connect(server.address, recovery).await;
    assert_eq!(ben.id, id);
    assert_eq!(ben.event().await[1]["text"], "missed");
    let joined = json!(["sockeye:joined", { "room": "lobby", "id": id, "data": data("Ben") }]);
    assert_eq!((anna.event().await, ben.event().await), (joined.clone(), joined));
}

#[tokio::test]
async fn what_the_rules_do_not_allow_is_refused() {
    let server = Process::start([]);
    let (mut anna, mut eve) = (person(&server, "Anna").await, person(&server, "Eve").await);
    anna.ask("join", json!([{ "room": "lobby" }])).await;
    anna.event().await;
    let long = "x".repeat(101);
    for (event, args, error) in [
        ("message", json!([{ "room": "lobby" }]), "not a member of that room"),
        ("members", json!([{ "room": "lobby" }]), "not a member of that room"),
        ("message", json!([{ "room": anna.id }]), "not a member of that room"),
        ("message", json!([{ "room": eve.id }]), "not a member of that room"),
        ("message", json!([]), "the event must have one argument"),
        ("message", json!([{ "room": "lobby" }, { "id": anna.id, "data": {} }]), "the event must have one argument"),
        ("message", json!([{ "room": "lobby", "text": "x".repeat(66_000) }]), "the event is larger than 65536 bytes"),
        ("join", json!([{}]), "data.room must be a string or a whole number"),
        ("join", json!([{ "room": {} }]), "data.room must be a string or a whole number"),
        ("join", json!([]), "data.room must be a string or a whole number"),
        ("join", json!([{ "room": "" }]), "the name of the room is empty"),
        ("join", json!([{ "room": long }]), "the name of the room is too long"),
        ("join", json!([{ "room": "a\u{1}" }]), "the name of the room holds control characters"),
        ("delete", json!([1]), "unknown event"),
        ("sockeye:joined", json!([1]), "unknown event"),
        ("connection", json!([1]), "unknown event"),
    ] {
        assert_eq!(eve.ask(event, args).await, json!({ "ok": false, "error": error }), "{event}");
    }
    anna.assert_quiet().await;
}

#[tokio::test]
async fn nobody_can_join_the_room_of_another_client() {
    let rules = r#"
        [[namespace]]
        name = "/"
        event = [
          { name = "join", route = { kind = "join", room = "{data}" } },
          { name = "whisper", route = { kind = "room", room = "{data}", require_membership = false, exclude_sender = false } },
          { name = "say", route = { kind = "room", room = "{data}" } },
        ]"#;
    let (_dir, path) = config(rules);
    let server = Process::start(["--config", &path]);
    let (mut anna, mut eve) = (person(&server, "Anna").await, person(&server, "Eve").await);
    // It is a room like any other, only that the name leads nowhere near Anna.
    assert_eq!(eve.ask("join", json!([anna.id])).await, json!({ "ok": true }));
    assert_eq!(eve.ask("whisper", json!([anna.id])).await, json!({ "ok": true }));
    assert_eq!(eve.event().await, json!(["whisper", anna.id]));
    assert_eq!(anna.ask("say", json!([anna.id])).await["error"], "not a member of that room");
    anna.assert_quiet().await;
}

#[tokio::test]
async fn only_the_named_keys_of_auth_are_taken_over_and_they_are_small() {
    let server = Process::start([]);
    for (auth, message) in [
        (json!({ "name": "x".repeat(201) }), "auth.name is longer than 200 bytes"),
        (json!({ "name": ["x"] }), "auth.name must be a string, a number or a boolean"),
    ] {
        let refused = Client::connect_to(server.address, "/", auth).await.err();
        assert_eq!(refused, Some(json!({ "message": message })));
    }
    let mut client = Client::connect(server.address, json!({ "name": "x".repeat(200), "color": null })).await;
    client.ask("join", json!([{ "room": "r" }])).await;
    assert_eq!(client.event().await[1]["data"], json!({ "name": "x".repeat(200) }));
}

#[tokio::test]
async fn namespaces_and_patterns_have_their_own_rules() {
    let rules = r#"
        [[namespace]]
        name = "/open"
        unknown_events = "broadcast"
        event = [{ name = "secret", route = { kind = "refuse" } }]

        [[namespace]]
        pattern = "^/game-[0-9]+$"
        auth_data = ["team"]
        presence = true
        event = [
          { name = "all", route = { kind = "broadcast", exclude_sender = false, append_sender = true } },
          { name = "time", route = { kind = "ack", reply = { ok = true, zone = ["UTC"] } } },
          { name = "hello", route = { kind = "ack" } },
          { name = "team", route = { kind = "join", room = "team:{socket.data.team}" } },
          { name = "two", route = { kind = "room", room = "{args.1.to}:{data}", require_membership = false }, args = 2 },
          { name = "enter", route = { kind = "join", room = "{args.1.to}:{data}" } },
        ]"#;
    let (_dir, path) = config(rules);
    let server = Process::start(["--config", &path]);
    let connect = |namespace, auth| Client::connect_to(server.address, namespace, auth);

    let (mut anna, mut ben) = (connect("/open", json!({})).await.unwrap(), connect("/open", json!({})).await.unwrap());
    assert_eq!(anna.ask("anything", json!([1, "two"])).await, json!({ "ok": true }));
    assert_eq!(ben.event().await, json!(["anything", 1, "two"]));
    assert_eq!(anna.ask("secret", json!([])).await, json!({ "ok": false, "error": "not allowed" }));
    assert_eq!(anna.ask("sockeye:left", json!([])).await, json!({ "ok": false, "error": "not allowed" }));

    let mut red = connect("/game-7", json!({ "team": "red" })).await.unwrap();
    let mut blue = connect("/game-7", json!({ "team": 5 })).await.unwrap();
    let mut other = connect("/game-8", json!({})).await.unwrap();
    assert_eq!(red.ask("all", json!(["x"])).await, json!({ "ok": true }));
    let expected = json!(["all", "x", { "id": red.id, "data": { "team": "red" } }]);
    assert_eq!((red.event().await, blue.event().await), (expected.clone(), expected));
    assert_eq!(red.ask("time", json!([])).await, json!({ "ok": true, "zone": ["UTC"] }));
    assert_eq!(red.ask("hello", json!([])).await, json!({ "ok": true }));
    assert_eq!(blue.ask("team", json!([])).await, json!({ "ok": true }));
    assert_eq!(blue.event().await[1]["room"], "team:5");
    assert_eq!(other.ask("team", json!([])).await["error"], "socket.data.team must be a string or a whole number");
    red.ask("enter", json!(["a", { "to": "b" }])).await;
    assert_eq!(red.event().await[1]["room"], "b:a");
    assert_eq!(blue.ask("two", json!(["a", { "to": "b" }])).await, json!({ "ok": true }));
    assert_eq!(red.event().await, json!(["two", "a", { "to": "b" }]));
    assert_eq!(blue.ask("two", json!(["a"])).await["error"], "the event must have 2 arguments");
    other.assert_quiet().await;

    let refused = connect("/game-x", json!({})).await.err();
    assert_eq!(refused, Some(json!({ "message": "Invalid namespace" })));
    // The main namespace is always there, and without rules nothing is allowed in it.
    let mut main = connect("/", json!({})).await.unwrap();
    main.assert_quiet().await;
}
