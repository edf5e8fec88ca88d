//! Whether a client is in the room that its event is about.

use super::super::chain::{Check, Outcome};
use super::super::event::Event;
use super::super::refusal::Refusal;

/// Only members of the room may send the event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Membership;

impl Check for Membership {
    fn check<'a>(&'a self, event: &'a Event<'_>) -> Outcome<'a, ()> {
        Outcome::Now(event.room().and_then(|room| match event.context.socket().is_in(room) {
            true => Ok(()),
            false => Err(Refusal::NotAMember),
        }))
    }
}
