//! What the log says of an event that no handler takes. In a file of its own, and over a pipe only: the subscriber is that of one
//! thread, and another thread that comes to the same place in the code first would turn it off for all.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::Arc;

use parking_lot::Mutex;
use sockeye::{Ack, Data, Server};
use support::WebSocket;

/// Keeps the warnings of the thread.
struct Warnings(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::WARN
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        struct Line(String);
        impl tracing::field::Visit for Line {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                if field.name() != "sid" {
                    self.0 += &format!("{}={value:?} ", field.name());
                }
            }
        }
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().push(line.0);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test(start_paused = true)]
async fn an_event_that_does_not_fit_is_told_of_once() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let _here = tracing::subscriber::set_default(Warnings(lines.clone()));
    let server = Server::new();
    server.on("number", |_: Data<u32>| ());
    server.on("text", |_: Data<String>| ());
    server.on("done", |ack: Ack| ack.send(()));
    let (mut client, _) = WebSocket::joined(&server).await;
    let long = "\u{7}x".repeat(1_000);
    for event in ["number\",\"a", "number\",\"b", "text\",[],\"", "number\",\"c"] {
        client.send(&format!("42[\"{event}\"]")).await;
    }
    client.send(&format!("42[\"number\",{}]", serde_json::to_string(&long).unwrap())).await;
    client.send("421[\"done\"]").await;
    assert_eq!(client.text().await, "431[]");
    assert_eq!(server.metrics().rejected_events.value(), 5);
    let lines = lines.lock();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains("event=\"number\"") && lines[0].contains("expected u32"), "{lines:?}");
    assert!(lines[1].contains("event=\"text\"") && lines[1].contains("expected a string"), "{lines:?}");
}
