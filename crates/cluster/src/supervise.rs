//! Supervision: a task that the cluster needs is started again when it panics, or ends although it should not.

use std::any::Any;
use std::convert::Infallible;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::ClusterMetrics;

/// Runs a task that has no end. When it panics, or returns, that is counted and logged, `failed` is told why, and the task is started
/// again: the first time at once, then after pauses that grow up to five seconds.
///
/// It is a task of the runtime of its own, which ends when this future is dropped.
pub async fn supervise<F>(
    name: &str,
    metrics: &ClusterMetrics,
    failed: impl Fn(&str),
    mut start: impl FnMut() -> F,
) -> Infallible
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut pauses = Pauses::default();
    loop {
        run_until_done(name, metrics, &failed, &mut start, &mut pauses).await;
        note_failure(name, metrics, &failed, "it has ended");
        pauses.wait().await;
    }
}

/// Runs a task that may be done at some time, and gives back what it returns. A panic of it is handled as by [`supervise`].
pub async fn supervise_until_done<T, F>(
    name: &str,
    metrics: &ClusterMetrics,
    failed: impl Fn(&str),
    mut start: impl FnMut() -> F,
) -> T
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    run_until_done(name, metrics, &failed, &mut start, &mut Pauses::default()).await
}

async fn run_until_done<T, F>(
    name: &str,
    metrics: &ClusterMetrics,
    failed: &impl Fn(&str),
    start: &mut impl FnMut() -> F,
    pauses: &mut Pauses,
) -> T
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    loop {
        pauses.begin();
        let mut task = JoinSet::new();
        task.spawn(start());
        match task.join_next().await {
            Some(Ok(done)) => return done,
            Some(Err(error)) if error.is_panic() => {
                note_failure(name, metrics, failed, &format!("a panic: {}", text(&*error.into_panic())));
            }
            // The runtime ends, and this future with it.
            _ => std::future::pending().await,
        }
        pauses.wait().await;
    }
}

fn note_failure(name: &str, metrics: &ClusterMetrics, failed: &impl Fn(&str), reason: &str) {
    metrics.tasks_restarted.increment();
    tracing::error!(task = name, reason, "a task of the cluster does not run any more; it is started again");
    failed(reason);
}

/// How long to wait before a task is started again.
#[derive(Default)]
struct Pauses {
    next: Duration,
    started: Option<Instant>,
}

impl Pauses {
    /// The task is started.
    fn begin(&mut self) {
        self.started = Some(Instant::now());
    }

    async fn wait(&mut self) {
        if self.started.is_some_and(|started| started.elapsed() > QUIET) {
            self.next = Duration::ZERO;
        }
        sleep(self.next).await;
        self.next = (self.next * 2).clamp(MIN_PAUSE, MAX_PAUSE);
    }
}

/// Does something for one message. A panic is counted and logged, and costs this message only.
pub fn contain(what: &str, metrics: &ClusterMetrics, act: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(act)) {
        metrics.panics.increment();
        tracing::error!(what, reason = text(&*panic), "a panic; what it was about is lost");
    }
}

/// The text of a panic.
fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without a text".to_owned())
}

const MIN_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// A task that has run for so long may begin at once again.
const QUIET: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use parking_lot::Mutex;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_is_started_again_with_growing_pauses() {
        let (metrics, reasons) = (ClusterMetrics::default(), Mutex::new(Vec::new()));
        let starts = Arc::new(AtomicU32::new(0));
        let begun = Instant::now();
        let work = || {
            let starts = starts.clone();
            async move {
                match starts.fetch_add(1, Ordering::Relaxed) {
                    number @ 0..4 => panic!("number {number}"),
                    number => number,
                }
            }
        };
        let done = supervise_until_done("work", &metrics, |reason| reasons.lock().push(reason.to_owned()), work).await;
        assert_eq!((done, metrics.tasks_restarted.value()), (4, 4));
        let expected = [0, 1, 2, 3].map(|number| format!("a panic: number {number}"));
        assert_eq!(*reasons.lock(), expected);
        assert_eq!(begun.elapsed().as_millis() / 10, 35, "0 + 50 + 100 + 200 ms");
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_without_an_end_that_returns_is_started_again() {
        let (metrics, reasons) = (ClusterMetrics::default(), Mutex::new(Vec::new()));
        let (starts, begun) = (Arc::new(AtomicU32::new(0)), Instant::now());
        let work = || {
            let starts = starts.clone();
            async move {
                match starts.fetch_add(1, Ordering::Relaxed) {
                    0 | 2 => {}
                    1 => panic!("on purpose"),
                    _ => std::future::pending().await,
                }
            }
        };
        let is_running = async {
            while starts.load(Ordering::Relaxed) < 4 {
                sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            never = supervise("work", &metrics, |reason| reasons.lock().push(reason.to_owned()), work) => match never {},
            () = is_running => {}
        }
        assert_eq!(*reasons.lock(), ["it has ended", "a panic: on purpose", "it has ended"]);
        assert_eq!(metrics.tasks_restarted.value(), 3);
        assert_eq!(begun.elapsed().as_millis() / 10, 15, "0 + 50 + 100 ms");
    }

    #[tokio::test]
    async fn it_ends_with_its_supervisor() {
        let (sender, mut receiver) = tokio::sync::mpsc::channel::<()>(1);
        let metrics = ClusterMetrics::default();
        let endless = || {
            let sender = sender.clone();
            async move {
                let _sender = sender;
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            never = supervise("endless", &metrics, |_| {}, endless) => match never {},
            () = tokio::task::yield_now() => {}
        }
        drop(sender);
        assert_eq!(receiver.recv().await, None);
    }

    #[test]
    fn a_panic_costs_one_message() {
        let metrics = ClusterMetrics::default();
        let mut done = 0;
        for number in 0..3 {
            contain("a message", &metrics, || {
                assert!(number != 1, "the second one");
                done += 1;
            });
        }
        assert_eq!((done, metrics.panics.value()), (2, 1));
    }
}
