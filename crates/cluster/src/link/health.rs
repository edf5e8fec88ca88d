//! Health by role: the state of each connection and task behind an adapter.

use std::fmt;
use std::time::Duration;

use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

/// The purpose of a connection to a broker, or of a task of its adapter.
pub trait Role: Copy + PartialEq + fmt::Display + Send + Sync + 'static {
    /// All of them.
    const ALL: &'static [Self];

    /// Whether it is a connection: if one of several works, the broker is there.
    fn is_connection(self) -> bool;
}

/// Why a node cannot hear the others, or not reach them.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}: {}", self.title(), failures.join("; "))]
pub struct Unhealthy {
    broker: &'static str,
    failures: Vec<String>,
    is_alone: bool,
    is_refused: bool,
}

impl Unhealthy {
    /// The broker of this name refuses what is sent, most likely that of all nodes.
    pub fn refused(broker: &'static str, reason: String) -> Self {
        Self { broker, failures: vec![reason], is_alone: false, is_refused: true }
    }

    /// Whether some connections to the broker work: then other nodes may hear one another while this one does not. If none works, the
    /// broker is away, as far as this node can tell, and no node hears another.
    pub fn is_alone(&self) -> bool {
        self.is_alone
    }

    fn title(&self) -> String {
        match self.is_refused {
            true => format!("{} refuses messages", self.broker),
            false => format!("no connection to {}", self.broker),
        }
    }
}

/// The connections and tasks of one adapter.
#[derive(Debug)]
pub struct Health<R> {
    broker: &'static str,
    states: Mutex<Vec<(R, State)>>,
    /// Since when not all of them work.
    away_since: Mutex<Option<Instant>>,
    round_trip: Mutex<Option<Duration>>,
    changed: Notify,
}

/// Those of one role.
#[derive(Debug, Default)]
struct State {
    working: usize,
    /// Tasks that are about to be started again.
    stopped: usize,
    /// Why one of them ended, or could not be made, most recently.
    failure: Option<String>,
}

impl<R: Role> Health<R> {
    /// Of an adapter over the broker of this name.
    pub fn new(broker: &'static str) -> Self {
        Self {
            broker,
            states: Mutex::new(R::ALL.iter().map(|role| (*role, State::default())).collect()),
            away_since: Mutex::default(),
            round_trip: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// One of this role works, for as long as what is given back lives.
    pub fn works(&self, role: R) -> Working<'_, R> {
        self.change(role, |state| state.working += 1);
        self.notify();
        Working(self, role)
    }

    /// The only one of this role works, or does not any more.
    pub fn set_working(&self, role: R, is_working: bool) {
        self.change(role, |state| state.working = is_working.into());
        self.notify();
    }

    /// One of this role has ended, or could not be made.
    pub fn note_failure(&self, role: R, reason: String) {
        self.change(role, |state| state.failure = Some(reason));
    }

    /// A task of this role does not run, for as long as what is given back lives: nothing is well meanwhile.
    pub fn stopped(&self, role: R, reason: String) -> Stopped<'_, R> {
        self.change(role, |state| {
            state.stopped += 1;
            state.failure = Some(reason);
        });
        self.notify();
        Stopped(self, role)
    }

    /// Whether one of this role works.
    pub fn is_working(&self, role: R) -> bool {
        self.states.lock().iter().any(|(each, state)| *each == role && state.working > 0)
    }

    /// Whether so many of each role work, and all tasks run.
    ///
    /// # Errors
    ///
    /// The problem, where there are fewer.
    pub fn check(&self, needed: &[(R, usize)]) -> Result<(), Unhealthy> {
        let states = self.states.lock();
        let needed = |role: &R| needed.iter().find(|(each, _)| each == role).map_or(0, |(_, needed)| *needed);
        let wrong = states.iter().filter(|(role, state)| state.working < needed(role) || state.stopped > 0);
        let failures: Vec<_> =
            wrong.map(|(role, state)| format!("{role}: {}", state.failure.as_deref().unwrap_or("not yet"))).collect();
        if failures.is_empty() {
            return Ok(());
        }
        let is_alone = states.iter().any(|(role, state)| role.is_connection() && state.working > 0);
        Err(Unhealthy { broker: self.broker, failures, is_alone, is_refused: false })
    }

    /// Not all of them work.
    pub fn begin_outage(&self) {
        self.away_since.lock().get_or_insert_with(Instant::now);
    }

