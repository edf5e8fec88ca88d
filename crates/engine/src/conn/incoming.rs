//! What comes in: packets of the client, and the pause when the application takes no more.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use sockeye_protocol::CloseReason;
use sockeye_protocol::engine::{Outcome, Packet, PacketKind};

use super::state::{Lane, Phase};
use super::{Conn, Ending};
use crate::application::{Application, Readiness};
use crate::budget::Holder;
use crate::plain::recv;
use crate::shard::Ready;
use crate::sync::Wakers;

impl<A: Application> Conn<A> {
    /// Wants a turn for what its socket is ready for. False if it waits for one already; that one is for this as well.
    pub(crate) fn want_turn(&self, ready: Ready) -> bool {
        self.entered.want_turn(ready)
    }

    /// Its turn has come, for what is given back. From now on it can want another.
    pub(crate) fn begin_turn(&self) -> Ready {
        self.entered.begin_turn()
    }

    /// A packet on the session's transport. False when the session is closed, and the rest of the input is not wanted.
    pub(crate) fn handle_packet(self: &Arc<Self>, packet: Packet<'_>, now: Instant) -> bool {
        let is_heartbeat = matches!(packet.kind, PacketKind::Ping | PacketKind::Pong);
        let outcome = {
            let mut state = self.state.lock();
            if is_heartbeat && state.outbox.has_heartbeat() {
                // It answers what it cannot have read: a client that never reads does not live on heartbeats of its own.
                Outcome::Ignored
            } else {
                state.session.handle_packet(packet, &self.engine().session, now)
            }
        };
        if is_heartbeat {
            // The next deadline may be earlier than the one for this answer was.
            self.arm();
        }
        match outcome {
            Outcome::Ignored => {}
            Outcome::Message(data) => A::handle_message(self, data),
            Outcome::Pong => self.send_heartbeat(PacketKind::Pong),
            Outcome::Closed(reason) => self.session_closed(reason, Ending::Graceful, "by a packet of the client"),
        }
        if self.is_ended() {
            // Perhaps because the outbox is full, and then the close is still to come.
            self.write_outbox();
            return false;
        }
        true
    }

    /// A time before which all was received that was sent before it, if that can be told now.
    pub fn received_until(&self) -> Option<Instant> {
        // While reading is paused the client's heartbeats are not its own.
        let is_paused = self.paused.load(Ordering::SeqCst);
        (!is_paused).then(|| self.state.lock().session.received_until(&self.engine().session)).flatten()
    }

    /// Charges the account with what its reader holds of messages that have not ended. Closes the connection if it may not.
    pub(crate) fn charge_incoming(self: &Arc<Self>, bytes: usize) {
        let charged = self.incoming.load(Ordering::Relaxed);
        let before = usize::try_from(charged).unwrap_or(0);
        if bytes == before {
            return;
        }
        if self.account().resize(Holder::Incoming, before, bytes) {
            self.incoming.store(u32::try_from(bytes).unwrap_or(u32::MAX), Ordering::Relaxed);
        } else {
            self.close(CloseReason::Overload, Ending::Gone, "too many bytes of unfinished messages");
        }
    }

    /// Notes that the client is read no further. False if that was noted before.
    pub fn pause(&self) -> bool {
        !self.paused.swap(true, Ordering::SeqCst)
    }

    /// All that the client has sent is read: heartbeats count again.
    pub(crate) fn read_again(&self) {
        if self.paused.load(Ordering::Relaxed) && A::readiness(self) != Readiness::Full {
            self.paused.store(false, Ordering::SeqCst);
        }
    }

    /// Wakes whoever reads for this connection, when it waits for the application to take more. False if the session is closed.
    pub fn wake_on_resume(&self, waker: &Waker) -> bool {
        let mut state = self.state.lock();
        if !state.session.is_open() {
            return false;
        }
        state.rare().resume.add(waker);
        true
    }

    /// Whoever reads for this connection goes on, if it was waiting for that.
    pub fn resume(&self) {
        let wakers = self.state.lock().rare.as_mut().map(|rare| rare.resume.take());
        wakers.into_iter().for_each(Wakers::wake);
    }

    /// Lets the application handle what it keeps in a task, where nobody reads on: so that a POST can be answered.
    pub(crate) fn leave_backlog(self: &Arc<Self>) {
        if A::readiness(self) == Readiness::Ready {
            return;
        }
        if self.set_has_task(true) {
            // It may have looked before what is kept now was there.
            return self.resume();
        }
        let conn = self.clone();
        self.engine().spawn(async move {
            loop {
                std::future::poll_fn(|context| conn.poll_drained(context)).await;
                conn.set_has_task(false);
                // Whoever left something since has seen that there was a task.
                if A::readiness(&conn) == Readiness::Ready || !conn.is_open() || conn.set_has_task(true) {
                    return;
                }
            }
        });
    }

    /// Ready when the application keeps nothing any more, or the session is closed.
    fn poll_drained(self: &Arc<Self>, context: &mut Context<'_>) -> Poll<()> {
        // Before the look: what changes behind it wakes this.
        let is_open = self.wake_on_resume(context.waker());
        let _more = A::poll_ready(self, context);
        self.read_again();
        if !is_open || A::readiness(self) == Readiness::Ready { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Notes whether a task lets the application handle what it keeps; what was noted before.
    fn set_has_task(&self, has_task: bool) -> bool {
        std::mem::replace(&mut self.state.lock().rare().has_task, has_task)
    }

    /// Reads what the plain socket has.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let Lane::Tcp(stream, _) = &self.state.lock().lane else { return Err(io::ErrorKind::NotConnected.into()) };
        loop {
            match recv(stream, buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }

    /// The client joined its first namespace.
    pub fn joined(&self) {
        let mut state = self.state.lock();
        if state.phase == Phase::Unjoined {
            state.phase = Phase::Joined;
            let deadline = state.phase_deadline.take();
            drop(state);
            self.engine().metrics.unjoined.add(-1);
            self.engine().addresses.leave_unjoined(self.key(), self.age(deadline));
        }
    }

    /// Ready when the session is closed.
    pub(crate) fn poll_closed(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if !state.session.is_open() {
            return Poll::Ready(());
        }
        state.rare().closed = Some(context.waker().clone());
        Poll::Pending
    }
}
