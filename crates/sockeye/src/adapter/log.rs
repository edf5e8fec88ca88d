//! What connection state recovery keeps in memory: events by offset, and sessions by secret, both bounded.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use sockeye_protocol::socket::{Packet, PacketBody};
use tokio::time::Instant;

use super::SavedSession;
use crate::room::Room;
use crate::room_set::RoomSet;
use crate::target::Target;
use sockeye_engine::internal::{Account, Charge};
use sockeye_engine::{Holder, Ledger};

/// The events of a namespace, in the order in which they were sent.
pub(crate) struct EventLog {
    keep: Duration,
    max_bytes: usize,
    /// The position of the event that is pushed next; positions start at 1.
    next: u64,
    bytes: usize,
    entries: VecDeque<Entry>,
    /// The log's own: one that has grown large makes room for others.
    account: Arc<Account>,
}

struct Entry {
    position: u64,
    at: Instant,
    /// None where the budget had no room for it although nothing else was left to let go of.
    charge: Option<Charge>,
    packet: Packet,
    target: Target,
}

impl EventLog {
    pub(crate) fn new(keep: Duration, max_bytes: usize, ledger: &Arc<Ledger>) -> Self {
        Self { keep, max_bytes, next: 1, bytes: 0, entries: VecDeque::new(), account: Account::own(ledger) }
    }

    /// The position behind the last event.
    pub(crate) fn position(&self) -> u64 {
        self.next
    }

    /// The offset that the next event carries to its clients.
    pub(crate) fn next_offset(&self) -> String {
        format!("{:x}", self.next)
    }

    /// The offset that the last event carried; of the first, the one before it.
    pub(crate) fn last_offset(&self) -> String {
        format!("{:x}", self.next - 1)
    }

    pub(crate) fn push(&mut self, packet: Packet, target: Target) {
        let bytes = size_of_packet(&packet);
        let charge = loop {
            let charge = Charge::take(&self.account, Holder::Recovery, 0, bytes);
            if charge.is_some() || !self.drop_oldest() {
                break charge;
            }
        };
        self.bytes += bytes;
        self.entries.push_back(Entry { position: self.next, at: Instant::now(), charge, packet, target });
        self.next += 1;
        self.prune();
    }

    /// Lets go of the oldest event; false if there is none.
    fn drop_oldest(&mut self) -> bool {
        let Some(oldest) = self.entries.pop_front() else { return false };
        self.bytes = self.bytes.saturating_sub(size_of_packet(&oldest.packet));
        true
    }

    /// Lets go of what is too old, some at a time: after a long silence all would be.
    fn prune(&mut self) {
        let now = Instant::now();
        let mut dropped = 0;
        // An event that is not charged for is not kept: it is the only one.
        while let Some(first) = self.entries.front()
            && (self.bytes > self.max_bytes
                || first.charge.is_none()
                || (dropped < DROPPED_AT_ONCE && now.duration_since(first.at) > self.keep))
        {
            self.drop_oldest();
            dropped += 1;
        }
    }

    /// The events that a session's client missed since the offset; none if some of them are not kept any more.
    pub(crate) fn missed(&mut self, session: &SavedSession, offset: Option<&str>) -> Option<Vec<Packet>> {
        self.prune();
        let start: u64 = session.log_start.parse().ok()?;
        let from = match offset {
            // Of an event that the client has: the next one is wanted, but none from before it was there.
            Some(offset) => u64::from_str_radix(offset, 16).ok()?.checked_add(1)?.max(start),
            None => start,
        };
        self.since(from, &session.rooms)
    }

    /// The events from this position on that are meant for who is in these rooms; none if some are not kept any more.
    pub(crate) fn since(&self, from: u64, rooms: &[Room]) -> Option<Vec<Packet>> {
        let first_kept = self.entries.front().map_or(self.next, |entry| entry.position);
        if from < first_kept || from > self.next {
            return None;
        }
        // A client that was in many rooms is not looked for in a list for each of many events.
        let rooms: RoomSet = rooms.iter().collect();
        let start = self.entries.partition_point(|entry| entry.position < from);
        let missed = self.entries.range(start..).filter(|entry| entry.target.includes(&rooms));
        Some(missed.map(|entry| entry.packet.clone()).collect())
    }
}

