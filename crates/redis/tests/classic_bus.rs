//! What only the classic mode has: questions that no Sockeye node asks, and messages that are not read.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use sockeye_cluster_suite::Fleet;
use support::{Classic, Over, eventually};

/// Asks as an official node does; gives so many answers, with their channels.
fn ask(fleet: &Fleet<Over<Classic>>, questions: &[Value], answers: usize) -> Vec<(String, Value)> {
    let client = redis::Client::open(format!("redis://127.0.0.1:{}", fleet.cluster.redis.port)).unwrap();
    let mut connection = client.get_connection().unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut heard = connection.as_pubsub();
    heard.subscribe(&["socket.io-response#/#", "socket.io-response#/#asker#"]).unwrap();
    for question in questions {
        fleet.cluster.redis.command::<()>(&["PUBLISH", "socket.io-request#/#", &question.to_string()]);
    }
    let next = |_| {
        let message = heard.get_message().unwrap();
        (message.get_channel_name().to_owned(), serde_json::from_slice(message.get_payload_bytes()).unwrap())
    };
    (0..answers).map(next).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn official_nodes_get_their_answers() {
    let fleet = Fleet::<Over<Classic>>::of(1).await;
    let id = fleet.socket(0).id().to_owned();
    fleet.socket(0).join("r").unwrap();
    let questions = [
        json!({ "uid": "asker", "requestId": "1", "type": 0, "rooms": [] }),
        json!({ "uid": "asker", "requestId": "2", "type": 0, "rooms": ["r"] }),
        json!({ "uid": "asker", "requestId": "3", "type": 0, "rooms": ["nobody"] }),
        json!({ "uid": "asker", "requestId": "4", "type": 1 }),
        // Who does not say its name is answered where all hear it.
        json!({ "requestId": "5", "type": 0, "rooms": ["r"] }),
    ];
    let answers = ask(&fleet, &questions, questions.len());
    let apart = "socket.io-response#/#asker#".to_owned();
    assert_eq!(
        answers,
        [
            (apart.clone(), json!({ "requestId": "1", "sockets": [id] })),
            (apart.clone(), json!({ "requestId": "2", "sockets": [id] })),
            (apart.clone(), json!({ "requestId": "3", "sockets": [] })),
            (apart, json!({ "requestId": "4", "rooms": ["r", id] })),
            ("socket.io-response#/#".to_owned(), json!({ "requestId": "5", "sockets": [id] })),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_to_one_socket_are_carried_out_where_it_is() {
    let fleet = Fleet::<Over<Classic>>::of(2).await;
    let socket = fleet.socket(1);
    fleet.socket(1).join("old").unwrap();
    let orders = [
        json!({ "requestId": "1", "type": 2, "sid": "elsewhere", "room": "new" }),
        json!({ "requestId": "2", "type": 2, "sid": socket.id(), "room": "new" }),
        json!({ "type": 3, "sid": socket.id(), "room": "old" }),
        json!({ "requestId": "3", "type": 4, "sid": socket.id(), "close": false }),
    ];
    let done = |request: &str| ("socket.io-response#/#".to_owned(), json!({ "requestId": request }));
    assert_eq!(ask(&fleet, &orders[..2], 1), [done("2")]);
    assert!(socket.rooms().iter().any(|room| **room == *"new"));
    assert_eq!(ask(&fleet, &orders[2..], 1), [done("3")]);
    eventually("it is disconnected", || !socket.is_connected()).await;
    assert!(fleet.socket(0).is_connected());
}

#[tokio::test]
async fn what_is_for_a_room_without_members_is_not_read() {
    let mut fleet = Fleet::<Over<Classic>>::of(2).await;
    fleet.socket(1).join("r").unwrap();
    fleet.received(&[0, 0]).await;
    for channel in ["socket.io#/#nobody#", "socket.io#/#r#"] {
        fleet.cluster.redis.command::<()>(&["PUBLISH", channel, "nonsense"]);
    }
    fleet.server(0).to("r").emit("e", 1);
    assert_eq!(fleet.received(&[0, 1]).await[1], ["42[\"e\",1]"]);
    let counted = |at: usize| {
        let skipped = fleet.cluster.adapter(fleet.name(at)).metrics().skipped.value();
        (skipped, fleet.nodes[at].metrics.garbage.value())
    };
    assert_eq!((counted(0), counted(1)), ((2, 0), (1, 1)));
}

#[tokio::test]
async fn a_node_subscribes_once() {
    let fleet = Fleet::<Over<Classic>>::of(2).await;
    let (_, nodes): (String, usize) = fleet.cluster.redis.command(&["PUBSUB", "NUMSUB", "socket.io-request#/#"]);
    let patterns: usize = fleet.cluster.redis.command(&["PUBSUB", "NUMPAT"]);
    assert_eq!((nodes, patterns), (2, 1));
}
