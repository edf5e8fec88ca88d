//! Why an event goes nowhere, and how its client is told.

use std::fmt;

use serde_json::json;
use sockeye::{EventContext, JoinError};

use super::names::BadName;
use super::template::Unfilled;

/// Why an event goes nowhere. The client is told, where it asked for an acknowledgement.
#[derive(Debug)]
pub(crate) enum Refusal {
    Unknown,
    NotAllowed,
    Arguments(usize),
    TooLarge(usize),
    Unfilled(Unfilled),
    Room(BadName),
    NotAMember,
    Join(JoinError),
    /// It cannot be passed on: its name is one that the protocol keeps for itself.
    Name,
    /// Other nodes are needed, and not all of them answer.
    Incomplete,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("unknown event"),
            Self::NotAllowed => f.write_str("not allowed"),
            Self::Arguments(1) => f.write_str("the event must have one argument"),
            Self::Arguments(count) => write!(f, "the event must have {count} arguments"),
            Self::TooLarge(bytes) => write!(f, "the event is larger than {bytes} bytes"),
            Self::Unfilled(unfilled) => unfilled.fmt(f),
            Self::Room(bad) => bad.fmt(f),
            Self::NotAMember => f.write_str("not a member of that room"),
            Self::Join(JoinError::TooManyRooms) => f.write_str("in too many rooms"),
            Self::Join(JoinError::OverBudget) => f.write_str("the server is busy; try again later"),
            Self::Join(error) => error.fmt(f),
            Self::Name => f.write_str("the event has a reserved name"),
            Self::Incomplete => f.write_str("not all servers answer; try again later"),
        }
    }
}

impl From<Unfilled> for Refusal {
    fn from(unfilled: Unfilled) -> Self {
        Self::Unfilled(unfilled)
    }
}

impl From<BadName> for Refusal {
    fn from(bad: BadName) -> Self {
        Self::Room(bad)
    }
}

/// Refuses an event.
pub(super) fn refuse(context: &EventContext, refusal: &Refusal) {
    let (sid, event) = (context.socket().id(), context.event());
    tracing::debug!(sid, event, reason = %refusal, "event refused");
    if context.ack().is_wanted() {
        context.ack().send(json!({ "ok": false, "error": refusal.to_string() }));
    }
}
