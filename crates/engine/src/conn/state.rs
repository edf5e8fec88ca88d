//! The part of a connection that its lock protects.

use std::io::{self, IoSlice, Write as _};
use std::net::Shutdown;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use sockeye_protocol::engine::{PacketKind, PayloadBody, PayloadEncoder, Session};
use tokio::sync::{Notify, oneshot};

use super::recipient::Recipient;
use crate::budget::{Account, Holder};
use crate::encoded::{Encoded, Variant};
use crate::outbox::{MAX_SLICES, Outbox};
use crate::plain::send;
use crate::shard::Entry;
use crate::sync::Wakers;
use crate::unread::{Response, Unread};
use crate::work::Running;
use mio::net::TcpStream;

/// The body of a long-polling response.
pub(crate) struct PollReply {
    pub(crate) body: PayloadBody,
    pub(crate) compress: bool,
    /// Of a large one: counts it until it is read.
    pub(crate) unread: Option<Response>,
}

pub(crate) struct State {
    pub(crate) session: Session,
    pub(crate) outbox: Outbox,
    pub(crate) lane: Lane,
    pub(crate) phase: Phase,
    /// permessage-deflate was negotiated: the size from which it is used.
    pub(crate) deflate: Option<NonZeroU32>,
    /// The client reads no binary (`b64=1`).
    pub(crate) base64: bool,
    /// A POST is being handled.
    pub(crate) posting: bool,
    /// The socket or stream took less than there was: the poller, or its task, tells when it takes more.
    pub(crate) draining: bool,
    /// A long-polling client still has to be told of the close.
    pub(crate) owes_close: bool,
    /// A plain socket: our side ends once all is written.
    pub(crate) ends_writing: bool,
    /// The outbox went over its bound.
    pub(crate) overflowed: bool,
    /// How many [holds](super::Hold) keep what is queued from being written.
    pub(crate) holds: u32,
    /// The client has fallen behind, and no sender waits for it any more: see [`pressure`](crate::pressure).
    pub(crate) given_up: bool,
    /// The earliest entry in the wheel.
    pub(crate) armed: Option<Instant>,
    /// When the phase has lasted too long: no namespace joined, or not closed.
    pub(crate) phase_deadline: Option<Instant>,
    pub(crate) rare: Option<Box<Rare>>,
}

/// What few connections have, and only for a while.
#[derive(Default)]
pub(crate) struct Rare {
    /// The time that the application has set.
    pub(crate) deadline: Option<Instant>,
    pub(crate) probe: Option<Arc<Notify>>,
    /// Who reads, when it waits for the application to take more: two at the most, a POST's task and the WebSocket after an upgrade.
    pub(crate) resume: Wakers,
    /// A POST that waits for its body, when it wants to know of the end of the session.
    pub(crate) closed: Option<Waker>,
    /// There until a long-polling client was told of the close.
    pub(crate) farewell: Option<Running>,
    /// A task of its own lets the application handle what it keeps.
    pub(crate) has_task: bool,
    /// Recipients of this client's events that have fallen behind: it is read no further until they have caught up.
    pub(crate) recipients: Vec<Recipient>,
    /// When these are looked at again.
    pub(crate) next_look: Option<Instant>,
    /// Responses to the client's GETs that it has not read.
    pub(crate) unread: Unread,
}

/// What carries the session.
pub(crate) enum Lane {
    /// Long-polling, with the GET that waits for data.
    Polling(Option<PendingPoll>),
    /// A TCP socket that any thread may write to.
    Tcp(TcpStream, Entry),
    /// The WebSocket of a new session, not handed over yet.
    Awaited,
    /// A stream that only its own task can write to (TLS, HTTP/2), with that task's waker.
    Stream(Option<Waker>),
    Closed,
}

pub(crate) struct PendingPoll {
    pub(crate) supports_binary: bool,
    pub(crate) reply: oneshot::Sender<PollReply>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Open, and in no namespace yet.
    Unjoined,
    Joined,
    Closing,
    Closed,
}

pub(crate) enum Written {
    All,
    /// Its own task, or the next GET, takes it.
    Later,
    Blocked,
    /// The client asks for more without reading what it got.
    Unread,
    Failed(io::Error),
}

impl State {
    pub(crate) fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    pub(crate) fn variant(&self) -> Variant {
        Variant {
            revision: self.session.revision(),
            base64: self.base64,
            deflate: self.deflate.and_then(|threshold| usize::try_from(threshold.get()).ok()),
        }
    }

    /// Whether a packet that is pushed now goes out at once.
    pub(crate) fn is_writable(&self) -> bool {
        match &self.lane {
            Lane::Polling(pending) => pending.is_some() && self.outbox.is_empty(),
            // A hold is short: a client that reads does not lose volatile events by it.
            Lane::Tcp(..) => !self.draining && (self.holds == 0 || self.outbox.bytes() < 64 * 1024),
            // What waits here was not taken by the stream yet; some of it may be of this very turn.
            Lane::Stream(_) => self.outbox.bytes() < 64 * 1024,
            Lane::Awaited | Lane::Closed => false,
        }
    }

    /// Whether nothing is to be written for now. A closing session writes all that it has: a socket that has been disconnected is in
    /// no room.
    pub(crate) fn is_held(&self) -> bool {
        self.holds > 0 && self.session.is_open()
    }

    /// Whether the client has not read what was sent to it before, or is not written to, so that what waits for it may stay for long.
    pub(crate) fn is_stuck(&self) -> bool {
        match &self.lane {
            _ if self.holds > 0 => true,
            Lane::Tcp(..) | Lane::Stream(_) => self.draining,
            Lane::Polling(pending) => pending.is_none(),
            Lane::Awaited | Lane::Closed => false,
        }
    }

