//! The hub of a broker: its tasks serve all namespaces of a server, and run while one of these is open.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::task::{AbortHandle, JoinSet};

use super::{Health, Role};
use crate::{ClusterMetrics, supervise, supervise_until_done};

/// The state that the tasks of a broker's adapter share.
pub trait Link: Send + Sync + 'static {
    /// The roles of its connections and tasks.
    type Role: Role;

    /// How these are.
    fn health(&self) -> &Health<Self::Role>;

    /// Where tasks are counted that are started again.
    fn cluster_metrics(&self) -> &ClusterMetrics;
}

/// The link of one server, and its tasks.
pub struct Hub<L> {
    link: Arc<L>,
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    namespaces: usize,
    /// They end when it is dropped.
    tasks: JoinSet<()>,
}

impl<L> fmt::Debug for Hub<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("namespaces", &self.running.lock().namespaces).finish_non_exhaustive()
    }
}

impl<L: Link> Hub<L> {
    /// One without tasks.
    pub fn new(link: Arc<L>) -> Self {
        Self { link, running: Mutex::default() }
    }

    /// The state that the tasks share.
    pub fn link(&self) -> &Arc<L> {
        &self.link
    }

    /// A namespace opens. If it is the first, `start` starts the tasks that serve all of them.
    pub fn enter(&self, start: impl FnOnce(&mut Tasks<'_, L>)) {
        let mut running = self.running.lock();
        running.namespaces += 1;
        if running.namespaces == 1 {
            start(&mut Tasks { link: &self.link, tasks: &mut running.tasks });
        }
    }

    /// A namespace has closed. If it was the last, the tasks end, and then `end` is called.
    pub fn leave(&self, end: impl FnOnce(&L)) {
        let mut running = self.running.lock();
        running.namespaces = running.namespaces.saturating_sub(1);
        if running.namespaces == 0 {
            running.tasks = JoinSet::new();
            end(&self.link);
        }
    }

    /// Starts a supervised task that serves one namespace; it ends with the others, or when the handle says so.
    pub fn start<F: Future<Output = ()> + Send + 'static>(
        &self,
        role: L::Role,
        run: impl Fn(Arc<L>) -> F + Send + Sync + 'static,
    ) -> AbortHandle {
        let mut running = self.running.lock();
        Tasks { link: &self.link, tasks: &mut running.tasks }.start(role, run)
    }

    /// Runs a task for as long as a namespace is open, if it does not end before. It is not supervised.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        self.running.lock().tasks.spawn(task)
    }
}

/// The tasks that serve all namespaces.
#[derive(Debug)]
pub struct Tasks<'a, L> {
    link: &'a Arc<L>,
    tasks: &'a mut JoinSet<()>,
}

impl<L: Link> Tasks<'_, L> {
    /// Starts a task that has no end, and is [supervised](supervised).
    pub fn start<F: Future<Output = ()> + Send + 'static>(
        &mut self,
        role: L::Role,
        run: impl Fn(Arc<L>) -> F + Send + Sync + 'static,
    ) -> AbortHandle {
        let link = self.link.clone();
        self.tasks.spawn(async move { supervised(&*link, role, || run(link.clone())).await })
    }
}

/// Runs a task that has no end: it is [started again](supervise) if it panics, or ends. Meanwhile its role has failed.
pub async fn supervised<L: Link, F: Future<Output = ()> + Send + 'static>(
    link: &L,
    role: L::Role,
    mut start: impl FnMut() -> F,
) {
    let stopped = Mutex::new(None);
    let failed = |reason: &str| *stopped.lock() = Some(link.health().stopped(role, reason.to_owned()));
    let start = || {
        *stopped.lock() = None;
        start()
    };
    match supervise(&role.to_string(), link.cluster_metrics(), failed, start).await {}
}

/// The same with a task that may be done at some time.
pub async fn supervised_until_done<L: Link, F: Future<Output = ()> + Send + 'static>(
    link: &L,
    role: L::Role,
    mut start: impl FnMut() -> F,
) {
    let stopped = Mutex::new(None);
    let failed = |reason: &str| *stopped.lock() = Some(link.health().stopped(role, reason.to_owned()));
    let start = || {
        *stopped.lock() = None;
        start()
    };
    supervise_until_done(&role.to_string(), link.cluster_metrics(), failed, start).await;
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Notify;

    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Working;

    impl Role for Working {
        const ALL: &'static [Self] = &[Self];

        fn is_connection(self) -> bool {
            false
        }
    }

    impl fmt::Display for Working {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("working")
        }
    }

    struct Shared {
        health: Health<Working>,
        metrics: ClusterMetrics,
        starts: AtomicU32,
        go_on: Notify,
    }

    impl Link for Shared {
        type Role = Working;

        fn health(&self) -> &Health<Working> {
            &self.health
        }

        fn cluster_metrics(&self) -> &ClusterMetrics {
            &self.metrics
        }
    }

    fn hub() -> Hub<Shared> {
        Hub::new(Arc::new(Shared {
            health: Health::new("a broker"),
            metrics: ClusterMetrics::default(),
            starts: AtomicU32::new(0),
            go_on: Notify::new(),
        }))
    }

    async fn work(shared: Arc<Shared>) {
        shared.starts.fetch_add(1, Ordering::Relaxed);
        shared.health.notify();
        shared.go_on.notified().await;
    }

    #[tokio::test(start_paused = true)]
    async fn tasks_run_while_a_namespace_is_open() {
        let hub = hub();
        let shared = hub.link().clone();
        for _ in 0..2 {
            hub.enter(|tasks| drop(tasks.start(Working, work)));
        }
        shared.health.wait_until(|| shared.starts.load(Ordering::Relaxed) == 1).await;
        hub.leave(|_| panic!("one is still open"));
        let mut has_ended = false;
        hub.leave(|_| has_ended = true);
        assert!(has_ended);
        hub.enter(|tasks| drop(tasks.start(Working, work)));
        shared.health.wait_until(|| shared.starts.load(Ordering::Relaxed) == 2).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_ends_is_not_well_until_it_runs_again() {
        let hub = hub();
        let shared = hub.link().clone();
        hub.enter(|tasks| drop(tasks.start(Working, work)));
        for number in 1..=3 {
            shared.health.wait_until(|| shared.starts.load(Ordering::Relaxed) == number).await;
            assert_eq!(shared.health.check(&[]), Ok(()));
            shared.go_on.notify_one();
            if number > 1 {
                // The first time it is started again at once.
                shared.health.wait_until(|| shared.health.check(&[]).is_err()).await;
                let reason = shared.health.check(&[]).unwrap_err().to_string();
                assert_eq!(reason, "no connection to a broker: working: it has ended");
            }
        }
        assert_eq!(shared.metrics.tasks_restarted.value(), 3);
    }
}
