//! How large an event is.

use super::super::chain::{Check, Outcome};
use super::super::event::Event;
use super::super::refusal::Refusal;

/// The bytes that the arguments of an event may have, attachments included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size(pub(crate) usize);

impl Check for Size {
    fn check<'a>(&'a self, event: &'a Event<'_>) -> Outcome<'a, ()> {
        let fits = event.context.args().bytes() <= self.0;
        Outcome::Now(if fits { Ok(()) } else { Err(Refusal::TooLarge(self.0)) })
    }
}
