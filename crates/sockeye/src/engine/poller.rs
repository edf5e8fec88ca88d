//! Reads plain sockets: each shard asks a poll of its own which of them are ready, and gives each of these a turn.
//!
//! A socket that is registered with the runtime costs an entry there and a task, 700 bytes together, and each time it is
//! readable a wake-up of that task. Here it costs one pointer, and one system call tells of all that are ready. The poll itself
//! is a file descriptor that is readable when one of its sockets is, so the task waits for it as for any other.

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
use sockeye_protocol::CloseReason;
use tokio::sync::Notify;

use super::conn::{Conn, Ending};
use super::now;
use super::websocket::{Ready, Turn};

/// How many connections have their turn before others get theirs.
const SLICE: usize = 64;

/// How many ready sockets one system call tells of.
const EVENTS: usize = 512;

/// The shards. There are none until the server has been started, or where the system refuses a poll.
#[derive(Debug, Default)]
pub(crate) struct Poller {
    shards: OnceLock<Box<[Arc<Shard>]>>,
}

#[derive(Debug)]
struct Shard {
    registry: Registry,
    /// Who is registered, by its token.
    conns: Mutex<Slab<Arc<Conn>>>,
    /// Who wants a turn although its socket did not ask for one.
    again: Mutex<Vec<Arc<Conn>>>,
    wake: Arc<Notify>,
}

/// Where a socket is entered, and from where it can be taken out again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry(u32);

impl Poller {
    /// Makes a shard for each that can be woken. Gives back what reads for each.
    pub(crate) fn start<'a>(&self, wakes: impl Iterator<Item = &'a Arc<Notify>>) -> io::Result<Vec<Turns>> {
        let polls = wakes.map(|wake| Ok((wake, Wait::new(Poll::new()?)?))).collect::<io::Result<Vec<_>>>()?;
        let shard = |(wake, wait): &(&Arc<Notify>, Wait)| Ok(Shard::new(wait.registry()?, wake));
        let shards = polls.iter().map(shard).collect::<io::Result<Box<[_]>>>()?;
        let polls = polls.into_iter().map(|(_, wait)| wait);
        let turns = shards.iter().cloned().zip(polls).map(|(shard, wait)| Turns::new(shard, wait)).collect();
        let _only_here = self.shards.set(shards);
        Ok(turns)
    }

    /// Makes room for a connection; none if its socket must be served by a task of its own.
    pub(crate) fn enter(&self, conn: &Arc<Conn>) -> Option<Entry> {
        let mut conns = self.shard(conn)?.conns.lock();
        let entry = Entry(u32::try_from(conns.vacant_key()).ok()?);
        conns.insert(conn.clone());
        Some(entry)
    }

    /// Takes a connection out. Its socket is closed, or about to be.
    pub(crate) fn leave(&self, conn: &Conn, entry: Entry) {
        if let Some(shard) = self.shard(conn) {
            shard.leave(entry);
        }
    }

    /// Watches a socket: its connection gets a turn whenever something has come.
    pub(crate) fn watch(&self, conn: &Conn, stream: &mut TcpStream, entry: Entry) -> io::Result<()> {
        let shard = self.shard(conn).ok_or(io::ErrorKind::NotConnected)?;
        shard.registry.register(stream, entry.token(), Interest::READABLE)
    }

    /// Also gives a turn, once, when the socket takes more.
    pub(crate) fn watch_writable(&self, conn: &Conn, stream: &mut TcpStream, entry: Entry) -> io::Result<()> {
        let shard = self.shard(conn).ok_or(io::ErrorKind::NotConnected)?;
        shard.registry.reregister(stream, entry.token(), Interest::READABLE | Interest::WRITABLE)
    }

    /// Gives a connection a turn soon, whether or not something has come.
    pub(crate) fn again(&self, conn: &Arc<Conn>) {
        if let Some(shard) = self.shard(conn) {
            shard.again.lock().push(conn.clone());
            shard.wake.notify_one();
        }
    }

    fn shard(&self, conn: &Conn) -> Option<&Arc<Shard>> {
        let shards = self.shards.get()?;
        shards.get(conn.shard() % shards.len().max(1))
    }
}

/// The turns of one shard's connections.
pub(crate) struct Turns {
    shard: Arc<Shard>,
    wait: Wait,
    events: Events,
    /// Who is to have a turn.
    due: VecDeque<(Arc<Conn>, Ready)>,
}

impl Turns {
    fn new(shard: Arc<Shard>, wait: Wait) -> Self {
        Self { shard, wait, events: Events::with_capacity(EVENTS), due: VecDeque::new() }
    }

