//! Messages that are larger than the server takes: they go in parts.
//!
//! A part is `0 message index count bytes`: the name of the message, a random number of eight bytes, and the part's number of how many, four
//! bytes each, the highest first. No other payload begins with 0. The parts of a message arrive in order, or not at all.

use std::collections::VecDeque;

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The parts of a payload, each of at most `max` bytes: itself if it is not larger.
pub(crate) fn split(payload: &Bytes, max: usize) -> Vec<Bytes> {
    if payload.len() <= max {
        return vec![payload.clone()];
    }
    let chunks = payload.chunks(max.saturating_sub(HEADER).max(1));
    let (message, count) = (rand::random(), u32::try_from(chunks.len()).unwrap_or(u32::MAX));
    let part = |(index, chunk): (u32, &[u8])| {
        let mut part = BytesMut::with_capacity(HEADER + chunk.len());
        part.put_u8(PART);
        part.put_u64(message);
        part.put_u32(index);
        part.put_u32(count);
        part.put_slice(chunk);
        part.freeze()
    };
    (0..count).zip(chunks).map(part).collect()
}

/// Puts messages together again.
pub(crate) struct Assembly {
    max_bytes: usize,
    bytes: usize,
    /// The oldest first.
    partials: VecDeque<Partial>,
}

struct Partial {
    message: u64,
    /// The part that comes next, and how many there are.
    next: u32,
    count: u32,
    data: BytesMut,
}

impl Assembly {
    /// It holds so many bytes at most. The oldest message that is not complete makes room.
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self { max_bytes, bytes: 0, partials: VecDeque::new() }
    }

    /// Takes a payload; gives a message that is complete now. A part whose predecessor is missing is dropped.
    pub(crate) fn take(&mut self, mut payload: Bytes) -> Option<Bytes> {
        if payload.first() != Some(&PART) || payload.len() < HEADER {
            return Some(payload);
        }
        payload.advance(1);
        let (message, index, count) = (payload.get_u64(), payload.get_u32(), payload.get_u32());
        let known = self.partials.iter().position(|partial| partial.message == message);
        let mut partial = match known.and_then(|at| self.partials.remove(at)) {
            Some(partial) => partial,
            None => Partial { message, next: 0, count, data: BytesMut::new() },
        };
        self.bytes -= partial.data.len();
        if (partial.next, partial.count) != (index, count) {
            return None;
        }
        partial.next += 1;
        partial.data.extend_from_slice(&payload);
        if partial.next == count {
            return Some(partial.data.freeze());
        }
        self.bytes += partial.data.len();
        self.partials.push_back(partial);
        while self.bytes > self.max_bytes || self.partials.len() > MAX_PARTIALS {
            self.bytes -= self.partials.pop_front().map_or(0, |partial| partial.data.len());
        }
        None
    }
}

const PART: u8 = 0;
const HEADER: usize = 17;

/// How many messages may be incomplete at a time: about one of each node is.
const MAX_PARTIALS: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_split_is_put_together() {
        let mut assembly = Assembly::new(1_000);
        let small = Bytes::from_static(b"\x01abc");
        assert_eq!(split(&small, 4), std::slice::from_ref(&small));
        assert_eq!(assembly.take(small.clone()), Some(small));
        let (first, second) = (Bytes::from(vec![1; 100]), Bytes::from(vec![2; 100]));
        let (first_parts, second_parts) = (split(&first, 47), split(&second, 47));
        assert_eq!(first_parts.len(), 4);
        assert!(first_parts.iter().all(|part| part.len() <= 47));
        for at in 0..3 {
            assert_eq!(assembly.take(first_parts[at].clone()), None);
            assert_eq!(assembly.take(second_parts[at].clone()), None);
        }
        assert_eq!(assembly.take(first_parts[3].clone()), Some(first));
        assert_eq!(assembly.take(second_parts[3].clone()), Some(second));
        assert_eq!((assembly.bytes, assembly.partials.len()), (0, 0));
    }

    #[test]
    fn what_is_missing_is_missed_and_what_is_held_is_bounded() {
        let mut assembly = Assembly::new(200);
        let parts = split(&Bytes::from(vec![1; 100]), 47);
        assert_eq!(assembly.take(parts[1].clone()), None);
        assert_eq!(assembly.take(parts[0].clone()), None);
        assert_eq!(assembly.take(parts[2].clone()), None);
        assert_eq!(assembly.take(parts[3].clone()), None);
        for _ in 0..100 {
            assert_eq!(assembly.take(split(&Bytes::from(vec![1; 100]), 47)[0].clone()), None);
            assert!(assembly.bytes <= 200);
        }
        for garbage in [&b"\0"[..], b"\x00123456789abcdef"] {
            let _any = assembly.take(Bytes::from_static(garbage));
        }
        assert_eq!(assembly.take(Bytes::from(vec![0; 40])), None);
    }
}
