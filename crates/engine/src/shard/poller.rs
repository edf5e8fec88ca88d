//! Reads plain sockets: each shard asks a poll of its own which of them are ready, and gives each of these a turn.
//!
//! A socket that is registered with the runtime costs an entry there and a task, 700 bytes together, and each time it is
//! readable a wake-up of that task. Here it costs one pointer, and one system call tells of all that are ready.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Registry, Token};
use parking_lot::Mutex;
use slab::Slab;

use super::driven::{Driven, Entry, Next, Owes, Ready, Turn};
use super::readable::Readable;
use super::waker::ShardWaker;
use crate::now;
use crate::sync::PollWaker;

/// How many connections have their turn before the shard writes what others have queued, and for how long at the most, about.
const SLICE: usize = 256;
const TIME: Duration = Duration::from_millis(4);

/// How many connections have their turn, one after the other, before what came of it is written. What reads and handles, and what
/// writes, do not fit into the processor's nearest cache together with what the kernel does for either.
const TOGETHER: usize = 16;

/// How many ready sockets one system call tells of.
const EVENTS: usize = 512;

/// The token of what ends the poll of a thread. No connection has it.
const WAKER: Token = Token(usize::MAX);

/// The sockets of each shard. There are none until the server has been started, or where the system refuses a poll.
pub(crate) struct Poller<C> {
    shards: OnceLock<Box<[Arc<Sockets<C>>]>>,
}

impl<C> Default for Poller<C> {
    fn default() -> Self {
        Self { shards: OnceLock::new() }
    }
}

struct Sockets<C> {
    registry: Registry,
    /// Who is registered, by its token.
    conns: Mutex<Slab<Arc<C>>>,
    /// Who wants a turn although its socket did not ask for one.
    again: Mutex<Vec<Arc<C>>>,
    waker: Arc<ShardWaker>,
}

impl<C: Driven> Poller<C> {
    /// Makes a poll for each shard that can be woken. Gives back what reads for each.
    pub(crate) fn start<'a>(&self, wakers: impl Iterator<Item = &'a Arc<ShardWaker>>) -> io::Result<Vec<Turns<C>>> {
        let turns = wakers.map(Turns::new).collect::<io::Result<Vec<_>>>()?;
        let _only_here = self.shards.set(turns.iter().map(|turns| turns.sockets.clone()).collect());
        Ok(turns)
    }

    /// Makes room for a connection; none if its socket must be served by a task of its own.
    pub(crate) fn enter(&self, conn: &Arc<C>) -> Option<Entry> {
        let mut conns = self.of(conn)?.conns.lock();
        let entry = Entry(u32::try_from(conns.vacant_key()).ok()?);
        conns.insert(conn.clone());
        Some(entry)
    }

    /// Takes a connection out. Its socket is closed, or about to be.
    pub(crate) fn leave(&self, conn: &C, entry: Entry) {
        if let Some(sockets) = self.of(conn) {
            sockets.leave(entry);
        }
    }

    /// Watches a socket: its connection gets a turn whenever something has come.
    pub(crate) fn watch(&self, conn: &C, stream: &mut TcpStream, entry: Entry) -> io::Result<()> {
        let sockets = self.of(conn).ok_or(io::ErrorKind::NotConnected)?;
        sockets.registry.register(stream, entry.token(), Interest::READABLE)
    }

    /// Also gives a turn, once, when the socket takes more.
    pub(crate) fn watch_writable(&self, conn: &C, stream: &mut TcpStream, entry: Entry) -> io::Result<()> {
        let sockets = self.of(conn).ok_or(io::ErrorKind::NotConnected)?;
        sockets.registry.reregister(stream, entry.token(), Interest::READABLE | Interest::WRITABLE)
    }

    /// Gives a connection a turn soon, whether or not something has come.
    pub(crate) fn again(&self, conn: &Arc<C>) {
        if let Some(sockets) = self.of(conn) {
            sockets.again(conn);
        }
    }

    fn of(&self, conn: &C) -> Option<&Arc<Sockets<C>>> {
        let shards = self.shards.get()?;
        shards.get(conn.shard() % shards.len().max(1))
    }
}

/// The turns of one shard's connections.
pub(crate) struct Turns<C> {
    sockets: Arc<Sockets<C>>,
    poll: Poll,
    events: Events,
    /// Who is to have a turn, each once, however often it was told of: the connection knows [what for](Driven::begin_turn).
    due: VecDeque<Arc<C>>,
    /// Who had a turn, and has something to write.
    unwritten: Vec<Arc<C>>,
}

impl<C: Driven> Turns<C> {
    fn new(waker: &Arc<ShardWaker>) -> io::Result<Self> {
        let poll = Poll::new()?;
        let sockets = Arc::new(Sockets {
            registry: poll.registry().try_clone()?,
            conns: Mutex::default(),
            again: Mutex::default(),
            waker: waker.clone(),
        });
        Ok(Self { sockets, poll, events: Events::with_capacity(EVENTS), due: VecDeque::new(), unwritten: Vec::new() })
    }

