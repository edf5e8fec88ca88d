//! An event of a client on its way through its chain.

use std::sync::OnceLock;

use serde_json::Value;
use sockeye::EventContext;
use sockeye::adapter::Room;

use super::names::room_for;
use super::refusal::{Refusal, refuse};
use super::template::Template;

/// What holds for all events of a namespace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shared {
    /// Whether the members of a room are told who comes and goes.
    pub(crate) presence: bool,
    pub(crate) max_room_bytes: usize,
}

/// An event, and what its checks and its route find out about it.
#[derive(Debug)]
pub(crate) struct Event<'a> {
    pub(super) context: &'a EventContext,
    pub(super) shared: Shared,
    template: Option<&'a Template>,
    room: OnceLock<Room>,
}

impl<'a> Event<'a> {
    pub(super) fn new(context: &'a EventContext, shared: Shared, template: Option<&'a Template>) -> Self {
        Self { context, shared, template, room: OnceLock::new() }
    }

    /// The room that the event is about. It is looked for once: the checks and the route see the same one.
    ///
    /// # Errors
    ///
    /// The event has nothing for a place of the template, or the name cannot be that of a room.
    pub(super) fn room(&self) -> Result<&Room, Refusal> {
        if let Some(room) = self.room.get() {
            return Ok(room);
        }
        let template = self.template.ok_or(Refusal::NotAllowed)?;
        let room = room_for(&template.fill(self.context)?, self.shared.max_room_bytes)?;
        Ok(self.room.get_or_init(|| room.into()))
    }

    /// Answers the event, where an answer was asked for and none was sent yet.
    pub(super) fn answer(&self, result: Result<Value, Refusal>) {
        match result {
            Ok(reply) if self.context.ack().is_wanted() => self.context.ack().send(reply),
            Ok(_) => {}
            Err(refusal) => refuse(self.context, &refusal),
        }
    }
}
