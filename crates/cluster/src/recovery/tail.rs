//! The last events of a namespace, for a client that enters while they come.

use std::collections::VecDeque;

use sockeye::Target;
use sockeye::adapter::{Packet, PacketBody, Room, RoomSet};

use super::Position;

/// The events that were delivered last, with their ids as last arguments. Bounded in bytes.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// All after this entry are here; none if that is not known yet.
    complete_since: Option<Position>,
    bytes: usize,
    entries: VecDeque<Entry>,
}

#[derive(Debug)]
struct Entry {
    id: Position,
    bytes: usize,
    packet: Packet,
    target: Target,
}

impl Tail {
    /// Begins anew: all that comes after this entry will be here.
    pub(super) fn begin(&mut self, id: Position) {
        *self = Self { complete_since: Some(id), ..Self::default() };
    }

    pub(super) fn has_begun(&self) -> bool {
        self.complete_since.is_some()
    }

    pub(super) fn push(&mut self, id: Position, packet: Packet, target: Target) {
        let bytes = size_of(&packet);
        self.bytes += bytes;
        self.entries.push_back(Entry { id, bytes, packet, target });
        while self.bytes > MAX_BYTES
            && let Some(first) = self.entries.pop_front()
        {
            self.bytes -= first.bytes;
            self.complete_since = self.complete_since.max(Some(first.id));
        }
    }

    /// The events after this entry that are meant for who is in these rooms; none if some are not here any more.
    pub(super) fn since(&self, id: Position, rooms: &[Room]) -> Option<Vec<Packet>> {
        if self.complete_since.is_none_or(|since| id < since) {
            return None;
        }
        let start = self.entries.partition_point(|entry| entry.id <= id);
        let rooms: RoomSet = rooms.iter().collect();
        let missed = self.entries.range(start..).filter(|entry| entry.target.includes(&rooms));
        Some(missed.map(|entry| entry.packet.clone()).collect())
    }
}

/// About how many bytes a packet holds.
pub(super) fn size_of(packet: &Packet) -> usize {
    let body = match &packet.body {
        PacketBody::Event { name, args } => name.as_str().len() + args.bytes(),
        _ => 0,
    };
    OVERHEAD + body
}

/// What an event costs besides its content.
const OVERHEAD: usize = 256;

/// How much of the stream is held in memory, for each namespace. What came between the reading of the stream for a client and the
/// moment when it enters must fit, or it is not recovered.
const MAX_BYTES: usize = 4 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use sockeye::Args;

    use super::*;

    fn id(number: u64) -> Position {
        format!("1-{number}").parse().unwrap()
    }

    fn push(tail: &mut Tail, number: u64, size: usize, room: Option<&str>) {
        let args = Args::from_serialize(&"x".repeat(size)).unwrap();
        let mut target = Target::default();
        target.rooms.extend(room.map(Room::from));
        tail.push(id(number), Packet::new("/", PacketBody::Event { name: "e".into(), args }), target);
    }

    #[test]
    fn what_came_since_is_told_or_that_it_is_gone() {
        let mut tail = Tail::default();
        assert!(tail.since(id(5), &[]).is_none(), "nothing is known yet");
        tail.begin(id(5));
        push(&mut tail, 6, 1, None);
        push(&mut tail, 8, 1, Some("r"));
        let since = |tail: &Tail, number, rooms: &[Room]| tail.since(id(number), rooms).map(|packets| packets.len());
        assert_eq!(since(&tail, 4, &[]), None);
        assert_eq!(since(&tail, 5, &[]), Some(1));
        assert_eq!(since(&tail, 5, &[Room::from("r")]), Some(2));
        assert_eq!(since(&tail, 7, &[Room::from("r")]), Some(1));
        assert_eq!(since(&tail, 9, &[Room::from("r")]), Some(0));
    }

    #[test]
    fn it_is_bounded() {
        let mut tail = Tail::default();
        tail.begin(id(0));
        for number in 1..100 {
            push(&mut tail, number, MAX_BYTES / 10, None);
        }
        assert!(tail.bytes <= MAX_BYTES);
        assert!(tail.since(id(80), &[]).is_none());
        assert_eq!(tail.since(id(97), &[]).map(|packets| packets.len()), Some(2));
    }
}