    /// All of them work: if there was an outage, that is logged, with how long it was.
    pub fn end_outage(&self) {
        if let Some(since) = self.away_since.lock().take() {
            let away = format!("{:.1} s", since.elapsed().as_secs_f64());
            tracing::info!(away, "{} is there again", self.broker);
        }
    }

    /// A probe has come back after this time.
    pub fn note_round_trip(&self, time: Duration) {
        *self.round_trip.lock() = Some(time);
    }

    /// How long the last probe took that came back.
    pub fn round_trip(&self) -> Option<Duration> {
        *self.round_trip.lock()
    }

    /// Something has changed that somebody may wait for.
    pub fn notify(&self) {
        self.changed.notify_waiters();
    }

    /// Waits until something may have changed, but not for long.
    pub async fn changed(&self) {
        let _later = timeout(LOOK, self.changed.notified()).await;
    }

    /// Waits until something is so that connections bring about.
    pub async fn wait_until(&self, is_so: impl Fn() -> bool) {
        loop {
            let changed = self.changed.notified();
            if is_so() {
                return;
            }
            let _later = timeout(LOOK, changed).await;
        }
    }

    fn change(&self, role: R, change: impl FnOnce(&mut State)) {
        if let Some((_, state)) = self.states.lock().iter_mut().find(|(each, _)| *each == role) {
            change(state);
        }
    }
}

/// A connection, or a task, that works.
#[derive(Debug)]
pub struct Working<'a, R: Role>(&'a Health<R>, R);

impl<R: Role> Drop for Working<'_, R> {
    fn drop(&mut self) {
        self.0.change(self.1, |state| state.working = state.working.saturating_sub(1));
    }
}

/// A task that does not run.
#[derive(Debug)]
pub struct Stopped<'a, R: Role>(&'a Health<R>, R);

impl<R: Role> Drop for Stopped<'_, R> {
    fn drop(&mut self) {
        self.0.change(self.1, |state| state.stopped = state.stopped.saturating_sub(1));
        self.0.notify();
    }
}

/// How often who waits looks although nothing has been told: a broker's library may leave events out.
const LOOK: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Of {
        Publishing,
        Subscribing,
        Delivering,
    }

    impl Role for Of {
        const ALL: &'static [Self] = &[Self::Publishing, Self::Subscribing, Self::Delivering];

        fn is_connection(self) -> bool {
            self != Self::Delivering
        }
    }

    impl fmt::Display for Of {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{}", format!("{self:?}").to_lowercase())
        }
    }

    #[test]
    fn it_says_which_connection_does_not_work_and_why() {
        let health = Health::new("Redis");
        let check = |needed| {
            let checked = health.check(&[(Of::Publishing, needed), (Of::Subscribing, 1)]);
            checked.map_err(|error| error.to_string())
        };
        assert_eq!(check(1).unwrap_err(), "no connection to Redis: publishing: not yet; subscribing: not yet");
        let publishing = health.works(Of::Publishing);
        let subscribing = health.works(Of::Subscribing);
        assert_eq!(check(1), Ok(()));
        drop(subscribing);
        health.note_failure(Of::Subscribing, "host:1: hung up".to_owned());
        assert_eq!(check(1).unwrap_err(), "no connection to Redis: subscribing: host:1: hung up");
        let subscribing = health.works(Of::Subscribing);
        assert_eq!(check(1), Ok(()));
        assert_eq!(check(2).unwrap_err(), "no connection to Redis: publishing: not yet");
        let stopped = health.stopped(Of::Delivering, "a panic: on purpose".to_owned());
        assert_eq!(check(1).unwrap_err(), "no connection to Redis: delivering: a panic: on purpose");
        drop(stopped);
        assert_eq!(check(1), Ok(()));
        let is_alone = || {
            let checked = health.check(&[(Of::Publishing, 2), (Of::Subscribing, 1)]);
            checked.is_err_and(|error| error.is_alone())
        };
        assert!(is_alone());
        drop((publishing, subscribing));
        let _delivering = health.works(Of::Delivering);
        assert!(!is_alone(), "no connection works any more");
        let refused = Unhealthy::refused("Redis", "OOM".to_owned());
        assert_eq!((refused.to_string().as_str(), refused.is_alone()), ("Redis refuses messages: OOM", false));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_told() {
        let health = Health::new("Redis");
        tokio::join!(health.wait_until(|| health.is_working(Of::Publishing)), async {
            tokio::time::sleep(Duration::from_millis(30)).await;
            health.set_working(Of::Publishing, true);
        });
        health.set_working(Of::Publishing, false);
        assert!(!health.is_working(Of::Publishing));
    }
}
