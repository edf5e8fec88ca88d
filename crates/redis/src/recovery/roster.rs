//! The sessions of a namespace's sockets on this node, as they are written in Redis while the sockets live.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use sockeye::Socket;
use sockeye::adapter::{Local, SavedSession};
use tokio::time::Instant;

use super::EntryId;
use super::record::{self, Over};
use crate::link::Link;
use crate::wire::Wire;

/// The sockets, and which of their sessions are to be written.
pub(super) struct Roster {
    /// How long a session is kept after its end.
    duration: Duration,
    state: Mutex<State>,
    /// Whether some are to be written; set when they have been, so that who sees it unset may go on.
    is_dirty: AtomicBool,
}

#[derive(Default)]
struct State {
    by_secret: HashMap<Box<str>, Entry>,
    dirty: Vec<Box<str>>,
    /// When each is written again although nothing has changed: about in order.
    turns: VecDeque<Turn>,
    next: u64,
    /// Up to where the stream had been delivered, and when.
    marks: VecDeque<(Instant, EntryId)>,
}

struct Entry {
    number: u64,
    socket: Socket,
    is_dirty: bool,
    /// How many connections to Redis had ended when it was written last: what was written before may be lost.
    written: Option<u64>,
}

struct Turn {
    due: Instant,
    number: u64,
    secret: Box<str>,
}

impl Roster {
    pub(super) fn new(duration: Duration) -> Self {
        Self { duration, state: Mutex::default(), is_dirty: AtomicBool::new(false) }
    }

    /// How often a session is written although nothing has changed.
    pub(super) fn interval(&self) -> Duration {
        self.duration / 3
    }

    /// How long what is written is kept: until it is written again, and then for as long as a client may be away.
    pub(super) fn keep(&self) -> Duration {
        self.duration + self.interval()
    }

    /// The socket has entered.
    pub(super) fn enter(&self, local: &Local, socket: &Socket) {
        let Some(secret) = local.private_id(socket).map(String::into_boxed_str) else { return };
        let mut state = self.state.lock();
        let number = state.next;
        state.next += 1;
        // So that they do not come all at once when many have come at once.
        let due = Instant::now() + self.interval().mul_f64(rand::random_range(0.5..1.0));
        state.turns.push_back(Turn { due, number, secret: secret.clone() });
        let entry = Entry { number, socket: socket.clone(), is_dirty: false, written: None };
        state.by_secret.insert(secret.clone(), entry);
        self.mark_dirty(&mut state, &secret);
    }

    /// The socket's session has changed.
    pub(super) fn note(&self, local: &Local, socket: &Socket) {
        let Some(secret) = local.private_id(socket) else { return };
        let mut state = self.state.lock();
        if state.by_secret.get(&*secret).is_some_and(|entry| entry.socket == *socket) {
            self.mark_dirty(&mut state, &secret);
        }
    }

    fn mark_dirty(&self, state: &mut State, secret: &str) {
        if let Some(entry) = state.by_secret.get_mut(secret)
            && !std::mem::replace(&mut entry.is_dirty, true)
        {
            state.dirty.push(secret.into());
            self.is_dirty.store(true, Ordering::Release);
        }
    }

    pub(super) fn is_dirty(&self) -> bool {
        self.is_dirty.load(Ordering::Acquire)
    }

    /// Enters what has changed into the queue to Redis. It waits until the reader has begun, at `begun`: who was there before needs
    /// nothing from before that.
    pub(super) fn flush(&self, link: &Link, wire: &Wire, local: &Local, begun: Option<EntryId>) {
        let Some(begun) = begun.filter(|_| self.is_dirty()) else { return };
        let mut state = self.state.lock();
        let dirty = std::mem::take(&mut state.dirty);
        for secret in dirty {
            let Some(entry) = state.by_secret.get_mut(&secret) else { continue };
            entry.is_dirty = false;
            let ended = link.metrics.disconnects.value();
            let over = match entry.written.replace(ended) {
                None => Over::Anything,
                Some(then) if then == ended => Over::Own,
                Some(_) => Over::OwnOrNothing,
            };
            let Some(mut session) = local.session(&entry.socket) else { continue };
            if session.log_start.is_empty() {
                session.log_start = begun.to_string();
                local.advance_log_start(&entry.socket, &session.log_start);
            }
            let written = record::write(link, wire, session, self.keep(), over);
            if written.is_some_and(|outgoing| !link.send(outgoing)) {
                // It is written again at its turn.
                entry.written = (over != Over::Anything).then_some(ended.wrapping_sub(1));
            }
        }
        self.is_dirty.store(false, Ordering::Release);
    }

