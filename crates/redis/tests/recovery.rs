//! Connection state recovery over streams, and a real Redis: on other nodes, and while Redis is away.
//!
//! What only a killed process can show is in `testing/interop/cluster/recovery.test.mjs`.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::HashMap;
use std::time::Duration;

use sockeye::{ConnectionStateRecovery, Limits, Server, Socket};
use sockeye_cluster_suite::{Got, WebSocket};
use sockeye_redis::{Mode, RedisAdapter};
use support::redis_cluster::RedisCluster;
use support::topology::Topology;
use support::{Cut, Proxy, Redis, eventually};

/// A server that has joined, by a way to Redis that can be cut.
struct Node {
    server: Server,
    redis: RedisAdapter,
    proxies: Vec<Proxy>,
}

impl Node {
    async fn start(redis: &impl Topology) -> Self {
        Self::with(redis, Limits::default()).await
    }

    async fn with(redis: &impl Topology, limits: Limits) -> Self {
        let mut proxies = HashMap::new();
        for port in redis.ports() {
            proxies.insert(port, Proxy::to(port).await);
        }
        let mut options = redis.options(Mode::Streams, &|port| proxies[&port].address.port());
        options.max_backoff = Duration::from_millis(500);
        options.timeout = Duration::from_secs(1);
        let redis = RedisAdapter::new(options).unwrap();
        let recovery = ConnectionStateRecovery::within(Duration::from_secs(20));
        let server =
            Server::builder().adapter(redis.factory()).connection_state_recovery(recovery).limits(limits).build();
        server.of("/other");
        let node = Self { server, redis, proxies: proxies.into_values().collect() };
        drop(node.connect().await);
        eventually("it is connected", || node.redis.is_connected()).await;
        node.logs().await;
        node
    }

