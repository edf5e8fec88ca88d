//! Rooms whose subscription the broker has not confirmed yet, and the clients that have joined them meanwhile.
//!
//! A client that has joined a room may tell another, whose node then emits to the room at once. If this node had not subscribed by then,
//! the event would be lost. So the first members of a room are told nothing until the broker has confirmed the subscription.

use std::fmt;
use std::mem::take;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use hashbrown::HashMap;
use parking_lot::{Mutex, MutexGuard};
use sockeye::adapter::{Hold, Local, Room};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::metrics::ClusterMetrics;

/// Subscriptions that are not confirmed.
pub(super) struct Confirmations {
    namespace: String,
    metrics: Arc<ClusterMetrics>,
    /// How many there are: mostly none, and then a join takes no lock here.
    count: AtomicUsize,
    state: Mutex<State>,
    /// There is one where there was none.
    begun: Arc<Notify>,
    is_closed: AtomicBool,
}

#[derive(Default)]
struct State {
    next: u64,
    by_room: HashMap<Room, Unconfirmed>,
}

struct Unconfirmed {
    /// A room can be left and joined again: the confirmation of an earlier subscription is not that of the later.
    number: u64,
    since: Instant,
    /// Of the clients that have joined.
    holds: Vec<Hold>,
}

/// The wait for the subscription to a room. Dropped, it ends, and the clients that have joined the room are written to.
#[must_use = "the wait ends when this is dropped"]
pub struct Confirmation(Option<Box<dyn FnOnce() + Send + Sync>>);

impl Confirmation {
    /// Calls `confirmed` when it is dropped. For tests of a bus.
    pub fn new(confirmed: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self(Some(Box::new(confirmed)))
    }
}

impl fmt::Debug for Confirmation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Confirmation").finish_non_exhaustive()
    }
}

impl Drop for Confirmation {
    fn drop(&mut self) {
        if let Some(confirmed) = self.0.take() {
            confirmed();
        }
    }
}

impl Drop for Confirmations {
    fn drop(&mut self) {
        self.begun.notify_one();
    }
}

impl Confirmations {
    pub(super) fn new(namespace: String, metrics: Arc<ClusterMetrics>) -> Arc<Self> {
        Arc::new(Self {
            namespace,
            metrics,
            count: AtomicUsize::new(0),
            state: Mutex::default(),
            begun: Arc::default(),
            is_closed: AtomicBool::new(false),
        })
    }

    /// A subscription to the room begins.
    pub(super) fn begin(self: &Arc<Self>, room: &Room) -> Confirmation {
        let mut state = self.state.lock();
        let number = state.next;
        state.next += 1;
        let begun = Unconfirmed { number, since: Instant::now(), holds: Vec::new() };
        let before = state.by_room.insert(room.clone(), begun);
        self.count.store(state.by_room.len(), Ordering::Release);
        let is_first = state.by_room.len() == 1;
        drop(state);
        // Not under the lock, here and below: what it lets go of takes others.
        drop(before);
        if is_first {
            self.begun.notify_one();
        }
        let (weak, room) = (Arc::downgrade(self), room.clone());
        Confirmation::new(move || {
            if let Some(confirmations) = weak.upgrade() {
                confirmations.end(&room, number);
            }
        })
    }

    /// A socket of this node has joined the room: if its subscription is not confirmed, the client is told nothing until it is.
    pub(super) fn hold(&self, local: &Local, room: &Room, socket: &str) {
        if self.count.load(Ordering::Acquire) == 0 || self.is_closed.load(Ordering::Acquire) {
            return;
        }
        let Some(socket) = local.socket(socket) else { return };
        if let Some(unconfirmed) = self.state.lock().by_room.get_mut(room) {
            unconfirmed.holds.push(socket.hold());
        }
    }

    fn end(&self, room: &Room, number: u64) {
        let state = self.state.lock();
        if state.by_room.get(room).is_none_or(|unconfirmed| unconfirmed.number != number) {
            return;
        }
        self.remove(state, room);
    }

    /// This node has no members of the room any more.
    pub(super) fn forget(&self, room: &Room) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        self.remove(self.state.lock(), room);
    }

    fn remove(&self, mut state: MutexGuard<'_, State>, room: &Room) {
        let ended = state.by_room.remove(room);
        self.count.store(state.by_room.len(), Ordering::Release);
        if state.by_room.is_empty() && state.by_room.capacity() > KEPT {
            state.by_room = HashMap::new();
        }
        drop(state);
        drop(ended);
    }

    /// Nobody is held any more.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        let mut state = self.state.lock();
        let ended = take(&mut state.by_room);
        self.count.store(0, Ordering::Release);
        drop(state);
        drop(ended);
        self.begun.notify_one();
    }

    /// Gives up those that have taken too long, and tells when to look again.
    fn give_up(&self, now: Instant) -> Option<Instant> {
        let mut state = self.state.lock();
        let late: Vec<_> = state.by_room.extract_if(|_, each| now.duration_since(each.since) >= PATIENCE).collect();
        self.count.store(state.by_room.len(), Ordering::Release);
        let oldest = state.by_room.values().map(|each| each.since).min();
        drop(state);
        if !late.is_empty() {
            self.metrics.subscriptions_late(&self.namespace, late.len());
        }
        // All are looked at each time, so not too often.
        oldest.map(|since| (since + PATIENCE).max(now + LOOK))
    }
}

/// Bounds the time that clients are held. Ends when the adapter is closed, or gone.
pub(super) async fn run(confirmations: Weak<Confirmations>) {
    loop {
        let Some(strong) = confirmations.upgrade() else { return };
        match strong.give_up(Instant::now()) {
            Some(next) => {
                drop(strong);
                sleep_until(next).await;
            }
            None if strong.is_closed.load(Ordering::Acquire) => return,
            None => {
                let begun = strong.begun.clone();
                drop(strong);
                begun.notified().await;
            }
        }
    }
}

/// How long a client is held at most, but for [`LOOK`].
const PATIENCE: Duration = Duration::from_secs(1);

/// For how many rooms memory stays when there are none.
const KEPT: usize = 1_024;

/// The least time from one look at all to the next.
const LOOK: Duration = Duration::from_millis(50);
