//! The log, where standard error takes nothing: the server goes on, and says later what is missing.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]
#![cfg(unix)]

mod support;

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use sockeye_cluster_suite::free_port;
use support::{PATIENCE, config, get, sockeye};

/// A server that is not asked by its log where it is.
struct Server {
    child: Child,
    address: SocketAddr,
    admin: SocketAddr,
}

/// A configuration that logs every request, but keeps little of it.
const TALKATIVE: &str = "[log]\nlevel = \"debug\"\nmax_queue_bytes = \"4KiB\"\n";

fn free_address() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, free_port()).into()
}

impl Server {
    /// Starts it by a command that gets its arguments, and waits until it serves.
    fn start(mut command: Command, stderr: Stdio) -> Self {
        let (address, admin) = (free_address(), free_address());
        command.args(["--host", "127.0.0.1", "--port", &address.port().to_string()]);
        command.env("SOCKEYE__ADMIN__LISTEN", admin.to_string());
        let child = command.stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
        let mut server = Self { child, address, admin };
        server.wait_for("it listens", |server| TcpStream::connect(server.address).is_ok());
        server
    }

    fn wait_for(&mut self, what: &str, mut condition: impl FnMut(&mut Self) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !condition(self) {
            assert_eq!(self.child.try_wait().unwrap(), None, "the server has ended");
            assert!(Instant::now() < until, "waited for: {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Makes the server log.
    fn ask_wrongly(&self) {
        assert_eq!(get(self.address, "/socket.io/?EIO=4&transport=none", "").0, 400);
    }

    fn dropped(&self) -> u64 {
        let page = String::from_utf8(get(self.admin, "/metrics", "").2).unwrap();
        page.lines().find_map(|line| line.strip_prefix("sockeye_log_dropped_total ")?.parse().ok()).unwrap()
    }

    /// Asks until something was dropped: the server answers all the while.
    fn ask_until_dropped(&mut self) {
        self.wait_for("dropped lines", |server| {
            server.ask_wrongly();
            server.dropped() > 0
        });
    }

    fn stop(&mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < until, "the server does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().unwrap_or_default();
        let _status = self.child.wait();
    }
}

#[test]
fn a_full_disk_below_the_log_harms_nobody() {
    let (_dir, path) = config(TALKATIVE);
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut server = Server::start(sockeye(["--config", &path]), full.into());
    server.ask_until_dropped();
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn a_reader_of_the_log_that_goes_away_harms_nobody() {
    let (_dir, path) = config(TALKATIVE);
    let mut server = Server::start(sockeye(["--config", &path]), Stdio::piped());
    drop(server.child.stderr.take());
    server.ask_until_dropped();
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn a_closed_standard_error_harms_nobody() {
    let (_dir, path) = config(TALKATIVE);
    let program = sockeye([]);
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$@\" 2>&-", "sh"]).arg(program.get_program()).args(["--config", &path]);
    let mut server = Server::start(command, Stdio::null());
    for _ in 0..10 {
        server.ask_wrongly();
    }
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn a_log_that_nobody_reads_blocks_nobody_and_tells_later_what_is_missing() {
    let (_dir, path) = config(TALKATIVE);
    let mut server = Server::start(sockeye(["--config", &path]), Stdio::piped());
    // The pipe takes 64 KiB, the queue 4 KiB.
    server.ask_until_dropped();
    server.ask_wrongly();
    let stderr = server.child.stderr.take().unwrap();
    let lines = std::thread::spawn(move || BufReader::new(stderr).lines().map_while(Result::ok).collect::<Vec<_>>());
    assert_eq!(server.stop().code(), Some(0));
    let lines = lines.join().unwrap();
    let entries: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let missing: u64 = entries.iter().filter_map(|entry| entry["dropped"].as_u64()).sum();
    assert!(missing > 0, "{lines:?}");
    // The last one, too, may have found no room.
    let last = entries.last().unwrap();
    assert!(last["message"] == "stopped" || last["dropped"].is_u64(), "{lines:?}");
}

#[test]
fn an_end_does_not_wait_for_a_log_that_nobody_reads() {
    let (_dir, path) = config(TALKATIVE);
    let mut server = Server::start(sockeye(["--config", &path]), Stdio::piped());
    server.ask_until_dropped();
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn repeats_are_suppressed_and_counted() {
    let (_dir, path) = config("[server]\nworkers = 1\n");
    let program = sockeye([]);
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 64; exec \"$@\"", "sh"]).arg(program.get_program()).args(["--config", &path]);
    let mut server = Server::start(command, Stdio::piped());
    let lines = BufReader::new(server.child.stderr.take().unwrap()).lines();
    // More than it may have open, and none that is silent, which would give way: it fails to accept twenty times a second.
    let client = |_| {
        let mut client = TcpStream::connect(server.address).unwrap();
        client.write_all(b"GET /nothing HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        client
    };
    let clients: Vec<_> = (0..80).map(client).collect();
    let entries = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let mut failures = entries.filter(|entry| entry["message"] == "accept failed");
    let suppressed = failures.find_map(|entry| entry["suppressed"].as_u64()).unwrap();
    assert!(suppressed > 0);
    drop(clients);
}
