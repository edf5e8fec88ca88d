//! Events by which a client leaves a room.

use serde_json::{Value, json};

use super::super::chain::{Chain, Outcome, Route};
use super::super::event::Event;
use super::super::presence::announce_left;
use super::super::refusal::Refusal;
use super::{Kind, Place};
use crate::config::section::section;

section! {
    /// The client leaves a room.
    struct LeaveSection {
        /// The room. Required.
        room: Option<String> = None, example "\"{data.room}\"";
    }
}

impl Kind for LeaveSection {
    fn resolve(&self, place: &mut Place<'_>) -> Option<Chain> {
        let room = place.room(self.room.as_ref())?;
        Some(Chain::new(Some(room), Vec::new(), Box::new(Leave)))
    }
}

#[derive(Debug)]
struct Leave;

impl Route for Leave {
    fn handle<'a>(&'a self, event: &'a Event<'_>) -> Outcome<'a, Value> {
        Outcome::Now(leave(event))
    }

    fn describe(&self, room: &str) -> String {
        format!("leaves the room {room}")
    }
}

fn leave(event: &Event<'_>) -> Result<Value, Refusal> {
    let (room, socket) = (event.room()?, event.context.socket());
    if socket.is_in(room) {
        socket.leave(room);
        if event.shared.presence {
            announce_left(socket, room);
        }
    }
    Ok(json!({ "ok": true }))
}
