//! The low watermark of a node: from where on the offsets of its clients tell what they have.

use super::Position;

/// While the log does not answer, events are delivered without a position. A client that then shows a position from before them may
/// have them or not, so it must show a newer one, or is not recovered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LowWatermark {
    /// It is not known yet: no offset is good enough.
    Unknown,
    /// Offsets from this entry on are good.
    At(Position),
}

impl LowWatermark {
    /// Whether a client that has all up to this entry can be told what it misses.
    pub(super) fn allows(self, position: Position) -> bool {
        matches!(self, Self::At(least) if position >= least)
    }

    /// It is at least here.
    pub(super) fn raise(&mut self, id: Position) {
        match self {
            Self::At(least) => *least = id.max(*least),
            Self::Unknown => *self = Self::At(id),
        }
    }

    /// As it is kept in a session store.
    pub fn to_text(self) -> String {
        match self {
            Self::Unknown => UNKNOWN.to_owned(),
            Self::At(id) => id.to_string(),
        }
    }

    /// As it was kept. What cannot be read allows nothing.
    pub fn from_text(text: &str) -> Self {
        text.parse().map_or(Self::Unknown, Self::At)
    }
}

const UNKNOWN: &str = "*";
