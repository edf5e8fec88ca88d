//! What each connection to Redis is doing, and what is wrong with it.

use std::fmt;

use parking_lot::Mutex;
use thiserror::Error;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Asking,
    Publishing,
    Subscribing,
    Reading,
    Delivering,
    Recovering,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Asking => "asking for the masters",
            Self::Publishing => "publishing",
            Self::Subscribing => "subscribing",
            Self::Reading => "reading streams",
            Self::Delivering => "delivering",
            Self::Recovering => "keeping sessions",
        })
    }
}

/// Why a node cannot hear the others, or not reach them.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}: {}", if *.is_refused { "Redis refuses messages" } else { "no connection to Redis" }, failures.join("; "))]
pub struct Unhealthy {
    failures: Vec<String>,
    is_alone: bool,
    is_refused: bool,
}

impl Unhealthy {
    /// Redis refuses what is sent, most likely that of all nodes.
    pub(crate) fn refused(reason: &str) -> Self {
        Self { failures: vec![reason.to_owned()], is_alone: false, is_refused: true }
    }

    /// Whether some connections to Redis work: then other nodes may hear one another while this one does not. If none works, Redis
    /// is away, as far as this node can tell, and no node hears another.
    pub fn is_alone(&self) -> bool {
        self.is_alone
    }
}

/// The connections of one server.
#[derive(Default)]
pub(crate) struct Health(Mutex<[State; 6]>);

/// The connections for one purpose.
#[derive(Default)]
struct State {
    working: usize,
    /// Why one of them ended, or could not be made, most recently.
    failure: Option<String>,
}

impl Health {
    /// A connection works, for as long as what is given back lives.
    pub(crate) fn works(&self, role: Role) -> Working<'_> {
        self.change(role, |state| state.working += 1);
        Working(self, role)
    }

    /// A connection ended, or could not be made.
    pub(crate) fn lost(&self, role: Role, reason: String) {
        self.change(role, |state| state.failure = Some(reason));
    }

    /// Whether a connection for this works.
    pub(crate) fn is_working(&self, role: Role) -> bool {
        self.0.lock().get(role as usize).is_some_and(|state| state.working > 0)
    }

    /// Whether so many connections work of each kind.
    ///
    /// # Errors
    ///
    /// What is wrong where there are fewer.
    pub(crate) fn check(&self, needed: &[(Role, usize)]) -> Result<(), Unhealthy> {
        let states = self.0.lock();
        let wrong = needed.iter().filter_map(|(role, needed)| {
            let state = states.get(*role as usize).filter(|state| state.working < *needed)?;
            Some(format!("{role}: {}", state.failure.as_deref().unwrap_or("not yet")))
        });
        let wrong: Vec<_> = wrong.collect();
        if wrong.is_empty() {
            return Ok(());
        }
        let is_alone = states.iter().take(Role::Delivering as usize).any(|state| state.working > 0);
        Err(Unhealthy { failures: wrong, is_alone, is_refused: false })
    }

    fn change(&self, role: Role, change: impl FnOnce(&mut State)) {
        if let Some(state) = self.0.lock().get_mut(role as usize) {
            change(state);
        }
    }
}

/// A connection that works.
pub(crate) struct Working<'a>(&'a Health, Role);

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.change(self.1, |state| state.working = state.working.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_which_connection_does_not_work_and_why() {
        let health = Health::default();
        let check = |needed| {
            let checked = health.check(&[(Role::Publishing, needed), (Role::Subscribing, 1), (Role::Reading, 0)]);
            checked.map_err(|error| error.to_string())
        };
        assert_eq!(check(1).unwrap_err(), "no connection to Redis: publishing: not yet; subscribing: not yet");
        let publishing = health.works(Role::Publishing);
        let subscribing = health.works(Role::Subscribing);
        assert_eq!(check(1), Ok(()));
        drop(subscribing);
        health.lost(Role::Subscribing, "host:1: hung up".to_owned());
        assert_eq!(check(1).unwrap_err(), "no connection to Redis: subscribing: host:1: hung up");
        let subscribing = health.works(Role::Subscribing);
        assert_eq!(check(1), Ok(()));
        assert_eq!(check(2).unwrap_err(), "no connection to Redis: publishing: not yet");
        let is_alone = || {
            let checked = health.check(&[(Role::Publishing, 2), (Role::Subscribing, 1)]);
            checked.is_err_and(|error| error.is_alone())
        };
        assert!(is_alone());
        drop((publishing, subscribing));
        assert!(!is_alone(), "nothing works any more");
    }
}