    /// Waits until somebody is to have a turn, or the shard is woken. Cancel safe.
    pub(crate) async fn wait(&mut self) {
        let polled = tokio::select! {
            biased;
            polled = self.wait.poll(&mut self.events) => polled,
            () = self.shard.wake.notified() => {
                self.events.clear();
                Ok(())
            }
        };
        self.collect(&polled);
        if polled.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Looks whether somebody is, without waiting for the runtime to say so.
    pub(crate) fn look(&mut self) {
        let polled = self.wait.look(&mut self.events);
        self.collect(&polled);
    }

    fn collect(&mut self, polled: &io::Result<()>) {
        if let Err(error) = polled {
            tracing::error!(%error, "polling the sockets failed");
            self.events.clear();
        }
        if !self.events.is_empty() {
            // Taken out before the first turn: a token may be given to another socket in the middle of them.
            let conns = self.shard.conns.lock();
            let ready = |event: &Event| Some((conns.get(event.token().0)?.clone(), Ready::from(event)));
            self.due.extend(self.events.iter().filter_map(ready));
        }
        self.due.extend(self.shard.again.lock().drain(..).map(|conn| (conn, Ready::UNKNOWN)));
    }

    /// Gives a slice of them their turn; whether there are more.
    pub(crate) fn give(&mut self) -> bool {
        let slice = self.due.len().min(SLICE);
        // One look at the clock for all of them.
        let now = now();
        for (conn, ready) in self.due.drain(..slice) {
            self.shard.give_turn(&conn, ready, now);
        }
        !self.due.is_empty()
    }
}

impl Entry {
    fn token(self) -> Token {
        Token(usize::try_from(self.0).unwrap_or(usize::MAX))
    }
}

impl Shard {
    fn new(registry: Registry, wake: &Arc<Notify>) -> Arc<Self> {
        Arc::new(Self { registry, conns: Mutex::default(), again: Mutex::default(), wake: wake.clone() })
    }

    fn give_turn(&self, conn: &Arc<Conn>, ready: Ready, now: Instant) {
        // Handlers catch their own panics. Should there be a bug of ours, it must not end the others of the shard.
        let turn = catch_unwind(AssertUnwindSafe(|| conn.tcp_turn(ready, now))).unwrap_or_else(|_| {
            conn.close(CloseReason::TransportError, Ending::Gone, "a panic of the server");
            Turn::Wait
        });
        match turn {
            Turn::Wait => {}
            Turn::Again => {
                self.again.lock().push(conn.clone());
                self.wake.notify_one();
            }
            Turn::Ended(entry) => self.leave(entry),
        }
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

/// Waits until a poll has something to tell.
#[cfg(unix)]
struct Wait {
    poll: tokio::io::unix::AsyncFd<Poll>,
    /// It had more to tell than there was room for.
    more: bool,
}

#[cfg(unix)]
impl Wait {
    fn new(poll: Poll) -> io::Result<Self> {
        #[allow(
            deprecated,
            reason = "its successor is unsafe, since a type may lie about its descriptor; a poll does not"
        )]
        let poll = tokio::io::unix::AsyncFd::with_interest(poll, tokio::io::Interest::READABLE)?;
        Ok(Self { poll, more: false })
    }

    fn registry(&self) -> io::Result<Registry> {
        self.poll.get_ref().registry().try_clone()
    }

    /// Cancel safe: what it has not told is told the next time.
    async fn poll(&mut self, events: &mut Events) -> io::Result<()> {
        if !self.more {
            // First cleared, then asked: what becomes ready in between makes the poll readable anew.
            self.poll.readable_mut().await?.clear_ready();
        }
        self.look(events)
    }

    fn look(&mut self, events: &mut Events) -> io::Result<()> {
        self.poll.get_mut().poll(events, Some(Duration::ZERO))?;
        self.more = events.iter().count() >= EVENTS;
        Ok(())
    }
}

/// Where a poll cannot be waited for with the runtime, it is asked every millisecond.
#[cfg(not(unix))]
struct Wait(Poll);

#[cfg(not(unix))]
impl Wait {
    fn new(poll: Poll) -> io::Result<Self> {
        Ok(Self(poll))
    }

    fn registry(&self) -> io::Result<Registry> {
        self.0.registry().try_clone()
    }

    async fn poll(&mut self, events: &mut Events) -> io::Result<()> {
        loop {
            self.look(events)?;
            if !events.is_empty() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn look(&mut self, events: &mut Events) -> io::Result<()> {
        self.0.poll(events, Some(Duration::ZERO))
    }
}
