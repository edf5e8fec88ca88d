//! Messages that Redis refuses: it is out of memory, or this user may not write.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// What was refused lately.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The last one, and what Redis said.
    last: Option<(Instant, String)>,
    /// When a line was logged, and how many there were since.
    logged: Option<Instant>,
    unlogged: u64,
}

impl Refusals {
    /// A message was refused.
    pub(crate) fn note(&self, reason: String) {
        let now = Instant::now();
        let mut state = self.0.lock();
        state.unlogged += 1;
        if state.logged.is_none_or(|at| now.duration_since(at) >= LOG_INTERVAL) {
            tracing::warn!(reason, messages = state.unlogged, "Redis refuses messages");
            (state.logged, state.unlogged) = (Some(now), 0);
        }
        state.last = Some((now, reason));
    }

    /// What Redis said, if it has refused something a moment ago.
    pub(crate) fn recent(&self) -> Option<String> {
        let mut state = self.0.lock();
        let is_over = state.last.as_ref().is_some_and(|(at, _)| at.elapsed() > RECENT);
        if is_over {
            state.last = None;
        }
        state.last.as_ref().map(|(_, reason)| reason.clone())
    }
}

/// How often a line is logged at most.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// How long a refusal counts.
const RECENT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_refusal_counts_for_a_while_and_is_logged_once_a_minute() {
        let refusals = Refusals::default();
        assert_eq!(refusals.recent(), None);
        for _ in 0..100 {
            refusals.note("OOM".to_owned());
        }
        assert_eq!((refusals.recent().as_deref(), refusals.0.lock().unlogged), (Some("OOM"), 99));
        tokio::time::advance(RECENT * 2).await;
        assert_eq!(refusals.recent(), None);
        tokio::time::advance(LOG_INTERVAL).await;
        refusals.note("OOM".to_owned());
        assert_eq!(refusals.0.lock().unlogged, 0);
    }
}
