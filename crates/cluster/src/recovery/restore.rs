//! A client comes back: its session is taken from the store, and what it missed is read from the log.

use std::time::Duration;

use sockeye::Target;
use sockeye::adapter::{Packet, RecoveredSession, RoomSet};

use super::journal::with_offset;
use super::tail::size_of;
use super::{LogError, Position, Recovery, Refusal, StoredSession};
use crate::message::Message;

impl Recovery {
    /// Finds a session and what its client missed, see [`SessionRecovery::restore_session`](sockeye::adapter::SessionRecovery::restore_session).
    /// `publish` sends a message to all nodes.
    pub(crate) async fn restore(
        &self,
        private_id: &str,
        offset: Option<&str>,
        publish: impl Fn(Message),
    ) -> Option<RecoveredSession> {
        match self.try_restore(private_id, offset, publish).await {
            Ok(session) => {
                self.options.metrics.recovered.increment();
                Some(session)
            }
            Err(reason) => {
                self.options.metrics.refuse(reason);
                tracing::debug!(namespace = &*self.namespace, ?reason, "a session is not recovered");
                None
            }
        }
    }

    async fn try_restore(
        &self,
        private_id: &str,
        offset: Option<&str>,
        publish: impl Fn(Message),
    ) -> Result<RecoveredSession, Refusal> {
        // A node that has just begun, or whose connection was just lost, has it soon.
        tokio::time::timeout(SOON, self.log.available()).await.map_err(|_| Refusal::Unavailable)?;
        // What this node has to say of the session comes first.
        self.log.flush().await;
        for _ in 0..ATTEMPTS {
            let session = self.store.get(private_id).await?.ok_or(Refusal::NoSession)?;
            if session.namespace.as_ref().is_some_and(|namespace| *namespace != self.namespace)
                || session.saved.private_id != private_id
            {
                return Err(Refusal::NoSession);
            }
            let position = self.position_of(&session, offset).await?;
            if self.store.claim(&session).await? {
                return self.replay(session, position, publish).await;
            }
            // Its node has written it again meanwhile, or another has taken it.
        }
        Err(Refusal::NoSession)
    }

    /// Up to where the client has all.
    async fn position_of(&self, session: &StoredSession, offset: Option<&str>) -> Result<Position, Refusal> {
        let offset = offset.map(str::parse::<Position>).transpose().map_err(|_| Refusal::NoPosition)?;
        let start = session.saved.log_start.parse::<Position>().ok();
        let position = offset.max(start).ok_or(Refusal::NoPosition)?;
        let Some(last) = self.log.last().await? else { return Err(Refusal::Trimmed) };
        if position > last {
            return Err(Refusal::NoPosition);
        }
        if let Some(node) = &session.node
            && !self.store.watermark(node).await?.allows(position)
        {
            return Err(Refusal::NoPosition);
        }
        // What was in the log when the session was found has been carried out here, so that nothing meant for the client's old
        // socket is still to come for the new one.
        self.log.cursor().reached(last, self.options.timeout).await.ok_or(Refusal::Behind)?;
        Ok(position)
    }

    /// The session is ours: its old socket ends, and what its client missed is read.
    async fn replay(
        &self,
        session: StoredSession,
        position: Position,
        publish: impl Fn(Message),
    ) -> Result<RecoveredSession, Refusal> {
        let saved = &session.saved;
        if session.node.as_ref().is_some_and(|node| *node != self.node) {
            let mut target = Target::default();
            target.rooms.push(saved.id.as_str().into());
            publish(Message::DisconnectSockets { target, close: true });
        }
        let until = self.whole_position().await.ok_or(Refusal::Behind)?;
        let missed = self.read_missed(&session, position, until).await?;
        // Asked last: what is there now was there all the time.
        let first = self.log.first().await?.ok_or(Refusal::Trimmed)?;
        if position < first {
            return Err(Refusal::Trimmed);
        }
        let saved = session.saved;
        let log_start = saved.log_start.parse().map_or(position, |start: Position| start.max(position));
        Ok(RecoveredSession {
            id: saved.id,
            private_id: saved.private_id,
            rooms: saved.rooms,
            data: saved.data,
            log_start: log_start.to_string(),
            missed,
            log_position: until.to_string(),
        })
    }

    /// A position from which on this node delivers all to who enters.
    async fn whole_position(&self) -> Option<Position> {
        let started = tokio::time::Instant::now();
        loop {
            if let Some(position) = self.log.cursor().position().filter(|position| self.is_whole_since(*position)) {
                return Some(position);
            }
            if started.elapsed() > self.options.timeout {
                return None;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The events between two entries, the second one included.
    async fn read_missed(
        &self,
        session: &StoredSession,
        after: Position,
        until: Position,
    ) -> Result<Vec<Packet>, Refusal> {
        let max_bytes = self.local().map_or(0, |local| local.max_outbox_bytes());
        let rooms: RoomSet = session.saved.rooms.iter().collect();
        let (mut missed, mut bytes, mut last) = (Vec::new(), 0, after);
        while last < until {
            let begun_at = last;
            for entry in self.log.read(last, until).await? {
                last = last.max(entry.position);
                let Some((packet, target)) = entry.event else { continue };
                if target.flags.volatile || !target.includes(&rooms) {
                    continue;
                }
                let packet = with_offset(packet, entry.position);
                bytes += size_of(&packet);
                if bytes > max_bytes {
                    return Err(Refusal::TooMuch);
                }
                missed.push(packet);
            }
            if last == begun_at {
                break;
            }
        }
        Ok(missed)
    }
}

impl From<LogError> for Refusal {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Unavailable => Self::Unavailable,
            LogError::Trimmed => Self::Trimmed,
        }
    }
}

/// How long a client waits for the log to be available.
const SOON: Duration = Duration::from_secs(2);

/// How often a session is looked at that is written again at the same time.
const ATTEMPTS: usize = 5;

/// How long to wait before it is looked again whether this node tells all.
const PAUSE: Duration = Duration::from_millis(10);
