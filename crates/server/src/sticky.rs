//! Finds out that a load balancer spreads the requests of a session over servers that do not forward to one another.

use std::time::Duration;

use sockeye::Server;

/// What is counted in it is looked at together.
const PERIOD: Duration = Duration::from_secs(10);
/// Requests for unknown sessions in a period that mean something: a client that was away, or a server that restarted, makes a few.
const ENOUGH: u64 = 5;
/// Periods in a row. The clients of a server that restarted have all begun anew within the first.
const PERIODS: usize = 2;

/// Waits until the requests say so, and warns, once.
pub(crate) async fn watch(server: Server) {
    let unknown = spread(|| {
        let metrics = server.metrics();
        Counts { unknown: metrics.unknown_sessions.value(), opened: metrics.opened.value() }
    });
    let unknown = unknown.await;
    tracing::warn!(
        unknown,
        "many requests are for sessions that this server does not have: the load balancer is not sticky, or other servers \
         have just stopped; see \"Without sticky sessions\" in the documentation of clusters, or set [cluster.peers]"
    );
}

#[derive(Clone, Copy, Debug)]
struct Counts {
    /// Requests for sessions that are not here.
    unknown: u64,
    /// Sessions that were opened.
    opened: u64,
}

/// Ends when sessions are spread; how many requests were for unknown ones in the last period.
async fn spread(counts: impl Fn() -> Counts) -> u64 {
    let mut before = counts();
    let mut in_a_row = 0;
    loop {
        tokio::time::sleep(PERIOD).await;
        let now = counts();
        let unknown = now.unknown.saturating_sub(before.unknown);
        // Of two servers each gets about as many of these as it opens sessions; of more servers, more.
        let is_spread = unknown >= ENOUGH && unknown.saturating_mul(2) >= now.opened.saturating_sub(before.opened);
        in_a_row = if is_spread { in_a_row + 1 } else { 0 };
        if in_a_row == PERIODS {
            return unknown;
        }
        before = now;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// In which period it warns, if that is one of the first twenty. `periods`: unknown and opened in each, the last again and again.
    async fn warned_in(periods: &[(u64, u64)]) -> Option<u64> {
        let asked = AtomicUsize::new(0);
        let counts = || {
            let until = asked.fetch_add(1, Ordering::Relaxed);
            let passed = (0..until).map(|at| periods.get(at).or_else(|| periods.last()).copied().unwrap_or_default());
            let (unknown, opened) = passed.fold((7, 7), |sum, each| (sum.0 + each.0, sum.1 + each.1));
            Counts { unknown, opened }
        };
        let start = tokio::time::Instant::now();
        tokio::time::timeout(PERIOD * 20, spread(counts)).await.ok()?;
        Some(start.elapsed().as_secs() / PERIOD.as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn requests_that_go_to_the_wrong_server_again_and_again_are_noticed() {
        assert_eq!(warned_in(&[(6, 6)]).await, Some(2));
        assert_eq!(warned_in(&[(500, 300)]).await, Some(2));
        assert_eq!(warned_in(&[(0, 3), (900, 1000), (0, 10), (20, 20)]).await, Some(5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_restart_elsewhere_and_clients_that_were_away_are_not() {
        assert_eq!(warned_in(&[(1000, 1000), (0, 50)]).await, None);
        assert_eq!(warned_in(&[(4, 4)]).await, None);
        assert_eq!(warned_in(&[(50, 1000)]).await, None);
    }
}
