//! The event log: what a broker that keeps events is to recovery.

use sockeye::Target;
use sockeye::adapter::{AdapterFuture, Packet};
use thiserror::Error;

use super::{Cursor, Position};
use crate::Message;

/// The log of the events of a namespace, which all nodes append to and read in one order. Several namespaces may share one.
///
/// This trait does not bring new entries: a task of the broker's crate reads the log from its end on, hands each entry to
/// [`Recovery::handle_own`](super::Recovery::handle_own) or [`Recovery::handle_event`](super::Recovery::handle_event), and moves the
/// [`Cursor`]. When entries are gone, it says so by [`RecoveryDriver::handle_gap`](super::RecoveryDriver::handle_gap).
pub trait EventLog: Send + Sync + 'static {
    /// Enters a message into the bounded queue to the log; false if there is no room, or it cannot be written. It does not wait.
    ///
    /// The entry carries the name of this node and the number, by which this node recognizes it. Entries must arrive in the order of
    /// the calls, once or not at all.
    fn append(&self, message: Message, number: u64) -> bool;

    /// Whether what is appended now arrives soon, as far as the connections tell.
    fn is_available(&self) -> bool;

    /// Waits until that is so. Cancel safe.
    fn available(&self) -> AdapterFuture<'_, ()>;

    /// Waits until what was appended, and put into the session store, has been sent.
    fn flush(&self) -> AdapterFuture<'_, ()>;

    /// Up to where this node has delivered the log.
    fn cursor(&self) -> &Cursor;

    /// The first entry that is still there; none if there is no entry.
    fn first(&self) -> AdapterFuture<'_, Result<Option<Position>, LogError>>;

    /// The last entry; none if there is no entry.
    fn last(&self) -> AdapterFuture<'_, Result<Option<Position>, LogError>>;

    /// The next entries after a position, up to another, in order: as many as are read at a time. Nothing if there are no more.
    fn read(&self, after: Position, until: Position) -> AdapterFuture<'_, Result<Vec<LogEntry>, LogError>>;
}

/// An entry of the log.
#[derive(Clone, Debug)]
pub struct LogEntry {
    /// Where it is.
    pub position: Position,
    /// The event, if it is one of the namespace: what [`append`](EventLog::append) got as [`Message::Broadcast`].
    pub event: Option<(Packet, Target)>,
}

/// Why the log, or the session store, has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LogError {
    /// The broker is not reached, or does not answer, or refuses.
    #[error("the broker is not reached, or does not answer")]
    Unavailable,
    /// Entries that were asked for are gone.
    #[error("the entries are gone")]
    Trimmed,
}