    /// The socket is gone, and its client may come back.
    pub(super) fn persist(&self, link: &Link, wire: &Wire, mut session: SavedSession, begun: Option<EntryId>) {
        if let Some(begun) = begun.filter(|_| session.log_start.is_empty()) {
            session.log_start = begun.to_string();
        }
        let entry = self.state.lock().by_secret.remove(&*session.private_id);
        let over = match entry {
            // It was taken out for a client that did not enter.
            None => Over::Anything,
            Some(entry) => match entry.written {
                None => Over::Anything,
                Some(then) if then == link.metrics.disconnects.value() => Over::Own,
                Some(_) => Over::OwnOrNothing,
            },
        };
        if let Some(outgoing) = record::write(link, wire, session, self.duration, over) {
            // Without room the client is told that it is not recovered.
            let _full = link.send(outgoing);
        }
    }

    /// The socket is gone. Unless its session has been kept, its client cannot come back.
    pub(super) fn remove(&self, link: &Link, local: &Local, socket: &Socket) {
        let Some(secret) = local.private_id(socket) else { return };
        let mut state = self.state.lock();
        if state.by_secret.get(&*secret).is_none_or(|entry| entry.socket != *socket) {
            return;
        }
        state.by_secret.remove(&*secret);
        drop(state);
        if let Some(outgoing) = record::remove(link, &secret) {
            // What stays ends with its time.
            let _full = link.send(outgoing);
        }
    }

    /// Notes up to where the stream has been delivered.
    pub(super) fn mark(&self, id: EntryId) {
        let mut state = self.state.lock();
        if state.by_secret.is_empty() {
            state.marks = VecDeque::new();
            return;
        }
        let now = Instant::now();
        if state.marks.back().is_none_or(|(at, _)| now.duration_since(*at) >= MARK_INTERVAL) {
            state.marks.push_back((now, id));
        }
        if state.marks.len() > MAX_MARKS {
            state.marks.pop_front();
        }
    }

    /// Has those written whose turn has come, at most so many.
    pub(super) fn refresh(&self, local: &Local, max: usize) {
        let now = Instant::now();
        let mut state = self.state.lock();
        let state = &mut *state;
        for _ in 0..max {
            if state.turns.front().is_none_or(|turn| turn.due > now) {
                return;
            }
            let Some(turn) = state.turns.pop_front() else { return };
            let Some(entry) = state.by_secret.get(&turn.secret).filter(|entry| entry.number == turn.number) else {
                continue; // it is gone
            };
            advance(local, &entry.socket, &state.marks);
            self.mark_dirty(state, &turn.secret);
            state.turns.push_back(Turn { due: now + self.interval(), ..turn });
        }
    }
}

/// A client that gets no events needs nothing from before what has certainly arrived: else it could not be recovered once the stream
/// has been trimmed behind its last offset.
fn advance(local: &Local, socket: &Socket, marks: &VecDeque<(Instant, EntryId)>) {
    let Some(until) = local.received_until(socket) else { return };
    let after = marks.partition_point(|(at, _)| at.into_std() <= until);
    let Some((_, id)) = after.checked_sub(1).and_then(|at| marks.get(at)) else { return };
    let start = local.session(socket).and_then(|session| session.log_start.parse::<EntryId>().ok());
    if start.is_none_or(|start| start < *id) {
        local.advance_log_start(socket, &id.to_string());
    }
}

/// How often it is noted up to where the stream has been delivered, and how often that is remembered: ten minutes.
const MARK_INTERVAL: Duration = Duration::from_secs(1);
const MAX_MARKS: usize = 600;
