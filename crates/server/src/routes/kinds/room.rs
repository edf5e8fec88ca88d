//! Events that go to those in a room.

use serde_json::Value;

use super::super::chain::{Chain, Check, Outcome, Route};
use super::super::checks::Membership;
use super::super::event::Event;
use super::super::relay::Relay;
use super::{Kind, Place};
use crate::config::section::section;

section! {
    /// An event that goes to those in a room.
    struct RoomSection {
        /// The room. Required.
        room: Option<String> = None, example "\"{data.room}\"";
        /// Whether only members of the room may send to it.
        require_membership: bool = true;
        /// Whether the sender is left out.
        exclude_sender: bool = true;
        /// Whether clients that are not ready to take it are left out.
        volatile: bool = false;
        /// Whether the sender's `{ id, data }` is appended as the last argument.
        append_sender: bool = false;
    }
}

impl Kind for RoomSection {
    fn args(&self) -> Option<usize> {
        self.append_sender.then_some(1)
    }

    fn resolve(&self, place: &mut Place<'_>) -> Option<Chain> {
        let room = place.room(self.room.as_ref())?;
        let Self { exclude_sender, volatile, append_sender, .. } = *self;
        let mut checks: Vec<Box<dyn Check>> = Vec::new();
        if self.require_membership {
            checks.push(Box::new(Membership));
        }
        Some(Chain::new(Some(room), checks, Box::new(ToRoom(Relay { exclude_sender, volatile, append_sender }))))
    }
}

#[derive(Debug)]
struct ToRoom(Relay);

impl Route for ToRoom {
    fn handle<'a>(&'a self, event: &'a Event<'_>) -> Outcome<'a, Value> {
        Outcome::Now(event.room().and_then(|room| {
            let socket = event.context.socket();
            let to = if self.0.exclude_sender { socket.to(room) } else { socket.namespace().to(room) };
            self.0.pass_on(event.context, to)
        }))
    }

    fn describe(&self, room: &str) -> String {
        format!("to the room {room}")
    }
}