/// How many events, or sessions, are dropped for their age at a time: more than come at a time, so that all of them go.
const DROPPED_AT_ONCE: usize = 64;

fn size_of_packet(packet: &Packet) -> usize {
    let overhead = 200;
    match &packet.body {
        PacketBody::Event { name, args } => name.as_str().len() + args.bytes() + overhead,
        _ => overhead,
    }
}

/// About how many bytes a session holds.
fn size_of_session(session: &SavedSession) -> usize {
    let overhead = 400;
    let rooms: usize = session.rooms.iter().map(|room| room.len() + size_of::<Room>()).sum();
    let data: usize = session.data.iter().map(|(key, value)| key.len() + size_of_value(value)).sum();
    rooms + data + overhead
}

fn size_of_value(value: &serde_json::Value) -> usize {
    use serde_json::Value;
    let content = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(list) => list.iter().map(size_of_value).sum(),
        Value::Object(object) => object.iter().map(|(key, value)| 48 + key.len() + size_of_value(value)).sum(),
    };
    content + size_of::<Value>()
}

/// Sessions of clients that are away.
pub(crate) struct Sessions {
    keep: Duration,
    max: usize,
    by_secret: HashMap<String, Kept>,
    account: Arc<Account>,
    /// The order in which they go; an entry whose session is gone, or newer, is skipped.
    order: VecDeque<Turn>,
    next: u64,
}

struct Kept {
    /// The number of the entry in `order` that stands for it.
    number: u64,
    at: Instant,
    session: SavedSession,
    _charge: Charge,
}

struct Turn {
    number: u64,
    at: Instant,
    secret: String,
}

impl Sessions {
    pub(crate) fn new(keep: Duration, max: usize, ledger: &Arc<Ledger>) -> Self {
        let account = Account::own(ledger);
        Self { keep, max, by_secret: HashMap::new(), account, order: VecDeque::new(), next: 0 }
    }

    pub(crate) fn insert(&mut self, session: SavedSession) {
        let now = Instant::now();
        let bytes = size_of_session(&session);
        let charge = loop {
            let charge = Charge::take(&self.account, Holder::Recovery, 0, bytes);
            if charge.is_some() || !self.drop_oldest() {
                break charge;
            }
        };
        // One that is too large for all that is free is not kept: its client begins anew.
        let Some(charge) = charge else { return };
        self.order.push_back(Turn { number: self.next, at: now, secret: session.private_id.clone() });
        let kept = Kept { number: self.next, at: now, session, _charge: charge };
        self.by_secret.insert(kept.session.private_id.clone(), kept);
        self.next += 1;
        self.prune(now);
        if self.order.len() > 2 * self.by_secret.len() + 16 {
            // Sessions that come and go leave entries behind.
            let by_secret = &self.by_secret;
            self.order.retain(|turn| turn.is_current(by_secret));
        }
    }

    /// Takes a session out: a secret works once for each disconnect.
    pub(crate) fn take(&mut self, private_id: &str) -> Option<SavedSession> {
        let now = Instant::now();
        self.prune(now);
        let kept = self.by_secret.remove(private_id)?;
        (now.duration_since(kept.at) <= self.keep).then_some(kept.session)
    }

    /// Lets go of what is too old, some at a time, and of the oldest where there are too many.
    fn prune(&mut self, now: Instant) {
        let mut dropped = 0;
        while let Some(turn) = self.order.front() {
            let is_over = self.by_secret.len() > self.max;
            let is_current = turn.is_current(&self.by_secret);
            if !is_over && (dropped == DROPPED_AT_ONCE || (is_current && now.duration_since(turn.at) <= self.keep)) {
                return;
            }
            self.drop_oldest();
            dropped += 1;
        }
    }

    /// Lets go of the oldest session, or of an entry that no longer stands for one; false if there is none.
    fn drop_oldest(&mut self) -> bool {
        let Some(turn) = self.order.pop_front() else { return false };
        if turn.is_current(&self.by_secret) {
            self.by_secret.remove(&turn.secret);
        }
        true
    }
}

