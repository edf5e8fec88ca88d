//! Every scenario against a server in this process.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::time::Duration;

use sockeye_load::{Error, Report};
use support::{bench, serve, serve_with_pause};

/// Runs a scenario for a second; nothing may be lost.
fn clean(scenario: &str, options: &str) -> Report {
    let address = serve();
    let report = bench(&format!("{scenario} http://{address} --duration 1s --clients 6 {options}")).unwrap();
    assert!(report.is_clean(), "{}", report.to_text());
    assert_eq!(report.connected, 6);
    if let Some(messages) = &report.messages {
        assert!(messages.received > 0 && messages.lost == 0, "{}", report.to_text());
        assert!(messages.latency.p50 > 0.0 && messages.latency.p50 <= messages.latency.max);
    }
    report
}

#[test]
fn idle() {
    let pid = std::process::id();
    let report = clean("idle", &format!("--pid {pid}"));
    assert!(report.messages.is_none());
    let server = report.server.as_ref().unwrap();
    assert!(server.resident_connected > 0 && server.cpu_us_per_message.is_none());
    assert!(report.to_text().contains("6 of 6 connected"), "{}", report.to_text());
}

#[test]
fn echo_and_the_ways_to_ask_for_it() {
    let pid = std::process::id();
    let report = clean("echo", &format!("--warmup 200ms --window 4 --payload 100 --pid {pid}"));
    assert!(report.server.unwrap().cpu_us_per_message.unwrap() > 0.0);
    clean("echo", "--warmup 0s --threads 2 --senders 2");
    clean("echo", "--warmup 0s --namespace /load --event call --answer reply --auth {\"token\":1}");
    let report = clean("echo", "--warmup 100ms --transport polling");
    assert_eq!(report.transport, "polling");
}

#[test]
fn ack() {
    let report = clean("ack", "--warmup 100ms --window 3 --namespace /load");
    let messages = report.messages.unwrap();
    assert_eq!(messages.sent, messages.received);
}

#[test]
fn broadcast_comes_to_everybody() {
    let report = clean("broadcast", "--warmup 100ms");
    let messages = report.messages.unwrap();
    assert_eq!(messages.received, messages.sent * 6);
}

#[test]
fn rooms_get_what_is_theirs() {
    // Two rooms, of three each.
    let report = clean("rooms", "--warmup 100ms --room-size 4 --rate 100");
    let messages = report.messages.unwrap();
    assert_eq!((messages.sent, messages.received), (110, 330));
}

#[test]
fn polling() {
    let report = clean("polling", "--warmup 100ms");
    assert_eq!(report.transport, "polling");
}

#[test]
fn an_open_loop_keeps_its_rate_and_a_table_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("table.txt");
    let report = clean("echo", &format!("--warmup 0s --rate 500 --histogram {}", table.display()));
    let messages = report.messages.as_ref().unwrap();
    assert_eq!((messages.sent, messages.received, messages.unsent), (500, 500, 0));
    assert!(std::fs::read_to_string(table).unwrap().contains("500 values"));
    let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
    assert_eq!((&json["pace"]["loop"], &json["pace"]["senders"]), (&"open".into(), &6.into()));
}

/// A server that stands still for half a second of two: an open loop sees that a quarter of the messages had to wait, a closed
/// one sees one.
#[test]
fn an_open_loop_does_not_spare_a_server_that_stalls() {
    let pause = Duration::from_millis(500);
    let run = |options: &str| {
        let address = serve_with_pause(100, pause);
        let report = bench(&format!("echo http://{address} --clients 1 --warmup 0s --duration 2s {options}")).unwrap();
        assert!(report.is_clean(), "{}", report.to_text());
        report.messages.unwrap()
    };
    let open = run("--rate 200");
    assert!(open.latency.max > 450.0 && open.latency.p90 > 200.0, "{open:?}");
    assert_eq!(open.received, 400);
    let closed = run("--window 1");
    assert!(closed.latency.max > 450.0 && closed.latency.p90 < 100.0, "{closed:?}");
}

#[test]
fn what_is_lost_is_counted() {
    let address = serve();
    let run = format!("echo http://{address} --clients 1 --namespace /lossy --warmup 0s --duration 1s --rate 20");
    let report = bench(&run).unwrap();
    let messages = report.messages.as_ref().unwrap();
    assert_eq!((messages.sent, messages.lost), (20, 10));
    assert!(!report.is_clean());
}

#[test]
fn a_client_that_is_put_out_counts_and_the_run_goes_on_without_it() {
    let address = serve();
    let run = format!("echo http://{address} --clients 2 --senders 1 --namespace /strict --warmup 0s --duration 1s");
    let report = bench(&run).unwrap();
    assert_eq!(report.connected, 2);
    assert_eq!(report.failures.values().sum::<u64>(), 1, "{}", report.to_text());
    assert!(report.measured_seconds > 0.9 && !report.is_clean());
    assert!(report.to_text().contains("1 x the server ended the connection"), "{}", report.to_text());
}

#[test]
fn failures_say_whose_fault_they_are() {
    let address = serve();
    let failure = |arguments: &str| {
        let report = bench(&format!("{arguments} --clients 2 --duration 1s")).unwrap();
        assert!(!report.is_clean() && report.connected == 0, "{}", report.to_text());
        report.failures.into_keys().next().unwrap()
    };
    let closed_port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (arguments, expected) in [
        (format!("echo http://{closed_port}"), "is the server running"),
        (format!("echo http://{address} --path /other"), "404 (is --path right?)"),
        (format!("polling http://{address} --path /other"), "404 (is --path right?)"),
        (
            format!("echo http://{address} --namespace /closed"),
            "refused the namespace /closed: {\"message\":\"members only\"}",
        ),
        (format!("echo http://{address} --namespace /none"), "Invalid namespace"),
    ] {
        let failure = failure(&arguments);
        assert!(failure.contains(expected), "{arguments}: {failure}");
    }
}

#[test]
fn options_that_make_no_sense_are_refused() {
    for (arguments, expected) in [
        ("echo http://localhost:1 --payload 3", "at least 14"),
        ("echo http://localhost:1 --senders 101", "100 clients"),
        ("echo http://localhost:1 --rate 0", "more than 0"),
        ("echo http://localhost:1 --auth [1]", "JSON object"),
        ("echo http://localhost:1 --namespace load", "slash"),
        ("polling http://localhost:1 --transport websocket", "take `echo`"),
        ("echo http://localhost:1 --clients 2 --namespaces 3", "at most the number of clients, 2"),
        ("rooms http://localhost:1 --rooms 3 --rooms-per-client 4", "there are 3 rooms"),
        ("polling http://localhost:1 --deflate", "for WebSocket"),
        ("idle http://127.0.0.1:1 --pid 4294967295", "--pid"),
    ] {
        let Err(error) = bench(arguments) else { panic!("{arguments} was accepted") };
        assert!(error.to_string().contains(expected), "{arguments}: {error}");
        assert!(matches!(error, Error::Options(_) | Error::Process { .. }));
    }
}
