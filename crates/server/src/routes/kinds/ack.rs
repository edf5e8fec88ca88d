//! Events that are acknowledged, no more.

use serde_json::{Value, json};

use super::super::chain::{Chain, Outcome, Route};
use super::super::event::Event;
use super::{Kind, Place};
use crate::config::section::section;

section! {
    /// The event is acknowledged, no more.
    struct AckSection {
        /// The acknowledgement: any value. Unset: `{ ok = true }`.
        reply: Option<Value> = None, example "{ ok = true }";
    }
}

impl Kind for AckSection {
    fn resolve(&self, _place: &mut Place<'_>) -> Option<Chain> {
        let reply = self.reply.clone().unwrap_or_else(|| json!({ "ok": true }));
        Some(Chain::new(None, Vec::new(), Box::new(Ack(reply))))
    }
}

#[derive(Debug)]
struct Ack(Value);

impl Route for Ack {
    fn handle<'a>(&'a self, _event: &'a Event<'_>) -> Outcome<'a, Value> {
        Outcome::Now(Ok(self.0.clone()))
    }

    fn describe(&self, _room: &str) -> String {
        format!("is acknowledged with {}", self.0)
    }
}