    /// For a task: how it waits until there is something to [`look`](Self::look) at.
    pub(crate) fn readable(&self) -> io::Result<Readable> {
        Readable::new(&self.poll)
    }

    /// For a thread: from now on the shard's waker ends [`block`](Self::block).
    pub(crate) fn wake_with_poll(&self) -> io::Result<()> {
        self.sockets.waker.set_thread(PollWaker::new(&self.sockets.registry, WAKER)?);
        Ok(())
    }

    /// Blocks until somebody is to have a turn, or the shard is woken.
    pub(crate) fn block(&mut self) {
        let is_idle = self.sockets.waker.may_wait();
        let polled = self.ask((!is_idle).then_some(Duration::ZERO));
        self.sockets.waker.awake();
        if let Err(error) = polled {
            tracing::error!(%error, "polling the sockets failed");
            std::thread::sleep(Duration::from_millis(50));
        }
        self.collect();
    }

    /// Looks whether somebody is to have a turn.
    pub(crate) fn look(&mut self) {
        if let Err(error) = self.ask(Some(Duration::ZERO)) {
            tracing::error!(%error, "polling the sockets failed");
        }
        self.collect();
    }

    fn ask(&mut self, limit: Option<Duration>) -> io::Result<()> {
        let polled = self.poll.poll(&mut self.events, limit);
        if polled.is_err() {
            self.events.clear();
        }
        match polled {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }

    fn collect(&mut self) {
        if !self.events.is_empty() {
            // Taken out before the first turn: a token may be given to another socket in the middle of them.
            let conns = self.sockets.conns.lock();
            let ready = |event: &Event| {
                let conn = conns.get(event.token().0)?;
                conn.want_turn(Ready::from(event)).then(|| conn.clone())
            };
            self.due.extend(self.events.iter().filter_map(ready));
        }
        self.take_again();
    }

    /// Those that want a turn although their sockets did not ask for one are to have it.
    pub(crate) fn take_again(&mut self) {
        self.due.extend(self.sockets.again.lock().drain(..));
    }

    /// The last [`look`](Self::look) may not have told of all.
    pub(crate) fn has_more(&self) -> bool {
        self.events.iter().count() >= EVENTS
    }

    /// Nobody waits for a turn.
    pub(crate) fn are_given(&self) -> bool {
        self.due.is_empty()
    }

    /// Gives a slice of them their turn; whether there are more.
    pub(crate) fn give(&mut self) -> bool {
        let slice = self.due.len().min(SLICE);
        if slice == 0 {
            return false;
        }
        // One look at the clock for all of them.
        let now = now();
        for at in (0..slice).step_by(TOGETHER) {
            let some = (slice - at).min(TOGETHER);
            for conn in self.due.drain(..some) {
                if self.sockets.give_turn(&conn, now) == Owes::Write {
                    self.unwritten.push(conn);
                }
            }
            for conn in self.unwritten.drain(..) {
                conn.write();
            }
            if slice > TOGETHER && self::now().saturating_duration_since(now) >= TIME {
                break;
            }
        }
        // Who wants another counts as well: a task that is woken for it at once would never let others run.
        !self.due.is_empty() || !self.sockets.again.lock().is_empty()
    }
}

impl Entry {
    fn token(self) -> Token {
        Token(usize::try_from(self.0).unwrap_or(usize::MAX))
    }
}

impl<C: Driven> Sockets<C> {
    fn again(&self, conn: &Arc<C>) {
        if conn.want_turn(Ready::UNKNOWN) {
            self.again.lock().push(conn.clone());
            self.waker.wake();
        }
    }

    /// Gives a turn, and sees to the next one.
    fn give_turn(&self, conn: &Arc<C>, now: Instant) -> Owes {
        let ready = conn.begin_turn();
        // Handlers catch their own panics. Should there be a bug of ours, it must not end the others of the shard.
        let turn = catch_unwind(AssertUnwindSafe(|| conn.turn(ready, now))).unwrap_or_else(|_| {
            conn.fail();
            Turn::NONE
        });
        match turn.next {
            Next::Wait => {}
            Next::Again => self.again(conn),
            Next::Ended(entry) => self.leave(entry),
        }
        turn.owes
    }

    fn leave(&self, entry: Entry) {
        let left = self.conns.lock().try_remove(entry.token().0);
        // Without the lock: it may be the last handle.
        drop(left);
    }
}

impl From<&Event> for Ready {
    fn from(event: &Event) -> Self {
        Self {
            readable: event.is_readable() || event.is_read_closed() || event.is_error(),
            ended: event.is_read_closed() || event.is_error(),
            writable: event.is_writable(),
        }
    }
}

#[cfg(test)]
#[path = "poller/tests.rs"]
mod tests;
