//! Events that are refused.

use serde_json::Value;

use super::super::chain::{Chain, Outcome, Route};
use super::super::event::Event;
use super::super::refusal::Refusal;
use super::{Kind, Place};
use crate::config::section::section;

section! {
    /// The event is refused.
    struct RefuseSection {}
}

impl Kind for RefuseSection {
    fn resolve(&self, _place: &mut Place<'_>) -> Option<Chain> {
        Some(Chain::new(None, Vec::new(), Box::new(Refuse)))
    }
}

#[derive(Debug)]
struct Refuse;

impl Route for Refuse {
    fn handle<'a>(&'a self, _event: &'a Event<'_>) -> Outcome<'a, Value> {
        Outcome::Now(Err(Refusal::NotAllowed))
    }

    fn describe(&self, _room: &str) -> String {
        "is refused".to_owned()
    }
}
