//! A socket in very many rooms is gone: it leaves them some at a time, so that its thread serves others in between.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Local;
use crate::room_set::RoomSet;
use crate::socket::Socket;

/// A socket that is gone, and still in rooms. While there is one, broadcasts look who is gone.
pub(super) struct Leaving {
    local: Arc<Local>,
    socket: Socket,
}

impl Leaving {
    pub(super) fn begin(local: Arc<Local>, socket: Socket) -> Self {
        local.leaving.fetch_add(1, Ordering::AcqRel);
        Self { local, socket }
    }

    pub(super) async fn run(self, mut rooms: RoomSet) {
        while !rooms.is_empty() {
            tokio::task::yield_now().await;
            let mut events = Vec::new();
            for room in rooms.take_some(LEFT_AT_ONCE) {
                self.local.remove_member(&self.socket, &room, &mut events);
            }
            self.local.notify_all(&events);
        }
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.local.leaving.fetch_sub(1, Ordering::AcqRel);
    }
}

/// How many rooms are left at a time: about a tenth of a millisecond.
pub(super) const LEFT_AT_ONCE: usize = 256;
