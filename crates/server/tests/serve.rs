//! Starting, serving the page, and stopping.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use support::{Client, Process, config, get, sockeye};
use tokio_tungstenite::tungstenite::Message;

#[tokio::test]
async fn a_stop_closes_the_connections_and_ends_without_an_error() {
    for signal in ["TERM", "INT"] {
        let server = Process::start([]);
        let mut client = Client::connect(server.address, json!({})).await;
        let mut other = Client::connect(server.address, json!({})).await;
        for client in [&mut client, &mut other] {
            client.ask("join", json!([{ "room": "lobby" }])).await;
        }
        server.signal(signal);
        let mut messages = Vec::new();
        while let Some(message) = client.message().await {
            messages.push(message);
        }
        // No goodbye of Socket.IO: that would tell the client not to come back. Nor is everybody told that everybody leaves.
        let unwanted = |text: &str| text.starts_with("41") || text.contains("sockeye:left");
        assert!(!messages.iter().any(|message| unwanted(&message.to_string())), "{messages:?}");
        assert!(matches!(messages.last(), Some(Message::Close(_))), "{messages:?}");
        drop(other);
        let (status, log) = server.wait();
        assert_eq!(status.code(), Some(0), "{log:?}");
        assert_eq!(log.last().map(String::as_str), Some("stopped"));
    }
}

#[tokio::test]
async fn a_stop_answers_a_waiting_poll() {
    let server = Process::start([]);
    let address = server.address;
    let open = get(address, "/socket.io/?EIO=4&transport=polling", "").2;
    let sid: serde_json::Value = serde_json::from_slice(&open[1..]).unwrap();
    let path = format!("/socket.io/?EIO=4&transport=polling&sid={}", sid["sid"].as_str().unwrap());
    let poll = tokio::task::spawn_blocking(move || get(address, &path, ""));
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.signal("TERM");
    let (status, _, body) = poll.await.unwrap();
    assert_eq!((status, body.as_slice()), (200, &b"1"[..]));
    assert_eq!(server.wait().0.code(), Some(0));
}

#[tokio::test]
async fn a_client_that_does_not_go_is_cut_in_time_and_a_second_signal_does_not_wait() {
    let (_dir, path) = config("[server]\nshutdown_timeout = \"300ms\"");
    let server = Process::start(["--config", &path]);
    // It never reads the close, nor answers it.
    let _client = Client::connect(server.address, json!({})).await;
    server.signal("TERM");
    let (status, log) = server.wait();
    assert_eq!(status.code(), Some(0));
    assert!(log.last().is_some_and(|last| last.starts_with("server.shutdown_timeout has passed")), "{log:?}");

    let server = Process::start([]);
    let _client = Client::connect(server.address, json!({})).await;
    server.signal("TERM");
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.signal("INT");
    assert_eq!(server.wait().0.code(), Some(130));
}

#[test]
fn a_port_in_use_is_named_with_the_way_out() {
    let server = Process::start([]);
    let port = server.address.port().to_string();
    let output = sockeye(["--host", "127.0.0.1", "--port", &port]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(complaint.contains(&format!("port {port} is in use")) && complaint.contains("--port"), "{complaint}");
}

#[test]
fn people_get_a_banner_and_machines_an_entry_of_the_log() {
    let (_dir, path) = config("[log]\nformat = \"text\"\n[server]\ndemo = true\n[[namespace]]\nname = \"/x\"");
    let mut command = sockeye(["--config", &path, "--port", "0", "--host", "127.0.0.1"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(700));
    child.kill().unwrap();
    let output = child.wait_with_output().unwrap();
    let banner = String::from_utf8(output.stdout).unwrap();
    for expected in ["Sockeye", "chat         http://127.0.0.1:", "/socket.io/ by polling, websocket", "/x", "Ctrl-C"] {
        assert!(banner.contains(expected), "no {expected} in:\n{banner}");
    }
}

#[test]
fn the_chat_page_and_its_files_are_served_with_their_headers() {
    let server = Process::start([]);
    for (path, kind) in [
        ("/", "text/html"),
        ("/?client=sockeye", "text/html"),
        ("/chat.js", "text/javascript"),
        ("/chat.css", "text/css"),
        ("/sockeye.js", "text/javascript"),
    ] {
        let (status, head, body) = get(server.address, path, "");
        assert_eq!(status, 200, "{path}");
        assert!(!body.is_empty() && head.contains(&format!("content-type: {kind}; charset=utf-8")), "{head}");
        assert!(head.contains("content-security-policy: default-src 'none'") && head.contains("nosniff"), "{head}");
        let etag = head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap();
        let (status, _, body) = get(server.address, path, &format!("if-none-match: W/\"x\", {etag}\r\n"));
        assert_eq!((status, body.len()), (304, 0), "{path}");
        let (status, head, zipped) = get(server.address, path, "accept-encoding: br, gzip\r\n");
        assert_eq!(status, 200);
        assert!(head.contains("content-encoding: gzip") && zipped.starts_with(&[0x1f, 0x8b]), "{head}");
        let (_, head, _) = get(server.address, path, "accept-encoding: gzip;q=0\r\n");
        assert!(!head.contains("content-encoding"), "{head}");
    }
    assert_eq!(get(server.address, "/nothing", "").0, 404);
    let (status, _, body) = get(server.address, "/socket.io/socket.io.js", "");
    assert!(status == 404 && String::from_utf8_lossy(&body).contains("server.client_dir"), "it says what to do");
}

#[test]
fn without_the_demo_there_is_only_the_client() {
    let (dir, path) = config("[server]\nclient_dir = \"CLIENT\"");
    let (_other, with_demo) = config("[server]\ndemo = true\nclient_dir = \"CLIENT\"\n[engine]\npath = \"/live\"");
    let client = dir.path().join("client-dist");
    std::fs::create_dir(&client).unwrap();
    std::fs::write(client.join("socket.io.js"), "/*!\n * Socket.IO v4.8.4\n */").unwrap();
    for path in [&path, &with_demo] {
        let text = std::fs::read_to_string(path).unwrap().replace("CLIENT", client.to_str().unwrap());
        std::fs::write(path, text).unwrap();
    }
    let server = Process::start(["--config", &path]);
    assert_eq!(get(server.address, "/", "").0, 404);
    assert_eq!(get(server.address, "/chat.js", "").0, 404);
    assert_eq!(get(server.address, "/sockeye.js", "").0, 200);
    let (status, _, body) = get(server.address, "/socket.io/socket.io.js", "");
    assert_eq!(status, 200);
    assert!(body.starts_with(b"/*!\n * Socket.IO v4.8.4"));
    // The page is told where it is, and nothing where it is not.
    let page = |server: &Process| String::from_utf8(get(server.address, "/", "").2).unwrap();
    let told = page(&Process::start(["--config", &with_demo]));
    assert!(told.contains("data-path=\"/live\" data-client=\"/live/socket.io.js\""), "{told}");
    assert!(page(&Process::start([])).contains("data-path=\"/socket.io\" data-client=\"\""));
}
