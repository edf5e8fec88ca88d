//! What each connection to Redis is doing, and what is wrong with it.

use std::fmt;

use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::Notify;

use crate::options::Mode;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Publishing,
    Subscribing,
    Reading,
}

impl Role {
    /// Those that a mode has.
    fn of(mode: Mode) -> &'static [Self] {
        match mode {
            Mode::Streams => &[Self::Publishing, Self::Subscribing, Self::Reading],
            _ => &[Self::Publishing, Self::Subscribing],
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Publishing => "publishing",
            Self::Subscribing => "subscribing",
            Self::Reading => "reading streams",
        })
    }
}

/// Why a node cannot hear the others, or not reach them.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("no connection to Redis: {}", .0.join("; "))]
pub struct Trouble(Vec<String>);

/// The connections of one server.
pub(crate) struct Health {
    connections: &'static [Role],
    states: Mutex<[State; 3]>,
    /// Is notified when a connection works, or hears channels.
    pub(crate) progress: Notify,
}

#[derive(Clone, Default)]
enum State {
    /// It is being made, for the first time or after it was lost for this reason.
    #[default]
    Starting,
    Lost(String),
    Working,
}

impl Health {
    pub(crate) fn new(mode: Mode) -> Self {
        Self { connections: Role::of(mode), states: Mutex::default(), progress: Notify::new() }
    }

    /// A connection works, for as long as what is given back lives.
    pub(crate) fn works(&self, role: Role) -> Working<'_> {
        self.set(role, State::Working);
        self.progress.notify_waiters();
        Working(self, role)
    }

    /// A connection ended, or could not be made.
    pub(crate) fn lost(&self, role: Role, reason: &dyn fmt::Display) {
        self.set(role, State::Lost(reason.to_string()));
    }

    /// Whether all connections work.
    ///
    /// # Errors
    ///
    /// What is wrong with each that does not.
    pub(crate) fn check(&self) -> Result<(), Trouble> {
        let states = self.states.lock();
        let wrong = self.connections.iter().filter_map(|role| match states.get(*role as usize) {
            Some(State::Lost(reason)) => Some(format!("{role}: {reason}")),
            Some(State::Starting) => Some(format!("{role}: not yet")),
            Some(State::Working) | None => None,
        });
        let wrong: Vec<_> = wrong.collect();
        if wrong.is_empty() { Ok(()) } else { Err(Trouble(wrong)) }
    }

    fn set(&self, role: Role, state: State) {
        if let Some(each) = self.states.lock().get_mut(role as usize) {
            *each = state;
        }
    }
}

/// A connection that works.
pub(crate) struct Working<'a>(&'a Health, Role);

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.set(self.1, State::Starting);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_which_connection_is_in_trouble_and_why() {
        let health = Health::new(Mode::Native);
        let text = |health: &Health| health.check().map_err(|trouble| trouble.to_string());
        assert_eq!(text(&health).unwrap_err(), "no connection to Redis: publishing: not yet; subscribing: not yet");
        let publishing = health.works(Role::Publishing);
        let subscribing = health.works(Role::Subscribing);
        assert_eq!(text(&health), Ok(()));
        drop(subscribing);
        health.lost(Role::Subscribing, &"hung up");
        assert_eq!(text(&health).unwrap_err(), "no connection to Redis: subscribing: hung up");
        drop(publishing);
        let _both = [health.works(Role::Publishing), health.works(Role::Subscribing)];
        assert_eq!(text(&health), Ok(()));
    }
}