    /// Charges the account with a packet that is about to wait in the outbox; false if it may not.
    pub(crate) fn charge(&mut self, account: &Arc<Account>, packet: &Encoded) -> bool {
        packet.charge(account, self.outbox.bytes()) && self.charge_queue(account)
    }

    /// Charges the account with all that is in the outbox, as the client does not read it.
    pub(crate) fn charge_all(&mut self, account: &Arc<Account>) -> bool {
        let held = self.outbox.bytes();
        self.outbox.all(|packet| packet.charge(account, held)) && self.charge_queue(account)
    }

    /// Charges the account with what the outbox's queue takes now.
    pub(crate) fn charge_queue(&mut self, account: &Arc<Account>) -> bool {
        let bytes = if self.outbox.is_empty() { 0 } else { self.outbox.queue_bytes() };
        let charged = usize::try_from(self.outbox.charged).unwrap_or(0);
        let is_allowed = bytes == charged || account.resize(Holder::Outboxes, charged, bytes);
        if is_allowed {
            self.outbox.charged = u32::try_from(bytes).unwrap_or(u32::MAX);
        }
        is_allowed
    }

    /// Gives back what the outbox's queue no longer takes.
    pub(crate) fn release_queue(&mut self, account: &Arc<Account>) {
        if self.outbox.charged != 0 && self.outbox.is_empty() {
            // To give back is always allowed.
            self.charge_queue(account);
        }
    }

    /// Writes as much as the transport takes. A client may hold `limit` bytes that it does not read.
    pub(crate) fn write(&mut self, account: &Arc<Account>, limit: usize) -> Written {
        let variant = self.variant();
        match &mut self.lane {
            Lane::Tcp(stream, _) => {
                while !self.outbox.is_empty() {
                    let result = match self.outbox.only(variant) {
                        // Cheaper: no list of buffers to make, nor for the kernel to read.
                        Some(one) => send(stream, one),
                        None => {
                            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
                            let count = self.outbox.slices(variant, &mut slices);
                            stream.write_vectored(slices.get(..count).unwrap_or_default())
                        }
                    };
                    match result {
                        Ok(0) => return Written::Failed(io::ErrorKind::WriteZero.into()),
                        Ok(written) => self.outbox.advance(variant, written),
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Written::Blocked,
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) => return Written::Failed(error),
                    }
                }
                if std::mem::take(&mut self.ends_writing) {
                    let _gone_already = stream.shutdown(Shutdown::Write);
                }
                Written::All
            }
            Lane::Stream(waker) => {
                if let Some(waker) = waker.take() {
                    waker.wake();
                }
                Written::Later
            }
            Lane::Polling(pending) => {
                if self.owes_close && pending.is_some() && self.outbox.is_empty() {
                    self.owes_close = false;
                    // As the official server: a close that had to wait for a GET comes behind a noop.
                    self.outbox.push(Encoded::control(PacketKind::Noop, ""));
                    self.outbox.push(Encoded::control(PacketKind::Close, ""));
                }
                if !self.outbox.is_empty()
                    && let Some(poll) = pending.take()
                {
                    let bytes = self.outbox.bytes();
                    let unread = if bytes >= LARGE_RESPONSE {
                        let unread = &self.rare.get_or_insert_default().unread;
                        let Some(response) = unread.begin(account, bytes, limit) else { return Written::Unread };
                        Some(response)
                    } else {
                        None
                    };
                    let mut payload = PayloadEncoder::new(variant.revision, poll.supports_binary);
                    let compress = self.outbox.drain_into(&mut payload);
                    // A client that went away meanwhile is noticed by the guard of its request.
                    let _gone = poll.reply.send(PollReply { body: payload.finish(), compress, unread });
                }
                Written::Later
            }
            Lane::Awaited | Lane::Closed => Written::Later,
        }
    }

    /// Whether the session is closed and all was written.
    pub(crate) fn is_finished(&self) -> bool {
        match &self.lane {
            // The reader waits for the peer's close frame, until the close timeout; or the WebSocket is still to come.
            Lane::Tcp(..) | Lane::Awaited => false,
            Lane::Polling(_) | Lane::Stream(_) => {
                self.phase == Phase::Closing && self.outbox.is_empty() && !self.owes_close
            }
            Lane::Closed => self.phase == Phase::Closing,
        }
    }

    /// Answers a GET that waits with a packet of its own: a noop, or the close.
    pub(crate) fn answer(&mut self, kind: PacketKind) {
        let revision = self.session.revision();
        if let Lane::Polling(pending) = &mut self.lane
            && let Some(poll) = pending.take()
        {
            let mut payload = PayloadEncoder::new(revision, poll.supports_binary);
            payload.push_text(kind, "");
            let _gone = poll.reply.send(PollReply { body: payload.finish(), compress: false, unread: None });
        }
    }

    /// Queues the close frame of a WebSocket, behind what was sent before.
    pub(crate) fn push_websocket_close(&mut self, code: Option<u16>) {
        let mut frame = Vec::new();
        sockeye_websocket::write_close(&mut frame, code, "");
        self.outbox.push(Encoded::frames(frame));
    }

    pub(crate) fn notify_probe(&mut self) {
        if let Some(probe) = self.rare.as_mut().and_then(|rare| rare.probe.take()) {
            probe.notify_one();
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let rare = self.rare.as_ref().map_or((None, None), |rare| (rare.deadline, rare.next_look));
        [self.session.poll_timeout(), self.phase_deadline, rare.0, rare.1].into_iter().flatten().min()
    }
}

/// The size from which on a response is counted until it is read. Of smaller ones a client holds less than its connection costs.
const LARGE_RESPONSE: usize = 4 * 1024;
