//! Who gets an event, and how.

use std::time::Duration;

use smallvec::SmallVec;

use crate::room::Room;
use crate::room_set::RoomSet;

/// How an event is sent.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Flags {
    /// Clients that are not ready to take it do without.
    pub volatile: bool,
    /// It may be compressed.
    pub compress: bool,
    /// Only this node's clients get it.
    pub local: bool,
    /// How long acknowledgements may take.
    pub timeout: Option<Duration>,
}

impl Default for Flags {
    fn default() -> Self {
        Self { volatile: false, compress: true, local: false, timeout: None }
    }
}

/// Who should receive: everybody in one of the rooms (all rooms, if there is none), but those in an excepted one.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Target {
    /// The rooms; none means the whole namespace.
    pub rooms: SmallVec<[Room; 1]>,
    /// Who is in one of these gets nothing.
    pub except: SmallVec<[Room; 1]>,
    /// How it is sent.
    pub flags: Flags,
}

impl Target {
    /// Whether a socket that is in these rooms, its own among them, is one of those who should receive.
    pub fn includes(&self, rooms: &RoomSet) -> bool {
        let is_in = |room: &Room| rooms.contains(room);
        (self.rooms.is_empty() || self.rooms.iter().any(is_in)) && !self.except.iter().any(is_in)
    }
}
