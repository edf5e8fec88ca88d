//! A cursor over one chunk of received bytes.

use std::ops::Range;

/// One chunk of received bytes and how much of it has been used.
///
/// A [`Decoder`](crate::Decoder) unmasks payloads where they lie, so the bytes change under way.
pub struct Input<'b> {
    bytes: &'b mut [u8],
    used: usize,
}

impl<'b> Input<'b> {
    /// Begins at the first of `bytes`.
    #[must_use]
    pub fn new(bytes: &'b mut [u8]) -> Self {
        Self { bytes, used: 0 }
    }

    /// Whether all bytes have been used.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.remaining() == 0
    }

    /// How many bytes have not been used.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.bytes.len().saturating_sub(self.used)
    }

    /// The bytes not used yet.
    pub(crate) fn rest(&self) -> &[u8] {
        self.bytes.get(self.used..).unwrap_or_default()
    }

    /// Uses the next byte.
    pub(crate) fn next(&mut self) -> Option<u8> {
        let byte = self.bytes.get(self.used).copied()?;
        self.used = self.used.saturating_add(1);
        Some(byte)
    }

    /// Uses up to `count` bytes and says where they lie.
    pub(crate) fn take(&mut self, count: usize) -> Range<usize> {
        let start = self.used;
        self.used = start.saturating_add(count).min(self.bytes.len());
        start..self.used
    }

    /// The bytes at `range`, as given by [`take`](Self::take).
    pub(crate) fn slice(&self, range: Range<usize>) -> &[u8] {
        self.bytes.get(range).unwrap_or_default()
    }

    /// The same, to be changed.
    pub(crate) fn slice_mut(&mut self, range: Range<usize>) -> &mut [u8] {
        self.bytes.get_mut(range).unwrap_or_default()
    }
}

impl std::fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Input").field("used", &self.used).field("len", &self.bytes.len()).finish()
    }
}
