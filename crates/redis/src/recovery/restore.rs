//! A client comes back: its session is taken from Redis, and what it missed is read from the stream.

use std::time::Duration;

use redis::{Cmd, FromRedisValue, RedisError, cmd};
use sockeye::Target;
use sockeye::adapter::{Packet, RecoveredSession, RoomSet};
use sockeye_cluster::{Destination, Message};

use super::floor::Floor;
use super::tail::size_of;
use super::{EntryId, Journal, record};
use crate::codec::session::Session;
use crate::entries::Entries;
use crate::link::Link;
use crate::wire::Wire;

/// Why a session is not recovered; for the log.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Redis is not reached, or does not answer.
    Unreachable,
    /// There is no session, or it is another's.
    NoSession,
    /// It cannot be told what the client has.
    NoPosition,
    /// Events that it may need are gone from the stream.
    Trimmed,
    /// This node is behind, and stays so.
    Behind,
    /// It has missed more than a client may be sent at once.
    TooMuch,
}

impl Journal {
    /// Finds a session and what its client missed, see [`Adapter::restore_session`](sockeye::adapter::Adapter::restore_session).
    pub(crate) async fn restore(
        &self,
        link: &Link,
        wire: &Wire,
        private_id: &str,
        offset: Option<&str>,
    ) -> Option<RecoveredSession> {
        match self.try_restore(link, wire, private_id, offset).await {
            Ok(session) => Some(session),
            Err(reason) => {
                tracing::debug!(namespace = &**wire.namespace(), ?reason, "a session is not recovered");
                None
            }
        }
    }

    async fn try_restore(
        &self,
        link: &Link,
        wire: &Wire,
        private_id: &str,
        offset: Option<&str>,
    ) -> Result<RecoveredSession, Refusal> {
        let key = record::key(link, private_id).ok_or(Refusal::NoSession)?;
        // A node that has just begun, or whose connection was just lost, has it soon.
        let connected = link.wait_until(|| link.is_connected());
        tokio::time::timeout(SOON, connected).await.map_err(|_| Refusal::Unreachable)?;
        // What this node has to say of the session comes first.
        link.flush().await;
        let redis = Asking(link);
        for _ in 0..ATTEMPTS {
            let text: Option<Vec<u8>> = redis.ask(cmd("GET").arg(&key)).await?;
            let text = text.filter(|text| !text.is_empty()).ok_or(Refusal::NoSession)?;
            let session = record::read(&text).ok_or(Refusal::NoSession)?;
            if session.namespace.as_deref().is_some_and(|namespace| namespace != &**wire.namespace())
                || session.saved.private_id != private_id
            {
                return Err(Refusal::NoSession);
            }
            let position = self.position_of(link, wire, &redis, &session, offset).await?;
            let taken: u64 = redis.ask(&record::claim(&key, &text)).await?;
            if taken == 1 {
                return self.replay(link, wire, &redis, session, position).await;
            }
            // Its node has written it again meanwhile, or another has taken it.
        }
        Err(Refusal::NoSession)
    }

    /// Up to where the client has all.
    async fn position_of(
        &self,
        link: &Link,
        wire: &Wire,
        redis: &Asking<'_>,
        session: &Session,
        offset: Option<&str>,
    ) -> Result<EntryId, Refusal> {
        let offset = offset.map(str::parse::<EntryId>).transpose().map_err(|_| Refusal::NoPosition)?;
        let start = session.saved.log_start.parse::<EntryId>().ok();
        let position = offset.max(start).ok_or(Refusal::NoPosition)?;
        let stream = wire.stream();
        let Some(last) = redis.edge("XREVRANGE", &stream, "+", "-").await? else { return Err(Refusal::Trimmed) };
        if position > last {
            return Err(Refusal::NoPosition);
        }
        if let Some(node) = &session.node {
            let floor: Option<String> = redis.ask(cmd("GET").arg(record::floor_key(link, wire, node))).await?;
            if !Floor::from_text(&floor.unwrap_or_default()).allows(position) {
                return Err(Refusal::NoPosition);
            }
        }
        // What was in the stream when the session was found has been carried out here, so that nothing meant for the client's old
        // socket is still to come for the new one.
        link.recovery.places.reached(self.stream, last, link.options.timeout).await.ok_or(Refusal::Behind)?;
        Ok(position)
    }

