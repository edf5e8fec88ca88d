//! Does in time what no event brings about: sessions are kept alive, and what the stream does not bring is given up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};

use super::{EntryId, Places};
use crate::dispatcher::Inbox;
use crate::link::Link;

/// What the namespaces with recovery share.
pub(crate) struct Shared {
    pub(crate) places: Places,
    inboxes: Mutex<Vec<Weak<Inbox>>>,
    is_used: AtomicBool,
    /// Sessions are to be written.
    changed: Notify,
}

impl Shared {
    pub(crate) fn new(streams: usize) -> Self {
        Self {
            places: Places::new(streams),
            inboxes: Mutex::default(),
            is_used: AtomicBool::new(false),
            changed: Notify::new(),
        }
    }

    /// A namespace with recovery is there.
    pub(crate) fn enter(&self, inbox: &Arc<Inbox>) {
        let mut inboxes = self.inboxes.lock();
        inboxes.retain(|each| each.strong_count() > 0);
        inboxes.push(Arc::downgrade(inbox));
        self.is_used.store(true, Ordering::Release);
    }

    /// Whether there is one, or was.
    pub(crate) fn is_used(&self) -> bool {
        self.is_used.load(Ordering::Acquire)
    }

    pub(super) fn note_changed(&self) {
        self.changed.notify_one();
    }

    fn inboxes(&self) -> Vec<Arc<Inbox>> {
        self.inboxes.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// Entries of a stream are gone, perhaps before they were read; this is the first that is there.
    pub(crate) fn handle_gap(&self, link: &Link, stream: usize, first: EntryId, is_unread: bool) {
        for inbox in self.inboxes() {
            if let Some(journal) = inbox.journal.as_ref().filter(|journal| journal.stream == stream) {
                journal.handle_gap(link, &inbox.wire, first, is_unread);
            }
        }
    }
}

/// Runs for as long as the adapter.
pub(crate) async fn run(link: Arc<Link>) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let only_sessions = tokio::select! {
            _ = ticks.tick() => false,
            // A connection works: from here on events may be logged.
            () = link.progress.notified() => false,
            () = link.recovery.changed.notified() => true,
        };
        for inbox in link.recovery.inboxes() {
            if only_sessions {
                link.flush_sessions(&inbox);
            } else {
                link.tick(&inbox);
            }
            tokio::task::yield_now().await;
        }
    }
}

impl Link {
    fn tick(&self, inbox: &Inbox) {
        let Some(journal) = &inbox.journal else { return };
        let Some(local) = journal.local().filter(|_| inbox.receiver.get().is_some()) else { return };
        journal.handle_tick(self, &inbox.wire);
        if let Some(id) = self.recovery.places.at(journal.stream) {
            journal.roster.mark(id);
        }
        journal.roster.refresh(&local, MAX_REFRESHED);
        journal.flush_sessions(self, &inbox.wire, &local);
    }

    fn flush_sessions(&self, inbox: &Inbox) {
        if let Some(journal) = &inbox.journal
            && let Some(local) = journal.local()
        {
            journal.flush_sessions(self, &inbox.wire, &local);
        }
    }
}

/// How often it is looked after.
const TICK: Duration = Duration::from_millis(100);

/// How many sessions of a namespace are written at once although nothing has changed.
const MAX_REFRESHED: usize = 1_000;
