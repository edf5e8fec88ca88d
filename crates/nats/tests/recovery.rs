//! Connection state recovery over JetStream: on other nodes, after a crash, and while NATS is away.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::time::Duration;

use sockeye::{ConnectionStateRecovery, Server};
use sockeye_cluster_suite::WebSocket;
use sockeye_nats::{JetStreamOptions, NatsAdapter, NatsOptions};
use support::server::{CURRENT, OLD, Server as Nats};
use support::{Proxy, eventually};

/// A server that has joined, by a way to NATS that can be cut.
struct Node {
    server: Server,
    nats: NatsAdapter,
    proxy: Proxy,
}

struct Session {
    id: String,
    secret: String,
}

impl Node {
    async fn start(nats: &Nats) -> Self {
        Self::replicated(nats, 1).await
    }

    /// What is kept is on so many servers.
    async fn replicated(nats: &Nats, replicas: usize) -> Self {
        let proxy = Proxy::to(nats.port).await;
        let mut options = NatsOptions::new(format!("nats://{}", proxy.address));
        options.max_backoff = Duration::from_millis(300);
        options.timeout = Duration::from_secs(1);
        let mut jetstream = JetStreamOptions::default();
        jetstream.replicas = replicas;
        options.jetstream = Some(jetstream);
        let nats = NatsAdapter::new(options).unwrap();
        let recovery = ConnectionStateRecovery::within(Duration::from_secs(20));
        let server = Server::builder().adapter(nats.factory()).connection_state_recovery(recovery).build();
        let node = Self { server, nats, proxy };
        drop(node.connect().await);
        eventually("it is connected", || node.nats.check().is_ok()).await;
        node.logs().await;
        node
    }