impl Turn {
    /// Whether the session is still there, and this is its last turn.
    fn is_current(&self, by_secret: &HashMap<String, Kept>) -> bool {
        by_secret.get(&self.secret).is_some_and(|kept| kept.number == self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sockeye_engine::Budgets;
    use sockeye_protocol::socket::Args;

    fn ledger(bytes: usize) -> Arc<Ledger> {
        let mut budgets = Budgets::of(0);
        budgets.set(Holder::Recovery, bytes);
        Arc::new(Ledger::new(&budgets))
    }

    fn session(number: usize, log_start: u64) -> SavedSession {
        SavedSession {
            id: String::new(),
            private_id: number.to_string(),
            rooms: Vec::new(),
            data: serde_json::Map::new(),
            log_start: log_start.to_string(),
        }
    }

    #[test]
    fn sessions_that_come_and_go_leave_nothing_behind() {
        let mut sessions = Sessions::new(Duration::from_secs(60), 10, &ledger(1 << 20));
        for number in 0..10_000 {
            sessions.insert(session(number % 5, 1));
            if number % 2 == 0 {
                sessions.take(&(number % 5).to_string());
            }
        }
        assert!(sessions.order.len() <= 40, "{}", sessions.order.len());
        assert!(sessions.by_secret.len() <= 5);
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_become_too_old_goes_some_at_a_time() {
        let keep = Duration::from_secs(60);
        let (mut sessions, mut log) =
            (Sessions::new(keep, 10_000, &ledger(1 << 30)), EventLog::new(keep, 1 << 30, &ledger(1 << 30)));
        let event = || Packet::new("/", PacketBody::Event { name: "e".into(), args: Args::empty() });
        for number in 0..5_000 {
            sessions.insert(session(number, 1));
            log.push(event(), Target::default());
        }
        tokio::time::advance(keep * 2).await;
        sessions.insert(session(5_000, 1));
        log.push(event(), Target::default());
        assert_eq!((sessions.by_secret.len(), log.entries.len()), (5_001 - DROPPED_AT_ONCE, 5_001 - DROPPED_AT_ONCE));
        assert!(sessions.take("4999").is_none(), "it is too old, though still there");
        for number in 0..100 {
            sessions.insert(session(number, 1));
            log.push(event(), Target::default());
        }
        assert_eq!((sessions.by_secret.len(), log.entries.len()), (101, 101));
    }

    #[test]
    fn logs_and_sessions_of_many_namespaces_stay_within_the_budget() {
        let ledger = ledger(200_000);
        let log = || EventLog::new(Duration::from_secs(60), 1 << 20, &ledger);
        let body = || PacketBody::Event { name: "e".into(), args: Args::from_serialize(&"x".repeat(800)).unwrap() };
        let mut logs: Vec<_> = std::iter::repeat_with(log).take(20).collect();
        let mut sessions = Sessions::new(Duration::from_secs(60), 1_000, &ledger);
        for number in 0..1_000 {
            for log in &mut logs {
                log.push(Packet::new("/", body()), Target::default());
            }
            sessions.insert(SavedSession { rooms: vec!["r".repeat(500).into()], ..session(number, 1) });
        }
        assert!((100_000..=200_000).contains(&ledger.held(Holder::Recovery)), "{}", ledger.held(Holder::Recovery));
        assert!(ledger.refused(Holder::Recovery) > 0);
        assert!(logs.iter().all(|log| !log.entries.is_empty()) && !sessions.by_secret.is_empty());
        drop((logs, sessions));
        assert_eq!(ledger.held(Holder::Recovery), 0);
    }

    #[test]
    fn nothing_is_replayed_from_before_the_socket_was_there() {
        let mut log = EventLog::new(Duration::from_secs(60), 1 << 20, &ledger(1 << 20));
        let body = || PacketBody::Event { name: "e".into(), args: Args::empty() };
        for _ in 0..4 {
            log.push(Packet::new("/", body()), Target::default());
        }
        let missed = |log: &mut EventLog, offset| log.missed(&session(1, 4), offset).map(|missed| missed.len());
        assert_eq!(missed(&mut log, Some("0")), Some(1));
        assert_eq!(missed(&mut log, None), Some(1));
        assert_eq!(missed(&mut log, Some("4")), Some(0));
        assert_eq!(missed(&mut log, Some("5")), None);
    }
}
