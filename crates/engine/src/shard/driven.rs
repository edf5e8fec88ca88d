//! What a shard drives: a connection, as far as its poll, its writer and the timer know it.

use std::sync::Arc;
use std::time::Instant;

/// Something with a socket that gets turns, an outbox that is written, and deadlines.
///
/// It is here so that the shards need not know connections, which know their shard.
#[doc(hidden)]
pub trait Driven: Send + Sync + 'static {
    /// The number of its shard.
    fn shard(&self) -> usize;

    /// It wants a turn for what its socket is ready for. False if it waits for one already; that one is for this as well.
    fn want_turn(&self, ready: Ready) -> bool;

    /// Its turn has come, for what is given back. From now on it can want another.
    fn begin_turn(&self) -> Ready;

    /// Handles what its socket is ready for.
    fn turn(self: &Arc<Self>, ready: Ready, now: Instant) -> Turn;

    /// A bug of ours has ended its turn by a panic.
    fn fail(self: &Arc<Self>);

    /// Writes what a turn has left to be written.
    fn write(self: &Arc<Self>);

    /// Writes what the outbox has, now that it has left `queue`.
    fn flush(self: &Arc<Self>, queue: Queue);

    /// Asks for its memory, as it is about to be written to.
    fn prefetch(self: &Arc<Self>);

    /// A deadline may have come.
    fn handle_timeout(self: &Arc<Self>, now: Instant);
}

/// What a turn leaves behind.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Turn {
    /// When the next one comes.
    pub next: Next,
    /// Whether the outbox is still to be written.
    pub owes: Owes,
}

impl Turn {
    /// There is no reader.
    pub(crate) const NONE: Self = Self { next: Next::Wait, owes: Owes::Nothing };
}

/// What is to come after a turn.
#[derive(Clone, Copy, Debug)]
pub enum Next {
    /// The next one when the socket is ready.
    Wait,
    /// Another one, when others have had theirs.
    Again,
    /// None; the connection is to be taken out.
    Ended(Entry),
}

/// What is still to be done for a connection whose own reader has sent it something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Owes {
    /// All is written, or will be by others.
    Nothing,
    /// Its outbox is to be written.
    Write,
}

impl Owes {
    /// Of two steps of a turn.
    pub(crate) fn and(self, other: Self) -> Self {
        if self == Self::Nothing { other } else { self }
    }
}

/// Where a socket is entered in a poll, and from where it can be taken out again.
#[derive(Clone, Copy, Debug)]
pub struct Entry(pub(crate) u32);

/// Where a connection waits to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// What goes to a few.
    Prompt,
    /// What goes to more than 64.
    Bulk,
}

/// What goes to more connections than these is bulk.
const FEW: usize = 64;

impl Queue {
    /// The queue for what goes to so many.
    pub fn of(recipients: usize) -> Self {
        if recipients > FEW { Self::Bulk } else { Self::Prompt }
    }

    /// The bit of a connection that is in it.
    pub(crate) fn bit(self) -> u8 {
        match self {
            Self::Prompt => 1,
            Self::Bulk => 2,
        }
    }
}

/// What the socket of a connection is ready for.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    pub(crate) readable: bool,
    /// There is no word of more to come: it is to be read to its end, or until it would block.
    pub(crate) ended: bool,
    pub(crate) writable: bool,
}

impl Ready {
    /// Nobody knows: it must be tried.
    pub(crate) const UNKNOWN: Self = Self { readable: true, ended: true, writable: false };

    /// The bits of [`Driven::want_turn`]: that there is to be a turn, and for what. The other bits are those of the queues.
    const DUE: u8 = 1 << 3;
    const READABLE: u8 = 1 << 4;
    const ENDED: u8 = 1 << 5;
    const WRITABLE: u8 = 1 << 6;
    pub(crate) const BITS: u8 = Self::DUE | Self::READABLE | Self::ENDED | Self::WRITABLE;

    pub(crate) fn bits(self) -> u8 {
        let bit = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
        Self::DUE
            | bit(self.readable, Self::READABLE)
            | bit(self.ended, Self::ENDED)
            | bit(self.writable, Self::WRITABLE)
    }

    pub(crate) fn from_bits(bits: u8) -> Self {
        let is_set = |bit: u8| bits & bit != 0;
        Self { readable: is_set(Self::READABLE), ended: is_set(Self::ENDED), writable: is_set(Self::WRITABLE) }
    }
}