    /// Waits until events are logged, that is, come with an offset.
    async fn logs(&self) {
        let (mut client, _) = self.connect().await;
        for _ in 0..500 {
            self.server.emit("probe", 0);
            if client.text().await.matches('"').count() == 4 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("events are not logged");
    }

    async fn connect(&self) -> (WebSocket, Session) {
        let mut client = WebSocket::connect(&self.server).await;
        let reply = client.text().await;
        let session = Session { id: field(&reply, "sid"), secret: field(&reply, "pid") };
        (client, session)
    }

    fn socket(&self, session: &Session) -> Option<Socket> {
        self.server.main_namespace().sockets().socket(&session.id)
    }

    /// Comes back; gives what came before the CONNECT, if the session was recovered.
    async fn restore(&self, session: &Session, offset: Option<&str>) -> Option<(WebSocket, Vec<String>)> {
        let offset = offset.map(|offset| format!(",\"offset\":\"{offset}\"")).unwrap_or_default();
        let mut client =
            WebSocket::connect_with(&self.server, &format!("{{\"pid\":\"{}\"{offset}}}", session.secret)).await;
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

    fn cut(&self, is_cut: bool) {
        for proxy in &self.proxies {
            proxy.cut.send_replace(if is_cut { Cut::All } else { Cut::None });
        }
    }
}

struct Session {
    id: String,
    secret: String,
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
    assert!(events.is_sorted_by_key(|event| number(&offset(event))), "{events:?}");
    events.iter().map(|event| event.replace(&format!(",\"{}\"]", offset(event)), "]")).collect()
}

fn record(redis: &impl Topology, session: &Session) -> Option<String> {
    let key = format!("sio:session:{}", session.secret);
    redis.command_at(&key, &["GET", &key])
}

/// Waits until the session is written, with what was done before.
async fn written(redis: &impl Topology, session: &Session) {
    eventually("the session is written", || record(redis, session).is_some()).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
}

#[tokio::test]
async fn a_client_of_a_dead_node_is_recovered_by_another() {
    a_dead_node(&Redis::started()).await;
}

#[tokio::test]
async fn over_a_redis_cluster_too() {
    let redis = tokio::task::spawn_blocking(|| RedisCluster::start(5_000, false, None)).await.unwrap();
    for _ in 0..3 {
        a_dead_node(&redis).await;
    }
}

async fn a_dead_node(redis: &impl Topology) {
    let (first, second) = (Node::start(redis).await, Node::start(redis).await);
    let (mut client, session) = first.connect().await;
    first.socket(&session).unwrap().join("room").unwrap();
    first.socket(&session).unwrap().set_data("name", "n");
    second.server.to("room").emit("e", 1);
    let last = event(&mut client).await;
    written(redis, &session).await;
    first.cut(true);
    drop(client);
    second.server.to("room").emit("e", 2);
    second.server.to("elsewhere").emit("e", 3);
    second.server.to(&session.id).emit("e", (4, bytes_of(3)));
    second.server.except("room").emit("e", 5);
    second.server.volatile().emit("e", 6);
    second.server.emit("e", 7);
    let (mut client, missed) = second.restore(&session, Some(&offset(&last))).await.unwrap();
    let texts: Vec<_> = missed.iter().filter(|text| text.starts_with('4')).cloned().collect();
    assert_eq!(texts.len(), 3, "{missed:?}");
    let socket = second.socket(&session).unwrap();
    assert!(socket.is_recovered() && socket.is_in("room"));
    assert_eq!(socket.data::<String>("name").unwrap(), "n");
    second.server.to("room").emit("e", 8);
    assert_eq!(without_offsets(&[event(&mut client).await]), ["42[\"e\",8]"]);
    // A session is restored once.
    let third = Node::start(redis).await;
    written(redis, &session).await;
    let (_there, missed) = third.restore(&session, Some(&offset(&last))).await.unwrap();
    assert!(!missed.is_empty());
    // Its old socket ends.
    while client.text().await != "41" {}
    eventually("the old socket is gone", || second.socket(&session).is_none()).await;
    assert!(third.socket(&session).is_some());
    written(redis, &session).await;
}

fn bytes_of(len: usize) -> String {
    "b".repeat(len)
}

/// The node of old comes to itself, and must not touch what another has taken over.
#[tokio::test]
async fn an_old_node_lets_go() {
    let redis = Redis::started();
    let (first, second) = (Node::start(&redis).await, Node::start(&redis).await);
    let (mut client, session) = first.connect().await;
    written(&redis, &session).await;
    let old = record(&redis, &session).unwrap();
    first.cut(true);
    first.socket(&session).unwrap().join("late").unwrap();
    let (_there, _) = second.restore(&session, None).await.unwrap();
    written(&redis, &session).await;
    let taken = record(&redis, &session).unwrap();
    assert_ne!(old, taken);
    first.cut(false);
    eventually("the old socket is gone", || first.socket(&session).is_none()).await;
    assert_eq!(event(&mut client).await, "41");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(record(&redis, &session).unwrap(), taken);
    assert!(second.socket(&session).is_some());
}

#[tokio::test]
async fn while_redis_is_away_own_clients_are_served_and_no_offset_lies() {
    let redis = Redis::started();
    let (first, second) = (Node::start(&redis).await, Node::start(&redis).await);
    let (mut client, session) = first.connect().await;
    let (mut far, _) = second.connect().await;
    first.server.emit("e", 1);
    let before = offset(&event(&mut client).await);
    event(&mut far).await;
    written(&redis, &session).await;
    first.cut(true);
    for number in 2..5 {
        first.server.emit("e", number);
        let got = event(&mut client).await;
        assert!(got.starts_with(&format!("42[\"e\",{number}")), "{got}");
    }
    assert!(first.redis.metrics().recovery.unlogged.value() >= 3);
    first.cut(false);
    // The other node's clients get all of it, once.
    for number in 2..5 {
        assert_eq!(without_offsets(&[event(&mut far).await]), [format!("42[\"e\",{number}]")]);
    }
    eventually("it is connected", || first.redis.is_connected()).await;
    first.logs().await;
    // What came from before tells nothing any more.
    let third = Node::start(&redis).await;
    assert!(third.restore(&session, Some(&before)).await.is_none());
    // What has come since does.
    let mut last = client.text().await;
    while let Some(text) = client.text_soon().await {
        last = text;
    }
    let (_there, missed) = third.restore(&session, Some(&offset(&last))).await.unwrap();
    assert!(missed.iter().all(|event| event.contains("probe")), "{missed:?}");
}

#[tokio::test]
async fn who_needs_what_is_gone_is_not_recovered() {
    let redis = Redis::started();
    let node = Node::start(&redis).await;
    let lost = async |count: i32| {
        let (mut client, session) = node.connect().await;
        node.server.emit("e", 0);
        let offset = offset(&event(&mut client).await);
        drop(client);
        eventually("it is gone", || node.socket(&session).is_none()).await;
        for number in 0..count {
            node.server.emit("e", number);
        }
        written(&redis, &session).await;
        (session, offset)
    };
    let (session, offset) = lost(3).await;
    redis.command::<()>(&["XTRIM", "socket.io", "MAXLEN", "2"]);
    assert!(node.restore(&session, Some(&offset)).await.is_none());
    let (session, offset) = lost(3).await;
    redis.command::<()>(&["XTRIM", "socket.io", "MAXLEN", "4"]);
    assert_eq!(node.restore(&session, Some(&offset)).await.unwrap().1.len(), 3);
    // Offsets that are none, or of no entry.
    for offset in ["x", "", "5", "99999999999999-0"] {
        let (session, _) = lost(1).await;
        assert!(node.restore(&session, Some(offset)).await.is_none(), "{offset}");
    }
    // Secrets that are none.
    for secret in ["", "x", "floor:x", "*", "../../"] {
        let session = Session { id: String::new(), secret: secret.to_owned() };
        assert!(node.restore(&session, Some("1-0")).await.is_none(), "{secret}");
    }
    // A secret is good in its own namespace only.
    let (session, _) = lost(1).await;
    let mut client = WebSocket::open(&node.server, "EIO=4&transport=websocket").await;
    client.text().await;
    client.send(&format!("40/other,{{\"pid\":\"{}\"}}", session.secret)).await;
    let reply = client.text().await;
    assert_ne!(field(&reply, "pid"), session.secret);
    // The program, or the client, wanted the end.
    let (client, session) = node.connect().await;
    written(&redis, &session).await;
    node.socket(&session).unwrap().disconnect();
    eventually("it is forgotten", || record(&redis, &session).is_none()).await;
    drop(client);
}

#[tokio::test]
async fn a_replay_is_bounded() {
    let redis = Redis::started();
    let mut limits = Limits::default();
    limits.max_outbox_bytes = 100_000;
    let node = Node::with(&redis, limits).await;
    for (size, is_recovered) in [(1_000, true), (10_000, false)] {
        let (client, session) = node.connect().await;
        written(&redis, &session).await;
        drop(client);
        eventually("it is gone", || node.socket(&session).is_none()).await;
        for _ in 0..20 {
            node.server.emit("e", bytes_of(size));
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        let restored = node.restore(&session, None).await;
        assert_eq!(restored.map(|(_, missed)| missed.len()), is_recovered.then_some(20));
    }
}

#[tokio::test]
async fn what_is_sent_first_comes_first() {
    let redis = Redis::started();
    let node = Node::start(&redis).await;
    let (mut client, session) = node.connect().await;
    let socket = node.socket(&session).unwrap();
    for _ in 0..20 {
        socket.emit("kept", 1);
        node.server.volatile().emit("volatile", 2);
        let asking = tokio::spawn({
            let socket = socket.clone();
            async move { socket.timeout(Duration::from_secs(5)).emit_with_ack::<i32>("asked", 3).await }
        });
        assert!(event(&mut client).await.starts_with("42[\"kept\",1,\""));
        assert_eq!(client.text().await, "42[\"volatile\",2]");
        let asked = client.text().await;
        let id = asked.strip_prefix("42").and_then(|rest| rest.split('[').next()).unwrap().to_owned();
        client.send(&format!("43{id}[4]")).await;
        assert_eq!(asking.await.unwrap().unwrap(), 4);
    }
    socket.emit("bye", 1);
    socket.disconnect();
    assert_eq!(client.text().await, "42[\"bye\",1]");
    assert_eq!(client.text().await, "41");
    client.silence().await;
}

/// A stream that has lost what was not read yet: nobody can tell any more, so all begin anew.
#[tokio::test]
async fn a_lost_stream_is_told() {
    let redis = Redis::started();
    let node = Node::start(&redis).await;
    let (mut client, session) = node.connect().await;
    written(&redis, &session).await;
    redis.stop();
    eventually("it is noticed", || !node.redis.is_connected()).await;
    redis.start();
    redis.command::<()>(&["XADD", "socket.io", "*", "uid", "x", "nsp", "/none", "type", "2"]);
    assert!(matches!(client.next().await, Got::End | Got::Close(_)), "its connection ends");
    eventually("it is connected", || node.redis.is_connected()).await;
    assert_eq!(node.redis.metrics().recovery.gaps.value(), 1);
    assert!(node.restore(&session, None).await.is_none());
    node.logs().await;
    let (client, session) = node.connect().await;
    written(&redis, &session).await;
    drop(client);
    assert!(node.restore(&session, None).await.is_some());
}

/// A process that stands still (a machine that is paused, too little processor time) while the stream is trimmed: what it has not read
/// is gone, though its connection is not.
#[tokio::test]
async fn a_stream_that_is_trimmed_under_its_reader_is_told() {
    let redis = Redis::started();
    let node = Node::start(&redis).await;
    let (mut client, session) = node.connect().await;
    written(&redis, &session).await;
    for proxy in &node.proxies {
        proxy.cut.send_replace(Cut::Reading);
    }
    let script = "for i=1,300 do redis.call('XADD','socket.io','MAXLEN',10,'*','uid','x','nsp','/none','type',2) end";
    redis.command::<()>(&["EVAL", script, "0"]);
    node.cut(false);
    assert!(matches!(client.next().await, Got::End | Got::Close(_)), "its connection ends");
    assert_eq!(node.redis.metrics().recovery.gaps.value(), 1);
    assert!(node.restore(&session, None).await.is_none());
    node.logs().await;
}

/// A full Redis removes keys, those that end soonest first: the sessions of clients that are here are written again.
#[tokio::test]
async fn sessions_that_were_evicted_are_written_again() {
    let redis = Redis::started();
    let (first, second) = (Node::start(&redis).await, Node::start(&redis).await);
    let (client, session) = first.connect().await;
    written(&redis, &session).await;
    let script = "for i=1,400 do redis.call('SET','filler:'..i,string.rep('x',10000),'EX',3600) end";
    redis.command::<()>(&["EVAL", script, "0"]);
    for setting in [["maxmemory-policy", "volatile-ttl"], ["maxmemory-samples", "64"]] {
        redis.command::<()>(&["CONFIG", "SET", setting[0], setting[1]]);
    }
    let info: String = redis.command(&["INFO", "memory"]);
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap();
    let mut max: u64 = used.trim().parse().unwrap();
    while record(&redis, &session).is_some() {
        max -= 20_000;
        redis.command::<()>(&["CONFIG", "SET", "maxmemory", &max.to_string()]);
    }
    redis.command::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
    eventually("it is written again", || record(&redis, &session).is_some()).await;
    assert!(first.redis.metrics().recovery.rewritten.value() >= 1);
    drop(client);
    assert!(second.restore(&session, None).await.is_some());
}

/// The stream is gone, too, so clients begin anew; they can be recovered again within seconds.
#[tokio::test]
async fn after_a_flush_sessions_are_there_within_seconds() {
    let redis = Redis::started();
    let (first, second) = (Node::start(&redis).await, Node::start(&redis).await);
    let (mut client, session) = first.connect().await;
    written(&redis, &session).await;
    let since = std::time::Instant::now();
    redis.command::<()>(&["FLUSHALL"]);
    assert!(matches!(client.next().await, Got::End | Got::Close(_)), "its connection ends");
    assert_eq!(first.redis.metrics().recovery.gaps.value(), 1);
    assert!(first.restore(&session, None).await.is_none());
    first.logs().await;
    let (client, session) = first.connect().await;
    written(&redis, &session).await;
    assert!(since.elapsed() < Duration::from_secs(8), "{:?}", since.elapsed());
    drop(client);
    eventually("it is gone", || first.socket(&session).is_none()).await;
    second.logs().await;
    assert!(second.restore(&session, None).await.is_some());
}
