//! What goes out: into the outbox, and from there to the transport.

use std::cell::Cell;
use std::hint::black_box;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Poll, Waker};

use sockeye_protocol::CloseReason;

use super::state::{Lane, State, Written};
use super::{Conn, Ending};
use crate::application::Application;
use crate::encoded::Encoded;
use crate::metrics::Bound;
use crate::outbox::MAX_SLICES;
use crate::shard::{Owes, Queue};

thread_local! {
    /// The connection whose reader runs on this thread: it is written by who gave it the turn.
    static READING: Cell<Reading> = const { Cell::new(Reading { conn: std::ptr::null(), owes: Owes::Nothing }) };
}

#[derive(Clone, Copy)]
struct Reading {
    conn: *const (),
    owes: Owes,
}

/// What became of a packet for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queued {
    /// The session is closed, or the packet was volatile and the client not ready.
    No,
    /// It is queued.
    Yes,
    /// It is queued, but the client is behind.
    Behind,
}

impl<A: Application> Conn<A> {
    /// Asks for the memory of the connection, as it is about to be written to. These reads wait for each other in nothing.
    pub fn prefetch(self: &Arc<Self>) {
        // One of each pair of cache lines.
        black_box((Arc::strong_count(self), self.state.is_locked(), self.tcp.is_locked(), self.entered.prefetch()));
    }

    /// Queues a packet. A volatile one is dropped unless the transport could take it now.
    pub fn send(self: &Arc<Self>, packet: Encoded, volatile: bool) {
        self.send_in(Queue::Prompt, packet, volatile);
    }

    /// The same, for a queue of the flusher.
    pub fn send_in(self: &Arc<Self>, queue: Queue, packet: Encoded, volatile: bool) {
        if self.queue_in(queue, packet, volatile) != Queued::No {
            self.engine().metrics.packets_sent.increment();
        }
    }

    /// The same without counting it.
    pub fn queue_in(self: &Arc<Self>, queue: Queue, packet: Encoded, volatile: bool) -> Queued {
        let mut queued = Queued::Yes;
        {
            let mut state = self.state.lock();
            if !state.session.is_open() {
                return Queued::No;
            }
            if volatile && !state.is_writable() {
                self.engine().metrics.volatile_dropped.increment();
                return Queued::No;
            }
            let limits = &self.engine().limits;
            let is_over = !state.outbox.is_empty() && state.outbox.bytes() + packet.cost() > limits.max_outbox_bytes;
            if is_over || (state.is_stuck() && !state.charge(self.account(), &packet)) {
                // The flusher closes the connection: the sender must not run its disconnect handlers.
                state.overflowed = true;
                self.ended.store(true, Ordering::Release);
                state.outbox.clear();
                state.release_queue(self.account());
            } else if !state.overflowed {
                state.outbox.push(packet);
                if state.outbox.bytes() <= limits.max_behind_bytes {
                    state.given_up = false;
                } else if state.is_behind(self) {
                    queued = Queued::Behind;
                }
            }
        }
        self.enter(queue);
        queued
    }

    /// Queues what belongs to the handshake or the close, whatever the bounds.
    pub(crate) fn queue(self: &Arc<Self>, packet: Encoded) {
        self.state.lock().outbox.push(packet);
        self.mark_dirty();
    }

    pub(crate) fn mark_dirty(self: &Arc<Self>) {
        self.enter(Queue::Prompt);
    }

    /// Enters it into a queue of the flusher, unless it is there already, or its own reader will flush it.
    fn enter(self: &Arc<Self>, queue: Queue) {
        let reading = READING.get();
        if reading.conn == Arc::as_ptr(self).cast() {
            READING.set(Reading { owes: Owes::Write, ..reading });
            return;
        }
        if self.entered.enter(queue) {
            self.engine().flusher.push(self.clone(), queue);
        }
    }