    /// Waits until events are logged, that is, come with an offset, and until others may know that they do.
    async fn logs(&self) {
        let (mut client, _) = self.connect().await;
        let mut logged = 0;
        for _ in 0..500 {
            self.server.emit("probe", 0);
            if client.text().await.matches('"').count() == 4 {
                logged += 1;
            }
            // What was written before the last one has been sent.
            if logged == 4 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("events are not logged: {:?}", self.nats.check());
    }

    async fn connect(&self) -> (WebSocket, Session) {
        let mut client = WebSocket::connect(&self.server).await;
        let reply = client.text().await;
        let session = Session { id: field(&reply, "sid"), secret: field(&reply, "pid") };
        (client, session)
    }

    /// Comes back; gives what came before the CONNECT, if the session was recovered.
    async fn restore(&self, session: &Session, offset: Option<&str>) -> Option<(WebSocket, Vec<String>)> {
        let offset = offset.map(|offset| format!(",\"offset\":\"{offset}\"")).unwrap_or_default();
        let auth = format!("{{\"pid\":\"{}\"{offset}}}", session.secret);
        let mut client = WebSocket::connect_with(&self.server, &auth).await;
        let mut before = Vec::new();
        loop {
            let text = client.text().await;
            if text.starts_with("40") {
                let is_recovered = field(&text, "pid") == session.secret;
                assert_eq!(is_recovered, field(&text, "sid") == session.id);
                return is_recovered.then_some((client, before));
            }
            before.push(text);
        }
    }

    fn join(&self, session: &Session, room: &str) {
        self.server.main_namespace().sockets().socket(&session.id).unwrap().join(room).unwrap();
    }

    /// Nothing comes to it or from it any more, as of a process that was killed.
    fn die(self) {
        self.proxy.is_cut.send_replace(true);
        // What it would do is of no interest.
        std::mem::forget(self);
    }
}

fn field(reply: &str, name: &str) -> String {
    let start = format!("\"{name}\":\"");
    reply.split(&start).nth(1).and_then(|rest| rest.split('"').next()).expect(reply).to_owned()
}

/// The last argument of an event.
fn offset(event: &str) -> String {
    event.trim_end_matches("\"]").rsplit('"').next().unwrap().to_owned()
}

/// The next event of the test.
async fn event(client: &mut WebSocket) -> String {
    loop {
        let text = client.text().await;
        if !text.contains("\"probe\"") {
            return text;
        }
    }
}

/// Events without their offsets, which must be in order.
fn without_offsets(events: &[String]) -> Vec<String> {
    let number = |id: &str| id.split('-').map(|part| part.parse::<u64>().unwrap()).collect::<Vec<_>>();
    let events: Vec<_> = events.iter().filter(|event| !event.contains("\"probe\"")).collect();
    assert!(events.is_sorted_by_key(|event| number(&offset(event))), "{events:?}");
    events.iter().map(|event| event.replace(&format!(",\"{}\"]", offset(event)), "]")).collect()
}

async fn a_dead_node(program: &'static str) {
    let nats = tokio::task::spawn_blocking(move || Nats::start_with_jetstream(program)).await.unwrap();
    let (first, second) = (Node::start(&nats).await, Node::start(&nats).await);
    let (mut client, session) = first.connect().await;
    first.join(&session, "r");
    first.server.to("r").emit("e", 1);
    let seen = event(&mut client).await;
    assert_eq!(without_offsets(std::slice::from_ref(&seen)), ["42[\"e\",1]"]);
    first.die();
    second.server.to("r").emit("e", 2);
    second.server.to("elsewhere").emit("e", 3);
    second.server.emit("e", 4);
    let restored = second.restore(&session, Some(&offset(&seen))).await;
    let metrics = second.nats.recovery_metrics();
    let (mut client, missed) = restored.unwrap_or_else(|| panic!("{metrics:?}"));
    assert_eq!(without_offsets(&missed), ["42[\"e\",2]", "42[\"e\",4]"]);
    second.server.to("r").emit("e", 5);
    assert!(event(&mut client).await.starts_with("42[\"e\",5,"));
    assert_eq!(second.nats.recovery_metrics().recovered.value(), 1);
}

#[tokio::test]
async fn a_client_of_a_dead_node_is_recovered_by_another() {
    a_dead_node(CURRENT).await;
}

#[tokio::test]
async fn with_an_old_server_too() {
    a_dead_node(OLD).await;
}

/// What other nodes send while this one has no connection comes later, in order and with offsets.
#[tokio::test]
async fn a_node_that_was_away_misses_nothing() {
    let nats = Nats::start_with_jetstream(CURRENT);
    let (first, second) = (Node::start(&nats).await, Node::start(&nats).await);
    let (mut client, _) = second.connect().await;
    first.server.emit("e", 0);
    let mut got = vec![event(&mut client).await];
    second.proxy.is_cut.send_replace(true);
    for number in 1..300 {
        first.server.emit("e", number);
    }
    eventually("it is noticed", || second.nats.check().is_err()).await;
    second.proxy.is_cut.send_replace(false);
    while got.len() < 300 {
        got.push(event(&mut client).await);
    }
    let expected: Vec<_> = (0..300).map(|number| format!("42[\"e\",{number}]")).collect();
    assert_eq!(without_offsets(&got), expected);
    assert_eq!(second.nats.recovery_metrics().gaps.value(), 0);
}

/// Own clients get events at once, and clients are not recovered from before them.
#[tokio::test]
async fn nats_that_is_away_is_no_silent_gap() {
    let nats = Nats::start_with_jetstream(CURRENT);
    let (first, second) = (Node::start(&nats).await, Node::start(&nats).await);
    let (mut client, session) = first.connect().await;
    first.server.emit("e", 1);
    let seen = event(&mut client).await;
    nats.kill();
    eventually("it is noticed", || first.nats.check().is_err() && second.nats.check().is_err()).await;
    first.server.emit("e", 2);
    assert_eq!(event(&mut client).await, "42[\"e\",2]");
    nats.run();
    eventually("all are back", || first.nats.check().is_ok() && second.nats.check().is_ok()).await;
    first.logs().await;
    assert!(second.restore(&session, Some(&offset(&seen))).await.is_none());
    let (mut client, session) = first.connect().await;
    first.server.emit("e", 3);
    let seen = event(&mut client).await;
    first.server.emit("e", 4);
    event(&mut client).await;
    let (_client, missed) = second.restore(&session, Some(&offset(&seen))).await.expect("it is recovered");
    assert_eq!(without_offsets(&missed), ["42[\"e\",4]"]);
}

/// A stream that is made anew has other positions.
#[tokio::test]
async fn a_stream_that_was_lost_is_noticed() {
    let nats = Nats::start_with_jetstream(CURRENT);
    let node = Node::start(&nats).await;
    let (mut client, session) = node.connect().await;
    node.server.emit("e", 1);
    let seen = event(&mut client).await;
    nats.kill();
    nats.forget_streams();
    nats.run();
    eventually("it is told", || node.nats.recovery_metrics().gaps.value() >= 1).await;
    eventually("it is back", || node.nats.check().is_ok()).await;
    node.logs().await;
    assert!(node.restore(&session, Some(&offset(&seen))).await.is_none());
}

/// The server has no space: the node says so, and delivers to its own clients.
#[tokio::test]
async fn a_refusal_is_told() {
    let nats = Nats::stopped(CURRENT, |folder| {
        format!("jetstream {{ store_dir: \"{}\", max_file_store: 600MB }}", folder.display())
    });
    nats.run();
    let node = Node::start(&nats).await;
    assert_eq!(node.nats.metrics().refused.value(), 0);
    nats.delete_stream("sockeye");
    node.server.emit("e", 1);
    eventually("it is told", || node.nats.metrics().refused.value() >= 1).await;
    // It makes the stream anew.
    eventually("it is back", || node.nats.check().is_ok()).await;
    node.logs().await;
}

/// Each of the three in turn, whichever leads: what is kept is on the others, and nobody misses anything.
#[tokio::test]
async fn a_cluster_loses_a_server() {
    let servers = tokio::task::spawn_blocking(Nats::cluster).await.unwrap();
    let (first, second) = (Node::replicated(&servers[0], 3).await, Node::replicated(&servers[1], 3).await);
    let (mut client, session) = first.connect().await;
    let mut other = second.connect().await.0;
    for (number, killed) in servers.iter().enumerate() {
        killed.kill();
        let is_whole = || first.nats.check().is_ok() && second.nats.check().is_ok();
        eventually("both go on", is_whole).await;
        first.logs().await;
        first.server.emit("e", number);
        let expected = format!("42[\"e\",{number},");
        assert!(event(&mut client).await.starts_with(&expected));
        assert!(event(&mut other).await.starts_with(&expected));
        killed.run();
        // Two of three must have all, or nothing can be kept.
        eventually("it has all", || servers.iter().all(Nats::is_current)).await;
        eventually("both go on with three", is_whole).await;
    }
    first.logs().await;
    second.logs().await;
    first.server.emit("e", 3);
    let last = event(&mut client).await;
    first.server.emit("e", 4);
    event(&mut client).await;
    let restored = second.restore(&session, Some(&offset(&last))).await;
    let (_client, missed) = restored.unwrap_or_else(|| panic!("{:?}", second.nats.recovery_metrics()));
    assert_eq!(without_offsets(&missed), ["42[\"e\",4]"]);
    assert_eq!(second.nats.recovery_metrics().gaps.value(), 0);
}
