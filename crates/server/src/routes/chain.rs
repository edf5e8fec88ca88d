//! The chain of an event: its checks, one after the other, and then its route.
//!
//! A check and a route are each a type in a file of its own, in `checks` and `kinds`. Any of them may wait. A chain in which
//! nothing does runs to its end at once, without a task or an allocation for it.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use serde_json::Value;

use super::event::Event;
use super::refusal::Refusal;
use super::template::Template;

/// Lets an event pass, or refuses it.
pub(crate) trait Check: fmt::Debug + Send + Sync {
    fn check<'a>(&'a self, event: &'a Event<'_>) -> Outcome<'a, ()>;

    /// Whether it ever gives [`Outcome::Later`]. The client's next events then wait until the chain is done, so that all have their
    /// effect in the order in which they were sent. A check must bound the time that it takes.
    fn may_wait(&self) -> bool {
        false
    }
}

/// Does what an event is for. The value is the acknowledgement.
pub(crate) trait Route: fmt::Debug + Send + Sync {
    fn handle<'a>(&'a self, event: &'a Event<'_>) -> Outcome<'a, Value>;

    /// What it does, for people. `room` is the template of the room that the event is about.
    fn describe(&self, room: &str) -> String;

    /// Whether it ever gives [`Outcome::Later`]. It must bound the time that it takes.
    fn may_wait(&self) -> bool {
        false
    }

    /// Whether it only answers a question. The client's next events then do not wait for it.
    fn is_query(&self) -> bool {
        false
    }
}

/// What a check or a route says: at once, or after a wait.
pub(crate) enum Outcome<'a, T> {
    Now(Result<T, Refusal>),
    Later(Pin<Box<dyn Future<Output = Result<T, Refusal>> + Send + 'a>>),
}

/// What happens with an event.
#[derive(Debug)]
pub(crate) struct Chain {
    /// The room that the event is about, if it is about one.
    room: Option<Template>,
    checks: Vec<Box<dyn Check>>,
    route: Box<dyn Route>,
}

impl Chain {
    pub(crate) fn new(room: Option<Template>, checks: Vec<Box<dyn Check>>, route: Box<dyn Route>) -> Self {
        Self { room, checks, route }
    }

    /// The same, with more checks before the others.
    pub(crate) fn after(mut self, mut checks: Vec<Box<dyn Check>>) -> Self {
        checks.append(&mut self.checks);
        Self { checks, ..self }
    }

    /// What happens with the event, for people.
    pub(crate) fn describe(&self) -> String {
        let room = self.room.as_ref().map(Template::to_string);
        self.route.describe(room.as_deref().unwrap_or_default())
    }

    pub(super) fn room(&self) -> Option<&Template> {
        self.room.as_ref()
    }

    /// Whether anything in it waits.
    pub(crate) fn may_wait(&self) -> bool {
        self.route.may_wait() || self.checks.iter().any(|check| check.may_wait())
    }

    /// Whether a client's events must be handled one after the other because of it.
    pub(super) fn needs_order(&self) -> bool {
        (self.route.may_wait() && !self.route.is_query()) || self.checks.iter().any(|check| check.may_wait())
    }

    /// Runs the chain; the acknowledgement.
    pub(super) async fn run(&self, event: &Event<'_>) -> Result<Value, Refusal> {
        for check in &self.checks {
            check.check(event).get().await?;
        }
        self.route.handle(event).get().await
    }

    /// Runs a chain in which nothing waits.
    pub(super) fn run_now(&self, event: &Event<'_>) -> Result<Value, Refusal> {
        match pin!(self.run(event)).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => result,
            Poll::Pending => {
                debug_assert!(false, "{self:?} waits, and does not say so");
                Err(Refusal::NotAllowed)
            }
        }
    }
}

impl<T> Outcome<'_, T> {
    async fn get(self) -> Result<T, Refusal> {
        match self {
            Self::Now(result) => result,
            Self::Later(future) => future.await,
        }
    }
}
