//! What waits to be written to one connection: a queue that is bounded in bytes.

use std::collections::VecDeque;
use std::io::IoSlice;

use sockeye_protocol::engine::PayloadEncoder;

use crate::encoded::{Encoded, Variant};

/// The most frames of a vectored write: beyond it the gain is small, and the kernel takes 1,024 at the most.
pub(crate) const MAX_SLICES: usize = 64;

/// A queue of [`Encoded`] packets. The first one is held inline: mostly there is one at a time, and none of them allocates.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    first: Option<Encoded>,
    rest: VecDeque<Encoded>,
    /// The sum of the costs of what is queued.
    bytes: usize,
    /// How much of `first` is written already.
    written: usize,
    /// How many packets there are up to the last heartbeat, which is one of them; 0 once it is written.
    heartbeat: u32,
    /// The bytes of the queue itself that an account is charged with. It stays when the queue is cleared.
    pub(crate) charged: u32,
}

impl Outbox {
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// What the queue costs, a partly written packet included.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What the queue itself takes, without the packets, which others may wait for, too.
    pub(crate) fn queue_bytes(&self) -> usize {
        self.rest.capacity() * size_of::<Encoded>()
    }

    /// Calls `each` with every packet, for as long as it says so; whether it always did.
    pub(crate) fn all(&self, each: impl FnMut(&Encoded) -> bool) -> bool {
        self.first.iter().chain(&self.rest).all(each)
    }

    pub(crate) fn push(&mut self, packet: Encoded) {
        self.bytes += packet.cost();
        if self.first.is_none() {
            self.first = Some(packet);
        } else {
            self.rest.push_back(packet);
        }
    }

    /// The next packet is a heartbeat.
    pub(crate) fn expect_heartbeat(&mut self) {
        let waiting = self.rest.len() + usize::from(self.first.is_some());
        self.heartbeat = u32::try_from(waiting).unwrap_or(u32::MAX).saturating_add(1);
    }

    /// Whether a heartbeat is still to be written, so that the client cannot have seen it.
    pub(crate) fn has_heartbeat(&self) -> bool {
        self.heartbeat > 0
    }

    /// What is to be written next, if there is a single packet.
    pub(crate) fn only(&self, variant: Variant) -> Option<&[u8]> {
        let packet = self.first.as_ref().filter(|_| self.rest.is_empty())?;
        packet.wire(variant).get(self.written..)
    }

    /// Fills `slices` with what is to be written next and gives back how many were filled.
    pub(crate) fn slices<'a>(&'a self, variant: Variant, slices: &mut [IoSlice<'a>; MAX_SLICES]) -> usize {
        let mut count = 0;
        for (slice, packet) in slices.iter_mut().zip(self.first.iter().chain(&self.rest)) {
            let wire = packet.wire(variant);
            let skip = if count == 0 { self.written } else { 0 };
            *slice = IoSlice::new(wire.get(skip..).unwrap_or_default());
            count += 1;
        }
        count
    }

    /// Takes `count` written bytes off the queue.
    pub(crate) fn advance(&mut self, variant: Variant, mut count: usize) {
        while let Some(first) = &self.first {
            let left = first.wire(variant).len().saturating_sub(self.written);
            if count < left {
                self.written += count;
                return;
            }
            count -= left;
            self.pop();
        }
    }

    /// Moves everything into a long-polling payload; true if a packet of it allows compression.
    pub(crate) fn drain_into(&mut self, payload: &mut PayloadEncoder) -> bool {
        let mut compress = false;
        while let Some(first) = &self.first {
            compress |= first.compress();
            first.write_payload(payload);
            self.pop();
        }
        compress
    }

    /// Drops everything that is queued.
    pub(crate) fn clear(&mut self) {
        *self = Self { charged: self.charged, ..Self::default() };
    }

    fn pop(&mut self) {
        if let Some(first) = self.first.take() {
            self.bytes = self.bytes.saturating_sub(first.cost());
        }
        self.written = 0;
        self.heartbeat = self.heartbeat.saturating_sub(1);
        self.first = self.rest.pop_front();
        if self.rest.is_empty() && self.rest.capacity() > 0 {
            // An idle connection owns no write buffer.
            self.rest = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sockeye_protocol::engine::Revision;

    const PLAIN: Variant = Variant { revision: Revision::V4, base64: false, deflate: None };

    fn drain(outbox: &mut Outbox, step: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while !outbox.is_empty() {
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let count = outbox.slices(PLAIN, &mut slices);
            let bytes: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.iter().copied()).collect();
            assert_eq!(outbox.only(PLAIN), (count == 1).then_some(&*bytes));
            let taken = bytes.len().min(step);
            all.extend_from_slice(&bytes[..taken]);
            outbox.advance(PLAIN, taken);
        }
        all
    }

    #[test]
    fn partial_writes_lose_and_repeat_nothing() {
        for step in [1, 2, 3, 7, 1000] {
            let mut outbox = Outbox::default();
            let mut expected = Vec::new();
            for text in ["one", "two", "three", "a longer message than the others"] {
                let packet = Encoded::message(text);
                expected.extend_from_slice(packet.wire(PLAIN));
                outbox.push(packet);
            }
            assert!(outbox.bytes() > expected.len(), "what holding it costs is counted");
            assert_eq!(drain(&mut outbox, step), expected);
            assert_eq!(outbox.bytes(), 0);
        }
    }

    #[test]
    fn a_heartbeat_is_there_until_all_of_it_is_written() {
        let mut outbox = Outbox::default();
        outbox.push(Encoded::message("before"));
        outbox.expect_heartbeat();
        let ping = Encoded::control(sockeye_protocol::engine::PacketKind::Ping, "");
        let written = Encoded::message("before").wire(PLAIN).len() + ping.wire(PLAIN).len();
        outbox.push(ping);
        outbox.push(Encoded::message("behind"));
        outbox.advance(PLAIN, written - 1);
        assert!(outbox.has_heartbeat());
        outbox.advance(PLAIN, 1);
        assert!(!outbox.has_heartbeat());
        outbox.expect_heartbeat();
        outbox.clear();
        assert!(!outbox.has_heartbeat());
    }

    #[test]
    fn a_polling_payload_takes_slices_of_the_frames() {
        let mut outbox = Outbox::default();
        outbox.push(Encoded::message("hello"));
        outbox.push(Encoded::control(sockeye_protocol::engine::PacketKind::Ping, ""));
        let mut payload = PayloadEncoder::new(Revision::V4, false);
        outbox.drain_into(&mut payload);
        assert_eq!(payload.finish().bytes, b"4hello\x1e2");
        assert!(outbox.is_empty());
    }
}