    /// Runs what reads for this connection. What that sends to the same connection does not go by way of the flusher: whoever has
    /// called this is told that there is something to [write](Self::write_outbox).
    pub(crate) fn read_by<R>(self: &Arc<Self>, run: impl FnOnce() -> R) -> (R, Owes) {
        /// Puts back what was there, even if the program's code panics.
        struct Before(Reading);
        impl Drop for Before {
            fn drop(&mut self) {
                READING.set(self.0);
            }
        }
        let before = Before(READING.replace(Reading { conn: Arc::as_ptr(self).cast(), owes: Owes::Nothing }));
        let result = run();
        let owes = READING.get().owes;
        drop(before);
        (result, owes)
    }

    /// Writes what the outbox has, now that it has left `queue`.
    pub(crate) fn flush(self: &Arc<Self>, queue: Queue) {
        self.entered.leave(queue);
        self.write_outbox();
    }

    /// Writes as much of the outbox as the transport takes.
    pub(crate) fn write_outbox(self: &Arc<Self>) {
        let mut state = self.state.lock();
        if state.overflowed && state.session.is_open() {
            drop(state);
            return self.close_slow_consumer();
        }
        if state.is_held() {
            if !state.charge_all(self.account()) {
                drop(state);
                self.close_slow_consumer();
            }
            return;
        }
        let written = state.write(self.account(), self.engine().limits.max_outbox_bytes);
        state.release_queue(self.account());
        match written {
            Written::All | Written::Later => {}
            Written::Blocked if state.draining => {}
            Written::Unread => {
                drop(state);
                return self.close_slow_consumer();
            }
            Written::Blocked => {
                if let Err(error) = self.wait_for_room(&mut state) {
                    drop(state);
                    self.transport_ended(CloseReason::TransportError, &error.to_string());
                } else if !state.charge_all(self.account()) {
                    drop(state);
                    self.close_slow_consumer();
                }
                return;
            }
            Written::Failed(error) => {
                drop(state);
                self.transport_ended(CloseReason::TransportError, &error.to_string());
                return;
            }
        }
        if state.is_finished() {
            drop(state);
            self.finish();
        }
    }

    fn close_slow_consumer(self: &Arc<Self>) {
        self.engine().metrics.bound_reached(Bound::Outbox, &self.id);
        self.close(CloseReason::SlowConsumer, Ending::Gone, "the client does not read");
    }

    /// The socket took less than there is: the poller tells when it takes more.
    fn wait_for_room(&self, state: &mut State) -> io::Result<()> {
        state.draining = true;
        match &mut state.lane {
            Lane::Tcp(stream, entry) => self.engine().poller.watch_writable(self, stream, *entry),
            _ => Ok(()),
        }
    }

    /// The socket takes more, perhaps.
    pub(crate) fn handle_writable(self: &Arc<Self>) {
        let mut state = self.state.lock();
        let limit = self.engine().limits.max_outbox_bytes;
        if !state.draining || (!state.is_held() && matches!(state.write(self.account(), limit), Written::Blocked)) {
            return;
        }
        state.draining = false;
        drop(state);
        // Says again what failed, if anything did, and finishes a close that waited for this.
        self.write_outbox();
    }

    /// For a stream that only its own task can write to: writes with `write`, and leaves the task's waker.
    pub(crate) fn poll_stream_write(
        self: &Arc<Self>,
        waker: &Waker,
        mut write: impl FnMut(&[IoSlice<'_>]) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.state.lock();
        match &mut state.lane {
            Lane::Stream(slot) => {
                if !slot.as_ref().is_some_and(|old| old.will_wake(waker)) {
                    *slot = Some(waker.clone());
                }
            }
            _ => return Poll::Ready(Ok(())),
        }
        if state.is_held() {
            return Poll::Pending;
        }
        let variant = state.variant();
        while !state.outbox.is_empty() {
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let count = state.outbox.slices(variant, &mut slices);
            match write(slices.get(..count).unwrap_or_default()) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => state.outbox.advance(variant, written),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    if !std::mem::replace(&mut state.draining, true) && !state.charge_all(self.account()) {
                        drop(state);
                        self.close_slow_consumer();
                    }
                    return Poll::Pending;
                }
            }
        }
        state.draining = false;
        state.release_queue(self.account());
        if state.is_finished() {
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    }
}
