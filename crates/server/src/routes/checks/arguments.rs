//! How many arguments an event has.

use super::super::chain::{Check, Outcome};
use super::super::event::Event;
use super::super::refusal::Refusal;

/// The event must have so many. One more than expected would otherwise take the place of an appended sender.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arguments(pub(crate) usize);

impl Check for Arguments {
    fn check<'a>(&'a self, event: &'a Event<'_>) -> Outcome<'a, ()> {
        let is_right = event.context.args().len() == self.0;
        Outcome::Now(if is_right { Ok(()) } else { Err(Refusal::Arguments(self.0)) })
    }
}
