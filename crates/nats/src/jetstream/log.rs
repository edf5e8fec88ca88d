//! The stream as an event log.

use std::sync::Arc;

use bytestring::ByteString;
use sockeye::adapter::AdapterFuture;
use sockeye_cluster::Message;
use sockeye_cluster::recovery::{Cursor, EventLog, LogEntry, LogError, Position};

use super::stream::JetStream;
use super::{Kept, entry};
use crate::link::{Link, Outgoing};
use crate::subject::Subjects;

/// The events of one namespace.
pub(super) struct NatsLog {
    link: Arc<Link>,
    namespace: ByteString,
    subjects: Subjects,
}

impl NatsLog {
    pub(super) fn new(link: Arc<Link>, namespace: &str) -> Self {
        let subjects = Subjects::new(&link.options.prefix, namespace);
        Self { link, namespace: namespace.into(), subjects }
    }

    async fn jetstream(&self) -> JetStream {
        JetStream::new(self.link.connected().await, &self.link.options)
    }
}

impl EventLog for NatsLog {
    fn append(&self, message: Message, number: u64) -> bool {
        let written = entry::write(message, number, &self.link.node, &self.namespace);
        let sent =
            written.and_then(|entry| self.link.send(Outgoing::kept(Kept::Log, self.subjects.log.clone(), entry)));
        sent.is_ok()
    }

    fn is_available(&self) -> bool {
        self.link.check().is_ok()
    }

    fn available(&self) -> AdapterFuture<'_, ()> {
        Box::pin(self.link.health.wait_until(|| self.is_available()))
    }

    fn flush(&self) -> AdapterFuture<'_, ()> {
        Box::pin(self.link.flush())
    }

    fn cursor(&self) -> &Cursor {
        &self.link.jetstream.cursor
    }

    /// The one before the first: who has that has missed nothing.
    fn first(&self) -> AdapterFuture<'_, Result<Option<Position>, LogError>> {
        Box::pin(async {
            let extent = self.jetstream().await.extent().await?;
            Ok(Some(extent.at(extent.first.saturating_sub(1))))
        })
    }

    /// Also where it has expired.
    fn last(&self) -> AdapterFuture<'_, Result<Option<Position>, LogError>> {
        Box::pin(async {
            let extent = self.jetstream().await.extent().await?;
            Ok(Some(extent.at(extent.last)))
        })
    }

    fn read(&self, after: Position, until: Position) -> AdapterFuture<'_, Result<Vec<LogEntry>, LogError>> {
        Box::pin(async move {
            if after.epoch != until.epoch {
                return Err(LogError::Trimmed);
            }
            let entries = self.jetstream().await.read(after.offset, &self.subjects.log).await?;
            let entries = entries.into_iter().take_while(|entry| entry.offset <= until.offset);
            let entry = |read: super::stream::Entry| LogEntry {
                position: Position { epoch: after.epoch, offset: read.offset },
                event: entry::event(read.message.payload, &self.namespace),
            };
            Ok(entries.map(entry).collect())
        })
    }
}
