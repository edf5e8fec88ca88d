//! The sessions of a namespace's sockets on this node, which are written into the store while the sockets live.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use sockeye::Socket;
use sockeye::adapter::{Local, SavedSession};
use tokio::time::Instant;

use super::{Position, PutIf, SessionStore};

/// The sockets, and which of their sessions are to be written.
pub(super) struct LiveSessions {
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
    /// Up to where the log had been delivered, and when.
    marks: VecDeque<(Instant, Position)>,
    /// The store's generation when it was looked at last.
    generation: Option<u64>,
    /// Sessions that the store may have lost since.
    lost: Vec<Box<str>>,
}

struct Entry {
    number: u64,
    socket: Socket,
    is_dirty: bool,
    /// The store's generation when it was written last: with another one, what was written may be lost.
    written: Option<u64>,
}

struct Turn {
    due: Instant,
    number: u64,
    secret: Box<str>,
}

impl LiveSessions {
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

    /// Enters what has changed into the queue to the store. It waits until the reader has begun, at `begun`: who was there before needs
    /// nothing from before that.
    pub(super) fn flush(&self, store: &dyn SessionStore, local: &Local, begun: Option<Position>) {
        let Some(begun) = begun.filter(|_| self.is_dirty()) else { return };
        let mut state = self.state.lock();
        let dirty = std::mem::take(&mut state.dirty);
        for secret in dirty {
            let Some(entry) = state.by_secret.get_mut(&secret) else { continue };
            entry.is_dirty = false;
            let generation = store.generation();
            let condition = match entry.written.replace(generation) {
                None => PutIf::Always,
                Some(then) if then == generation => PutIf::Own,
                Some(_) => PutIf::OwnOrAbsent,
            };
            let Some(mut session) = local.session(&entry.socket) else { continue };
            if session.log_start.is_empty() {
                session.log_start = begun.to_string();
                local.advance_log_start(&entry.socket, &session.log_start);
            }
            if !store.put(session, self.keep(), condition) {
                // It is written again at its turn.
                entry.written = (condition != PutIf::Always).then_some(generation.wrapping_sub(1));
            }
        }
        self.is_dirty.store(false, Ordering::Release);
    }

    /// The socket is gone, and its client may come back.
    pub(super) fn persist(&self, store: &dyn SessionStore, mut session: SavedSession, begun: Option<Position>) {
        if let Some(begun) = begun.filter(|_| session.log_start.is_empty()) {
            session.log_start = begun.to_string();
        }
        let entry = self.state.lock().by_secret.remove(&*session.private_id);
        let condition = match entry {
            // It was taken out for a client that did not enter.
            None => PutIf::Always,
            Some(entry) => match entry.written {
                None => PutIf::Always,
                Some(then) if then == store.generation() => PutIf::Own,
                Some(_) => PutIf::OwnOrAbsent,
            },
        };
        // Without room the client is told that it is not recovered.
        let _full = store.put(session, self.duration, condition);
    }

    /// The socket is gone. Unless its session has been kept, its client cannot come back.
    pub(super) fn remove(&self, store: &dyn SessionStore, local: &Local, socket: &Socket) {
        let Some(secret) = local.private_id(socket) else { return };
        let mut state = self.state.lock();
        if state.by_secret.get(&*secret).is_none_or(|entry| entry.socket != *socket) {
            return;
        }
        state.by_secret.remove(&*secret);
        drop(state);
        // If there is no room, the session expires.
        let _full = store.remove(&secret);
    }

    /// Notes up to where the log has been delivered.
    pub(super) fn mark(&self, position: Position) {
        let mut state = self.state.lock();
        if state.by_secret.is_empty() {
            state.marks = VecDeque::new();
            return;
        }
        let now = Instant::now();
        if state.marks.back().is_none_or(|(at, _)| now.duration_since(*at) >= MARK_INTERVAL) {
            state.marks.push_back((now, position));
        }
        if state.marks.len() > MAX_MARKS {
            state.marks.pop_front();
        }
    }

    /// Has those written again that the store may have lost, at most so many; gives how many these are, when it is
    /// found out that there may be some.
    pub(super) fn rewrite_lost(&self, generation: u64, max: usize) -> Option<usize> {
        let mut state = self.state.lock();
        let state = &mut *state;
        let mut found = None;
        if state.generation.replace(generation).is_some_and(|before| before != generation) {
            let is_older = |entry: &Entry| entry.written.is_some_and(|written| written != generation);
            let lost = state.by_secret.iter().filter(|(_, entry)| is_older(entry));
            state.lost = lost.map(|(secret, _)| secret.clone()).collect();
            found = Some(state.lost.len());
        }
        for secret in state.lost.split_off(state.lost.len().saturating_sub(max)) {
            self.mark_dirty(state, &secret);
        }
        found
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

/// A client that gets no events needs nothing from before what has certainly arrived: else it could not be recovered once the log
/// has been trimmed behind its last offset.
fn advance(local: &Local, socket: &Socket, marks: &VecDeque<(Instant, Position)>) {
    let Some(until) = local.received_until(socket) else { return };
    let after = marks.partition_point(|(at, _)| at.into_std() <= until);
    let Some((_, position)) = after.checked_sub(1).and_then(|at| marks.get(at)) else { return };
    let start = local.session(socket).and_then(|session| session.log_start.parse::<Position>().ok());
    if start.is_none_or(|start| start < *position) {
        local.advance_log_start(socket, &position.to_string());
    }
}

/// How often it is noted up to where the log has been delivered, and how often that is remembered: ten minutes.
const MARK_INTERVAL: Duration = Duration::from_secs(1);
const MAX_MARKS: usize = 600;
