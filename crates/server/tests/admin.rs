//! The listener for operators: alive, ready, and what is counted, while Redis comes and goes.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::json;
use sockeye_cluster_suite::free_port;
use support::{Client, PATIENCE, Process, config, get};

fn text(address: SocketAddr, path: &str) -> (u16, String) {
    let (status, _, body) = get(address, path, "");
    (status, String::from_utf8(body).unwrap())
}

fn value(address: SocketAddr, name: &str) -> f64 {
    let page = text(address, "/metrics").1;
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in\n{page}")).parse().unwrap()
}

/// Waits until the server is, or is not, ready, and gives its word for it.
fn readiness(address: SocketAddr, status: u16) -> String {
    let until = Instant::now() + PATIENCE;
    loop {
        let (found, body) = text(address, "/readyz");
        if found == status {
            return body;
        }
        assert!(Instant::now() < until, "{body}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

struct Redis(Child);

impl Redis {
    fn start(port: u16) -> Self {
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        Self(command.stdout(Stdio::null()).spawn().expect("redis-server is installed"))
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[tokio::test]
async fn a_single_node_is_alive_and_ready_and_counts() {
    let (_dir, path) = config("[admin]\nlisten = \"127.0.0.1:0\"");
    let server = Process::start(["--config", &path]);
    let admin = server.admin.unwrap();
    assert_eq!(text(admin, "/healthz"), (200, "alive\n".to_owned()));
    assert_eq!(text(admin, "/readyz"), (200, "ready\n".to_owned()));
    assert_eq!(text(admin, "/").0, 404);
    assert_eq!(text(server.address, "/readyz").0, 404, "not for clients");
    assert_eq!(value(admin, "sockeye_connections"), 0.0);
    let _client = Client::connect(server.address, json!({})).await;
    assert_eq!(value(admin, "sockeye_connections"), 1.0);
    assert_eq!(value(admin, "sockeye_opened_total"), 1.0);
    let (_, head, page) = get(admin, "/metrics", "");
    assert!(head.contains("application/openmetrics-text"), "{head}");
    let page = String::from_utf8(page).unwrap();
    assert!(page.ends_with("# EOF\n") && page.contains("bound_reached_total{bound=\"max_rooms\"} 0"), "{page}");
    assert!(!page.contains("redis"), "{page}");
}

#[tokio::test]
async fn redis_gates_the_start_and_clients_are_served_all_the_while() {
    let port = free_port();
    let (_dir, path) = config(&format!(
        "[admin]\nlisten = \"127.0.0.1:0\"\n[cluster]\nadapter = \"redis-native\"\n[cluster.redis]\nurl = \"redis://127.0.0.1:{port}\"\n\
         [[namespace]]\nname = \"/\"\n[[namespace.event]]\nname = \"say\"\nroute = {{ kind = \"broadcast\", exclude_sender = false }}"
    ));
    let server = Process::start(["--config", &path]);
    let admin = server.admin.unwrap();
    let mut client = Client::connect(server.address, json!({})).await;
    let reason = readiness(admin, 503);
    // Which of the connections it names depends on which was missed first.
    assert!(reason.starts_with("not ready: no connection to Redis: "), "{reason}");
    assert_eq!(value(admin, "sockeye_ready"), 0.0);
    for round in 0..2 {
        assert_eq!(text(admin, "/healthz").0, 200);
        client.emit("say", json!([round])).await;
        assert_eq!(client.event().await, json!(["say", round]));
        let redis = Redis::start(port);
        let connected = || value(admin, "sockeye_cluster_connected");
        while connected() != 1.0 {}
        assert_eq!(text(admin, "/readyz"), (200, "ready\n".to_owned()));
        drop(redis);
        // All nodes have lost it at once: who takes them out of the load balancer makes an outage of it.
        while connected() != 0.0 {
            assert_eq!(text(admin, "/readyz").0, 200);
        }
        let (status, body) = text(admin, "/readyz");
        assert!(status == 200 && body.starts_with("ready, but degraded: no connection to Redis: "), "{status} {body}");
        assert_eq!(value(admin, "sockeye_ready"), 1.0);
    }
    assert!(value(admin, "sockeye_redis_disconnects_total") >= 4.0);
    assert_eq!(value(admin, "sockeye_redis_resubscribed_total"), 1.0);
}

#[test]
fn an_emit_to_nobody_fails_if_that_is_asked() {
    let port = free_port();
    let _redis = Redis::start(port);
    let url = format!("redis://127.0.0.1:{port}");
    let emit = |more: &[&'static str]| {
        let mut command = support::sockeye(["emit", "--url", &url, "--adapter", "redis-native", "news"]);
        command.args(more).output().unwrap()
    };
    let until = Instant::now() + PATIENCE;
    let mut output = emit(&[]);
    while !output.status.success() && Instant::now() < until {
        output = emit(&[]);
    }
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("note: nobody got it"));
    let output = emit(&["--require-recipient"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("error: nobody got it"));
    let (_dir, path) = config(&format!(
        "[admin]\nlisten = \"127.0.0.1:0\"\n[cluster]\nadapter = \"redis-native\"\n[cluster.redis]\nurl = \"{url}\""
    ));
    let server = Process::start(["--config", &path]);
    readiness(server.admin.unwrap(), 200);
    assert_eq!(emit(&["--require-recipient"]).status.code(), Some(0));
}

#[test]
fn a_node_is_ready_before_a_client_comes() {
    let port = free_port();
    let _redis = Redis::start(port);
    let (_dir, path) = config(&format!(
        "[admin]\nlisten = \"127.0.0.1:0\"\n[cluster]\nadapter = \"redis-native\"\n[cluster.redis]\nurl = \"redis://127.0.0.1:{port}\""
    ));
    let server = Process::start(["--config", &path]);
    readiness(server.admin.unwrap(), 200);
}

#[test]
fn a_node_among_peers_starts_when_redis_is_there() {
    let port = free_port();
    let (_dir, path) = config(&format!(
        "[admin]\nlisten = \"127.0.0.1:0\"\n[cluster]\nadapter = \"redis-native\"\n[cluster.redis]\nurl = \"redis://127.0.0.1:{port}\"\n\
         [cluster.peers]\nsecret = \"a secret of the nodes\""
    ));
    let server = Process::start_until("the listener for operators", ["--config", &path]);
    assert_eq!(text(server.address, "/readyz"), (503, "not ready: the server is starting\n".to_owned()));
    let _redis = Redis::start(port);
    readiness(server.address, 200);
    server.signal("TERM");
    assert_eq!(server.wait().0.code(), Some(0));
}

/// The table of `docs/src/metrics.md`, from what a server shows that has everything.
fn documented(page: &str) -> String {
    let mut table = "| name | kind | what it tells |\n|---|---|---|\n".to_owned();
    let about = |kind: &str, name: &str| {
        let prefix = format!("# {kind} {name} ");
        page.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap_or_default().to_owned()
    };
    for name in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()) {
        let kind = about("TYPE", name);
        let suffix = if kind == "counter" { "_total" } else { "" };
        let labelled = format!("{name}{suffix}{{");
        let label = page.lines().find_map(|line| line.strip_prefix(&labelled)?.split('=').next());
        let label = label.map(|label| format!("{{{label}}}")).unwrap_or_default();
        table += &format!("| `{name}{suffix}{label}` | {kind} | {} |\n", about("HELP", name));
    }
    table
}

#[test]
fn the_documented_metrics_are_those_that_are_counted() {
    let of = |cluster: &str| {
        let (_dir, path) = config(&format!(
            "[admin]\nlisten = \"127.0.0.1:0\"\n{cluster}\n[cluster.peers]\nsecret = \"a secret of the nodes\""
        ));
        let server = Process::start_until("the listener for operators", ["--config", &path]);
        documented(&text(server.address, "/metrics").1)
    };
    let port = free_port();
    let mut table =
        of(&format!("[cluster]\nadapter = \"redis-native\"\n[cluster.redis]\nurl = \"redis://127.0.0.1:{port}\""));
    if cfg!(feature = "nats") {
        let nats = of(&format!("[cluster]\nadapter = \"nats\"\n[cluster.nats]\nurl = \"nats://127.0.0.1:{port}\""));
        let more: Vec<_> = nats.lines().filter(|line| !table.contains(line)).map(|line| format!("{line}\n")).collect();
        table.extend(more);
    }
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/src/metrics.md");
    let guide = std::fs::read_to_string(file).unwrap();
    let (before, rest) = guide.split_once("<!-- metrics -->\n").unwrap();
    let (found, after) = rest.split_once("<!-- end of metrics -->\n").unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(file, format!("{before}<!-- metrics -->\n{table}<!-- end of metrics -->\n{after}")).unwrap();
        return;
    }
    let how = "docs/src/metrics.md is out of date; make its table anew with: UPDATE_DOCS=1 cargo test -p sockeye-server --features full --test admin documented";
    // A program without all brokers does not count all of it.
    let is_whole = cfg!(all(feature = "nats", feature = "redis"));
    assert!(!is_whole || found == table, "{how}\n{table}");
}

#[test]
fn silent_connections_do_not_keep_anybody_waiting() {
    let (_dir, path) = config("[admin]\nlisten = \"127.0.0.1:0\"");
    let server = Process::start(["--config", &path]);
    let admin = server.admin.unwrap();
    let begin = Instant::now();
    let mut silent: Vec<_> = (0..200).map(|_| TcpStream::connect(admin).unwrap()).collect();
    assert_eq!(text(admin, "/healthz"), (200, "alive\n".to_owned()));
    for stream in &mut silent {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // The end, an answer that it took too long, or a reset.
        drop(stream.read(&mut [0; 512]));
    }
    // It was 10 s for each.
    assert!(begin.elapsed().as_secs() < 8, "{:?}", begin.elapsed());
}

#[test]
fn names_that_nobody_allowed_are_refused() {
    let (_dir, path) = config("[admin]\nlisten = \"127.0.0.1:0\"\nhosts = [\"Ops.example\"]");
    let server = Process::start(["--config", &path]);
    let admin = server.admin.unwrap();
    let ask = |host: &str| {
        let mut stream = TcpStream::connect(admin).unwrap();
        write!(stream, "GET /metrics HTTP/1.1\r\n{host}\r\n").unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        response
    };
    for host in ["localhost:3999", "127.0.0.1", "[::1]:3999", "ops.example:3999"] {
        let answer = ask(&format!("host: {host}\r\n"));
        assert!(answer.starts_with("HTTP/1.1 200 "), "{host}: {answer}");
    }
    assert!(ask("").starts_with("HTTP/1.1 200 "));
    let answer = ask("host: evil.example:3999\r\n");
    assert!(answer.starts_with("HTTP/1.1 421 ") && answer.contains("add the name to hosts in [admin]"), "{answer}");
    assert!(!answer.contains("sockeye_"), "{answer}");
}

#[test]
fn an_address_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let (_dir, path) = config(&format!("[admin]\nlisten = \"{address}\""));
    let output = support::sockeye(["--config", &path, "--port", "0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(complaint.contains(&format!("error: admin.listen: {address} is in use by another program")), "{complaint}");
    let (_dir, path) = config(&format!(
        "[cluster]\nadapter = \"redis-native\"\n[cluster.redis]\nurl = \"redis://127.0.0.1:1\"\n\
         [cluster.peers]\nlisten = \"{address}\"\nsecret = \"a secret of the nodes\""
    ));
    let output = support::sockeye(["--config", &path, "--port", "0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let complaint = String::from_utf8(output.stderr).unwrap();
    let expected = format!("error: cluster.peers.listen: {address} is in use by another program");
    assert!(complaint.contains(&expected), "{complaint}");
}
