//! Does in time what no event brings about: sessions are kept alive, and events that the log does not bring back are given up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};

use super::{Cursor, Position, Recovery};

/// Looks after all namespaces with recovery of a server.
#[derive(Debug, Default)]
pub struct RecoveryDriver {
    namespaces: Mutex<Vec<Weak<Recovery>>>,
    is_used: AtomicBool,
    /// Sessions are to be written.
    changed: Notify,
    /// The log is available again.
    available: Notify,
}

impl RecoveryDriver {
    /// A namespace with recovery is there.
    pub(super) fn enter(&self, recovery: &Arc<Recovery>) {
        let mut namespaces = self.namespaces.lock();
        namespaces.retain(|each| each.strong_count() > 0);
        namespaces.push(Arc::downgrade(recovery));
        self.is_used.store(true, Ordering::Release);
    }

    /// Whether there is a namespace with recovery, or was.
    pub fn is_used(&self) -> bool {
        self.is_used.load(Ordering::Acquire)
    }

    pub(super) fn note_changed(&self) {
        self.changed.notify_one();
    }

    /// The log may be available again: from here on events may be logged.
    pub fn note_available(&self) {
        self.available.notify_one();
    }

    /// Entries of the log with this cursor are gone, perhaps before they were read; `first` is the first that is there.
    pub fn handle_gap(&self, cursor: &Cursor, first: Position, is_unread: bool) {
        for recovery in self.namespaces() {
            if std::ptr::eq(recovery.log.cursor(), cursor) {
                recovery.handle_gap(first, is_unread);
            }
        }
    }

    /// Runs for as long as it is polled: a task of the broker's crate.
    pub async fn run(&self) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let only_sessions = tokio::select! {
                _ = ticks.tick() => false,
                () = self.available.notified() => false,
                () = self.changed.notified() => true,
            };
            for recovery in self.namespaces() {
                if only_sessions {
                    recovery.write_sessions();
                } else {
                    recovery.tick();
                }
                tokio::task::yield_now().await;
            }
        }
    }

    fn namespaces(&self) -> Vec<Arc<Recovery>> {
        self.namespaces.lock().iter().filter_map(Weak::upgrade).collect()
    }
}

impl Recovery {
    fn tick(&self) {
        let Some(local) = self.local().filter(|_| self.is_open()) else { return };
        self.handle_tick();
        if let Some(position) = self.log.cursor().position() {
            self.live.mark(position);
        }
        if self.log.is_available() {
            self.write_lost();
        }
        self.live.refresh(&local, MAX_REFRESHED);
        self.flush_sessions(&local);
    }

    /// Writes again what the store may have lost.
    fn write_lost(&self) {
        let Some(sessions) = self.live.rewrite_lost(self.store.generation(), MAX_REWRITTEN) else { return };
        self.write_watermark_again();
        self.options.metrics.rewritten.increment();
        let namespace = &*self.namespace;
        tracing::info!(
            namespace,
            sessions,
            "the store may have lost sessions: those of living clients are written again"
        );
    }

    fn write_sessions(&self) {
        if let Some(local) = self.local() {
            self.flush_sessions(&local);
        }
    }
}

/// How often it is looked after.
const TICK: Duration = Duration::from_millis(100);

/// How many sessions that may have been lost are written at once: all nodes do it together.
const MAX_REWRITTEN: usize = 200;

/// How many sessions of a namespace are written at once although nothing has changed.
const MAX_REFRESHED: usize = 1_000;
