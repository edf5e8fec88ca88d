//! A stream as an event log.

use std::sync::Arc;

use redis::{Cmd, RedisError, cmd};
use sockeye::adapter::AdapterFuture;
use sockeye_cluster::recovery::{Cursor, EventLog, LogEntry, LogError, Position};
use sockeye_cluster::{Destination, Message};

use crate::bus::wire::Wire;
use crate::link::Link;
use crate::recovery::entries::Entries;

/// The stream of a namespace.
pub(super) struct StreamLog {
    pub(super) link: Arc<Link>,
    pub(super) wire: Arc<Wire>,
    pub(super) cursor: Arc<Cursor>,
}

impl StreamLog {
    async fn entries(&self, command: &Cmd) -> Result<Vec<u8>, LogError> {
        self.link.query_entries(command).await.map_err(|error| unavailable(&error))
    }

    /// The position of the first entry, from one end or the other.
    async fn edge(&self, command: &str, from: &str, to: &str) -> Result<Option<Position>, LogError> {
        let mut range = cmd(command);
        range.arg(self.wire.stream()).arg(from).arg(to).arg("COUNT").arg(1);
        let answer = self.entries(&range).await?;
        Ok(Entries::of_range(&answer).ok_or(LogError::Unavailable)?.next().map(|(_, position, _)| position))
    }
}

impl EventLog for StreamLog {
    fn append(&self, message: Message, number: u64) -> bool {
        let written = self.wire.command(message, &Destination::All).ok().flatten();
        written.is_some_and(|mut entry| {
            self.wire.number(&mut entry, number);
            self.link.send(entry)
        })
    }

    fn is_available(&self) -> bool {
        self.link.is_connected()
    }

    fn available(&self) -> AdapterFuture<'_, ()> {
        Box::pin(self.link.health.wait_until(|| self.link.is_connected()))
    }

    fn flush(&self) -> AdapterFuture<'_, ()> {
        Box::pin(self.link.flush())
    }

    fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    fn first(&self) -> AdapterFuture<'_, Result<Option<Position>, LogError>> {
        Box::pin(self.edge("XRANGE", "-", "+"))
    }

    fn last(&self) -> AdapterFuture<'_, Result<Option<Position>, LogError>> {
        Box::pin(self.edge("XREVRANGE", "+", "-"))
    }

    fn read(&self, after: Position, until: Position) -> AdapterFuture<'_, Result<Vec<LogEntry>, LogError>> {
        Box::pin(async move {
            let mut range = cmd("XRANGE");
            range.arg(self.wire.stream()).arg(after.next().to_string()).arg(until.to_string());
            range.arg("COUNT").arg(self.link.options.stream.read_count);
            let answer = self.entries(&range).await?;
            let entries = Entries::of_range(&answer).ok_or(LogError::Unavailable)?;
            let entry = |(_, position, fields): (_, _, crate::recovery::entries::Fields)| LogEntry {
                position,
                event: self.wire.read_kept(&fields.pairs()),
            };
            Ok(entries.map(entry).collect())
        })
    }
}

pub(super) fn unavailable(error: &RedisError) -> LogError {
    tracing::debug!(%error, "Redis could not be asked for a session");
    LogError::Unavailable
}