    /// The session is ours: its old socket ends, and what its client missed is read.
    async fn replay(
        &self,
        link: &Link,
        wire: &Wire,
        redis: &Asking<'_>,
        session: Session,
        position: EntryId,
    ) -> Result<RecoveredSession, Refusal> {
        if session.node.as_ref().is_some_and(|node| *node != link.node) {
            let mut target = Target::default();
            target.rooms.push(session.saved.id.as_str().into());
            let message = Message::DisconnectSockets { target, close: true };
            if let Ok(Some(outgoing)) = wire.command(message, &Destination::All) {
                link.note_published(link.send(outgoing));
            }
        }
        let until = self.whole_place(link).await.ok_or(Refusal::Behind)?;
        let missed = self.read(link, wire, redis, &session, position, until).await?;
        // Asked last: what is there now was there all the time.
        let first = redis.edge("XRANGE", &wire.stream(), "-", "+").await?.ok_or(Refusal::Trimmed)?;
        if position < first {
            return Err(Refusal::Trimmed);
        }
        let log_start = session.saved.log_start.parse().map_or(position, |start: EntryId| start.max(position));
        Ok(RecoveredSession {
            id: session.saved.id,
            private_id: session.saved.private_id,
            rooms: session.saved.rooms,
            data: session.saved.data,
            log_start: log_start.to_string(),
            missed,
            log_position: until.to_string(),
        })
    }

    /// A place from which on this node delivers all to who enters.
    async fn whole_place(&self, link: &Link) -> Option<EntryId> {
        let started = tokio::time::Instant::now();
        loop {
            if let Some(id) = link.recovery.places.at(self.stream).filter(|id| self.is_whole_since(*id)) {
                return Some(id);
            }
            if started.elapsed() > link.options.timeout {
                return None;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The events between two entries, the second one included.
    async fn read(
        &self,
        link: &Link,
        wire: &Wire,
        redis: &Asking<'_>,
        session: &Session,
        after: EntryId,
        until: EntryId,
    ) -> Result<Vec<Packet>, Refusal> {
        let max_bytes = self.local().map_or(0, |local| local.max_outbox_bytes());
        let rooms: RoomSet = record::rooms(session).iter().collect();
        let (mut missed, mut bytes, mut last) = (Vec::new(), 0, after);
        while last < until {
            let mut range = cmd("XRANGE");
            range.arg(wire.stream()).arg(last.next().to_string()).arg(until.to_string());
            range.arg("COUNT").arg(link.options.stream.read_count);
            let answer = redis.ask_entries(&range).await?;
            let begun_at = last;
            for (_, id, fields) in Entries::of_range(&answer).ok_or(Refusal::Unreachable)? {
                last = last.max(id);
                let Some(packet) = wire.read_kept(&fields.pairs()).and_then(|(packet, target)| {
                    let is_missed = !target.flags.volatile && target.includes(&rooms);
                    is_missed.then(|| super::journal::with_offset(packet, id))
                }) else {
                    continue;
                };
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

/// What questions go by.
struct Asking<'a>(&'a Link);

impl Asking<'_> {
    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Refusal> {
        self.0.query(command).await.map_err(|error| unreachable(&error))
    }

    async fn ask_entries(&self, command: &Cmd) -> Result<Vec<u8>, Refusal> {
        self.0.query_entries(command).await.map_err(|error| unreachable(&error))
    }

    /// The id of the first entry, from one end or the other.
    async fn edge(&self, command: &str, stream: &str, from: &str, to: &str) -> Result<Option<EntryId>, Refusal> {
        let mut range = cmd(command);
        range.arg(stream).arg(from).arg(to).arg("COUNT").arg(1);
        let answer = self.ask_entries(&range).await?;
        Ok(Entries::of_range(&answer).ok_or(Refusal::Unreachable)?.next().map(|(_, id, _)| id))
    }
}

fn unreachable(error: &RedisError) -> Refusal {
    tracing::debug!(%error, "Redis could not be asked for a session");
    Refusal::Unreachable
}

/// How long a client waits for this node to be connected to Redis.
const SOON: Duration = Duration::from_secs(2);

/// How often a session is looked at that is written again at the same time.
const ATTEMPTS: usize = 5;

/// How long to wait before it is looked again whether this node tells all.
const PAUSE: Duration = Duration::from_millis(10);
