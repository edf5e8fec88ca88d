//! Events by which a client joins a room.

use serde_json::{Value, json};

use super::super::chain::{Chain, Outcome, Route};
use super::super::event::Event;
use super::super::presence::announce_joined;
use super::super::refusal::Refusal;
use super::{Kind, Place};
use crate::config::section::section;

section! {
    /// The client joins a room.
    struct JoinSection {
        /// The room. Required.
        room: Option<String> = None, example "\"{data.room}\"";
    }
}

impl Kind for JoinSection {
    fn resolve(&self, place: &mut Place<'_>) -> Option<Chain> {
        let room = place.room(self.room.as_ref())?;
        Some(Chain::new(Some(room), Vec::new(), Box::new(Join)))
    }
}

#[derive(Debug)]
struct Join;

impl Route for Join {
    fn handle<'a>(&'a self, event: &'a Event<'_>) -> Outcome<'a, Value> {
        Outcome::Now(join(event))
    }

    fn describe(&self, room: &str) -> String {
        format!("joins the room {room}")
    }
}

fn join(event: &Event<'_>) -> Result<Value, Refusal> {
    let (room, socket) = (event.room()?, event.context.socket());
    let done = json!({ "ok": true });
    if !socket.is_in(room) {
        socket.join(room).map_err(Refusal::Join)?;
        // The answer goes first, so that the client knows that it is in before it hears of it.
        event.answer(Ok(done.clone()));
        if event.shared.presence {
            announce_joined(socket, room);
        }
    }
    Ok(done)
}
