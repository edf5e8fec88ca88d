//! Back-pressure from recipients to senders: a client is read no further while those that its events go to cannot follow.
//!
//! A recipient is *behind* when it does not read and more than [`max_behind_bytes`](crate::Limits::max_behind_bytes) wait for it.
//! Code that runs for a client is [watched](watch). If a broadcast in it finds that a twentieth of the recipients are behind, the
//! client is held back: its next events wait as they do when too many handlers wait, and then it is read no further, until the recipients
//! have caught up. So whoever floods a room is slowed down to what its members can take, and does not cost them their connections.
//!
//! A recipient that does not read at all must not hold up others for ever: nobody waits for it longer than five seconds, and it is
//! closed at its own bound, as always.

use std::cell::{Cell, RefCell};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use sockeye_protocol::CloseReason;

use super::recipient::{Outlet, Recipient};
use super::state::State;
use super::{Conn, Ending};
use crate::application::Application;
use crate::metrics::Bound;

thread_local! {
    static WATCHED: Cell<Watched> = const { Cell::new(Watched::Nobody) };
    /// Recipients that the watched code has found behind.
    static BEHIND: RefCell<Vec<Recipient>> = const { RefCell::new(Vec::new()) };
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Watched {
    /// The code that runs is no client's.
    Nobody,
    /// A client's code runs, and its recipients can follow.
    Client,
    /// Some cannot.
    Behind,
    /// A message was not delivered, as too many would have lost their connections by it.
    Refused,
}

/// Runs code for a client, which pays for what it sends.
pub fn watch<A: Application, R>(sender: &Arc<Conn<A>>, run: impl FnOnce() -> R) -> R {
    let before = WATCHED.replace(Watched::Client);
    let result = run();
    match WATCHED.replace(before) {
        Watched::Nobody | Watched::Client => {}
        Watched::Behind => sender.hold_back(BEHIND.take()),
        Watched::Refused => {
            BEHIND.take();
            sender.close(CloseReason::Overload, Ending::Gone, "its recipients cannot take what it sends");
        }
    }
    result
}

/// Whether as many recipients as this are too many to be behind: a twentieth, so that in a room of twenty each one counts.
fn are_too_many(behind: usize, recipients: usize) -> bool {
    behind > 0 && behind.saturating_mul(20) >= recipients
}

/// A broadcast has found so many of its recipients behind.
pub fn note<'a, A: Application>(behind: usize, recipients: impl ExactSizeIterator<Item = &'a Arc<Conn<A>>>) {
    if WATCHED.get() == Watched::Nobody || !are_too_many(behind, recipients.len()) {
        return;
    }
    if WATCHED.get() == Watched::Client {
        WATCHED.set(Watched::Behind);
    }
    BEHIND.with_borrow_mut(|noted| {
        let room = MAX_RECIPIENTS.saturating_sub(noted.len());
        noted.extend(recipients.filter_map(recipient).take(room));
    });
}

fn recipient<A: Application>(conn: &Arc<Conn<A>>) -> Option<Recipient> {
    let bytes = conn.behind()?;
    let weak: Weak<Conn<A>> = Arc::downgrade(conn);
    Some(Recipient::new(weak, bytes, crate::now()))
}

/// Whether a message that costs so much must not be delivered, as a twentieth of its recipients would lose their connections by it. It
/// is asked for large ones only: of small ones a client cannot send enough before it is held back.
pub fn refuses<'a, A: Application>(cost: usize, recipients: impl ExactSizeIterator<Item = &'a Arc<Conn<A>>>) -> bool {
    if cost < LARGE || WATCHED.get() == Watched::Nobody {
        return false;
    }
    let count = recipients.len();
    let full = recipients.filter(|conn| conn.would_overflow(cost)).count();
    let is_refused = are_too_many(full, count);
    if is_refused {
        WATCHED.set(Watched::Refused);
    }
    is_refused
}

impl<A: Application> Outlet for Conn<A> {
    fn behind(&self) -> Option<usize> {
        let state = self.state.lock();
        (state.session.is_open() && state.is_behind(self)).then(|| state.outbox.bytes())
    }

    fn give_up(&self) {
        self.state.lock().given_up = true;
    }
}

impl State {
    /// Whether the client cannot follow what is sent to it, and somebody would wait for it.
    pub(crate) fn is_behind<A: Application>(&self, conn: &Conn<A>) -> bool {
        self.outbox.bytes() > conn.engine().limits.max_behind_bytes && self.is_stuck() && !self.given_up
    }
}

impl<A: Application> Conn<A> {
    /// Whether it waits for the recipients of its events.
    pub fn is_held_back(&self) -> bool {
        self.held_back.load(Ordering::SeqCst)
    }

    fn would_overflow(&self, cost: usize) -> bool {
        let state = self.state.lock();
        let limit = self.engine().limits.max_outbox_bytes;
        !state.given_up && !state.outbox.is_empty() && state.outbox.bytes() + cost > limit
    }

    /// Reads no further until these have caught up.
    fn hold_back(self: &Arc<Self>, recipients: Vec<Recipient>) {
        let mut state = self.state.lock();
        if !state.session.is_open() || recipients.is_empty() {
            return;
        }
        let rare = state.rare();
        rare.recipients.extend(recipients);
        rare.next_look = crate::now().checked_add(LOOK);
        drop(state);
        if !self.held_back.swap(true, Ordering::SeqCst) {
            self.engine().metrics.bound_reached(Bound::Behind, &self.id);
        }
        self.arm();
    }

    /// Looks whether the recipients that this client waits for have caught up.
    pub(crate) fn look_at_recipients(self: &Arc<Self>, now: Instant) {
        let mut recipients = {
            let mut state = self.state.lock();
            let Some(rare) = state.rare.as_mut().filter(|rare| rare.next_look.is_some_and(|at| at <= now)) else {
                return;
            };
            rare.next_look = None;
            std::mem::take(&mut rare.recipients)
        };
        recipients.retain_mut(|recipient| recipient.is_waited_for(now));
        if recipients.is_empty() {
            self.held_back.store(false, Ordering::SeqCst);
            return self.resume();
        }
        let mut state = self.state.lock();
        let rare = state.rare();
        rare.recipients.extend(recipients);
        rare.next_look = now.checked_add(LOOK);
    }
}

/// How often a client that is held back looks at its recipients: each tick of the wheel.
const LOOK: Duration = Duration::from_millis(20);

/// How many recipients a client waits for at a time, of those that are behind.
const MAX_RECIPIENTS: usize = 64;

/// The cost from which on it is looked, before a message is delivered, whether it would cost its recipients their connections.
const LARGE: usize = 4 * 1024;
