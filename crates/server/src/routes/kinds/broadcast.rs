//! Events that go to all in the namespace.

use serde_json::Value;

use super::super::chain::{Chain, Outcome, Route};
use super::super::event::Event;
use super::super::relay::Relay;
use super::{Kind, Place};
use crate::config::section::section;

section! {
    /// An event that goes to all in the namespace.
    struct BroadcastSection {
        /// Whether the sender is left out.
        exclude_sender: bool = true;
        /// Whether clients that are not ready to take it are left out.
        volatile: bool = false;
        /// Whether the sender's `{ id, data }` is appended as the last argument.
        append_sender: bool = false;
    }
}

impl Kind for BroadcastSection {
    fn args(&self) -> Option<usize> {
        self.append_sender.then_some(1)
    }

    fn resolve(&self, _place: &mut Place<'_>) -> Option<Chain> {
        let Self { exclude_sender, volatile, append_sender } = *self;
        Some(Chain::new(None, Vec::new(), Box::new(Broadcast(Relay { exclude_sender, volatile, append_sender }))))
    }
}

#[derive(Debug)]
struct Broadcast(Relay);

impl Route for Broadcast {
    fn handle<'a>(&'a self, event: &'a Event<'_>) -> Outcome<'a, Value> {
        let socket = event.context.socket();
        let to = if self.0.exclude_sender { socket.broadcast() } else { socket.namespace().compress(true) };
        Outcome::Now(self.0.pass_on(event.context, to))
    }

    fn describe(&self, _room: &str) -> String {
        "to all in the namespace".to_owned()
    }
}
