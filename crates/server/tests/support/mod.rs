//! What the tests share: the server as a process, and a small Socket.IO client.

#![allow(dead_code, unreachable_pub, reason = "each test program uses a part of it")]

mod client;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;

#[allow(unused_imports, reason = "each test program uses a part of it")]
pub use client::{Client, PATIENCE};

/// The program with arguments, and an environment without what would configure it.
pub fn sockeye<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sockeye"));
    for (name, _) in std::env::vars() {
        if name.starts_with("SOCKEYE") || name == "PORT" || name == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    command.args(arguments);
    command
}

/// A file in a folder of its own, which goes away with it.
pub fn config(text: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sockeye.toml");
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (dir, path)
}

/// A running server, which is killed when the test is done with it.
pub struct Process {
    child: Child,
    lines: mpsc::Receiver<String>,
    pub address: SocketAddr,
    /// The listener for operators, if there is one.
    pub admin: Option<SocketAddr>,
}

impl Process {
    /// Starts the program on a free port and waits until it listens.
    pub fn start<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Self {
        Self::start_until("listening", arguments)
    }

    /// The same, until it says this of an address.
    pub fn start_until<'a>(message: &str, arguments: impl IntoIterator<Item = &'a str>) -> Self {
        let mut command = sockeye(arguments);
        command.args(["--host", "127.0.0.1", "--port", "0"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = follow(child.stderr.take().unwrap());
        let mut seen = Vec::new();
        let mut admin = None;
        let address = loop {
            let Ok(line) = lines.recv_timeout(PATIENCE) else {
                panic!("the server does not listen: {seen:?}");
            };
            let entry: Value = serde_json::from_str(&line).unwrap_or_default();
            let address = entry["address"].as_str().and_then(|address| address.parse().ok());
            if entry["message"] == "the listener for operators" {
                admin = address;
            }
            if entry["message"] == message {
                break address.unwrap();
            }
            seen.push(line);
        };
        Self { child, lines, address, admin }
    }

    /// The id of the process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    /// Waits for the end. Gives back the exit status and the messages of the log.
    pub fn wait(mut self) -> (ExitStatus, Vec<String>) {
        let until = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < until, "the server does not end");
            std::thread::sleep(Duration::from_millis(10));
        };
        let entries = self.lines.iter().map(|line| serde_json::from_str::<Value>(&line).unwrap_or_default());
        let messages = entries.map(|entry| entry["message"].as_str().unwrap_or_default().to_owned());
        (status, messages.collect())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().unwrap_or_default();
        let _status = self.child.wait();
    }
}

fn follow(stderr: ChildStderr) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// A request on a connection of its own: the status, the head and the body.
pub fn get(address: SocketAddr, path: &str, headers: &str) -> (u16, String, Vec<u8>) {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{headers}\r\n").unwrap();
    let mut response = Vec::new();
    stream.read_to_end(&mut response).unwrap();
    let end = response.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(response[..end].to_vec()).unwrap().to_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head, response[end + 4..].to_vec())
}
