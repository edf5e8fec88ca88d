//! The members of a room: most rooms are small, and then they are a list, which is quicker to find and to go through than a table.

use hashbrown::HashMap;
use smallvec::SmallVec;

use crate::socket::Socket;

/// The sockets in a room, each once.
pub(super) enum Members {
    /// In the order in which they came, until one left.
    Few(SmallVec<[Socket; 2]>),
    /// By the address of the socket.
    Many(Box<HashMap<usize, Socket>>),
}

impl Default for Members {
    fn default() -> Self {
        Self::Few(SmallVec::new())
    }
}

impl Members {
    pub(super) fn insert(&mut self, socket: &Socket) {
        match self {
            Self::Few(list) if list.contains(socket) => {}
            Self::Few(list) if list.len() < MAX_LISTED => list.push(socket.clone()),
            Self::Few(list) => {
                let table = list.drain(..).chain([socket.clone()]).map(|each| (each.key(), each)).collect();
                *self = Self::Many(Box::new(table));
            }
            Self::Many(table) => drop(table.insert(socket.key(), socket.clone())),
        }
    }

    pub(super) fn remove(&mut self, socket: &Socket) {
        match self {
            Self::Few(list) => {
                if let Some(at) = list.iter().position(|each| each == socket) {
                    list.swap_remove(at);
                }
            }
            Self::Many(table) => {
                drop(table.remove(&socket.key()));
                if table.len() < table.capacity() / 8 {
                    table.shrink_to(table.len() * 2);
                }
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Few(list) => list.len(),
            Self::Many(table) => table.len(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn for_each(&self, each: impl FnMut(&Socket)) {
        match self {
            Self::Few(list) => list.iter().for_each(each),
            Self::Many(table) => table.values().for_each(each),
        }
    }
}

/// How many members are kept as a list.
const MAX_LISTED: usize = 16;
