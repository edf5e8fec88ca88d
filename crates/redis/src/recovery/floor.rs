//! From where on the offsets of a node's clients tell what they have.

use super::EntryId;

/// While Redis does not answer, events are delivered without an id. A client that then shows an id from before them may have them or
/// not, so it must show a newer one, or is not recovered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Floor {
    /// It is not known yet: no offset is good enough.
    Unknown,
    /// Offsets from this entry on are good.
    At(EntryId),
}

impl Floor {
    /// Whether a client that has all up to this entry can be told what it misses.
    pub(super) fn allows(self, position: EntryId) -> bool {
        matches!(self, Self::At(floor) if position >= floor)
    }

    /// It is at least here.
    pub(super) fn raise(&mut self, id: EntryId) {
        match self {
            Self::At(floor) => *floor = id.max(*floor),
            Self::Unknown => *self = Self::At(id),
        }
    }

    /// As it is written in Redis.
    pub(super) fn to_text(self) -> String {
        match self {
            Self::Unknown => UNKNOWN.to_owned(),
            Self::At(id) => id.to_string(),
        }
    }

    /// As it was written in Redis. What cannot be read allows nothing.
    pub(super) fn from_text(text: &str) -> Self {
        text.parse().map_or(Self::Unknown, Self::At)
    }
}

const UNKNOWN: &str = "*";
