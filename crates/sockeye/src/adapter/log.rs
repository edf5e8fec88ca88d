//! What connection state recovery keeps in memory: events by offset, and sessions by secret, both bounded.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use sockeye_protocol::socket::{Args, Packet, PacketBody};
use tokio::time::Instant;

use super::{Room, SavedSession};
use crate::emit::Target;

/// The events of a namespace, in the order in which they were sent.
pub(crate) struct EventLog {
    keep: Duration,
    max_bytes: usize,
    /// The position of the event that is pushed next; positions start at 1.
    next: u64,
    bytes: usize,
    entries: VecDeque<Entry>,
}

struct Entry {
    position: u64,
    at: Instant,
    bytes: usize,
    packet: Packet,
    target: Target,
}

impl EventLog {
    pub(crate) fn new(keep: Duration, max_bytes: usize) -> Self {
        Self { keep, max_bytes, next: 1, bytes: 0, entries: VecDeque::new() }
    }

    /// The position behind the last event.
    pub(crate) fn position(&self) -> u64 {
        self.next
    }

    /// The offset that the next event carries to its clients.
    pub(crate) fn next_offset(&self) -> String {
        format!("{:x}", self.next)
    }

    pub(crate) fn push(&mut self, packet: Packet, target: Target) {
        let bytes = size_of(&packet);
        self.entries.push_back(Entry { position: self.next, at: Instant::now(), bytes, packet, target });
        self.next += 1;
        self.bytes += bytes;
        self.prune();
    }

    fn prune(&mut self) {
        let now = Instant::now();
        while let Some(first) = self.entries.front()
            && (self.bytes > self.max_bytes || now.duration_since(first.at) > self.keep)
        {
            self.bytes = self.bytes.saturating_sub(first.bytes);
            self.entries.pop_front();
        }
    }

    /// The events that a session's client missed since the offset; none if some of them are not kept any more.
    pub(crate) fn missed(&mut self, session: &SavedSession, offset: Option<&str>) -> Option<Vec<Packet>> {
        self.prune();
        let from = match offset {
            // Of an event that the client has: the next one is wanted.
            Some(offset) => u64::from_str_radix(offset, 16).ok()?.checked_add(1)?,
            None => session.log_start,
        };
        self.since(from, &session.rooms)
    }

    /// The events from this position on that are meant for who is in these rooms; none if some are not kept any more.
    pub(crate) fn since(&self, from: u64, rooms: &[Room]) -> Option<Vec<Packet>> {
        let first_kept = self.entries.front().map_or(self.next, |entry| entry.position);
        if from < first_kept || from > self.next {
            return None;
        }
        let is_meant = |target: &Target| {
            let is_in = |room| rooms.contains(room);
            (target.rooms.is_empty() || target.rooms.iter().any(is_in)) && !target.except.iter().any(is_in)
        };
        let missed = self.entries.iter().filter(|entry| entry.position >= from && is_meant(&entry.target));
        Some(missed.map(|entry| entry.packet.clone()).collect())
    }
}

fn size_of_args(args: &Args) -> usize {
    args.json_elements().len() + args.attachments().iter().map(bytes::Bytes::len).sum::<usize>()
}

fn size_of(packet: &Packet) -> usize {
    let overhead = 200;
    match &packet.body {
        PacketBody::Event { name, args } => name.as_str().len() + size_of_args(args) + overhead,
        _ => overhead,
    }
}

/// Sessions of clients that are away.
pub(crate) struct Sessions {
    keep: Duration,
    max: usize,
    by_secret: HashMap<String, (Instant, SavedSession)>,
    /// The order in which they go; an entry whose session is gone, or newer, is skipped.
    order: VecDeque<(Instant, String)>,
}

impl Sessions {
    pub(crate) fn new(keep: Duration, max: usize) -> Self {
        Self { keep, max, by_secret: HashMap::new(), order: VecDeque::new() }
    }

    pub(crate) fn insert(&mut self, session: SavedSession) {
        let now = Instant::now();
        self.order.push_back((now, session.private_id.clone()));
        self.by_secret.insert(session.private_id.clone(), (now, session));
        self.prune(now);
    }

    /// Takes a session out: a secret works once for each disconnect.
    pub(crate) fn take(&mut self, private_id: &str) -> Option<SavedSession> {
        self.prune(Instant::now());
        self.by_secret.remove(private_id).map(|(_, session)| session)
    }

    fn prune(&mut self, now: Instant) {
        while let Some((at, secret)) = self.order.front() {
            let is_current = self.by_secret.get(secret).is_some_and(|(since, _)| since == at);
            if is_current && self.by_secret.len() <= self.max && now.duration_since(*at) <= self.keep {
                return;
            }
            if is_current {
                self.by_secret.remove(secret);
            }
            self.order.pop_front();
        }
    }
}
