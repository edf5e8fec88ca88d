//! Rooms that this node has let others' sockets join a moment ago.
//!
//! Where rooms are routed by interest, a node whose first member has just joined has not subscribed yet, and what the same program
//! emits to the room next would not reach it. So that goes to all nodes, behind the message about the join.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hashbrown::HashMap;
use parking_lot::Mutex;
use sockeye::adapter::Room;
use tokio::time::Instant;

#[derive(Debug, Default)]
pub(super) struct RecentJoins {
    /// Whether there are none: mostly.
    is_used: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    by_room: HashMap<Room, Instant>,
    /// In the order of their times; an entry that is not the room's last is skipped.
    order: VecDeque<(Instant, Room)>,
}

impl RecentJoins {
    /// Sockets of other nodes were told to join these.
    pub(super) fn note(&self, rooms: &[Room]) {
        let now = Instant::now();
        let mut state = self.state.lock();
        state.forget(now);
        for room in rooms {
            state.by_room.insert(room.clone(), now);
            state.order.push_back((now, room.clone()));
        }
        while state.order.len() > MOST {
            state.forget_first();
        }
        self.is_used.store(!state.order.is_empty(), Ordering::Release);
    }

    /// Whether the room is one of them.
    pub(super) fn has(&self, room: &Room) -> bool {
        if !self.is_used.load(Ordering::Acquire) {
            return false;
        }
        let mut state = self.state.lock();
        state.forget(Instant::now());
        if state.order.is_empty() {
            self.is_used.store(false, Ordering::Release);
        }
        state.by_room.contains_key(room)
    }
}

impl State {
    /// Lets go of what is not recent any more.
    fn forget(&mut self, now: Instant) {
        while self.order.front().is_some_and(|(at, _)| now.duration_since(*at) > RECENT) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some((at, room)) = self.order.pop_front()
            && self.by_room.get(&room) == Some(&at)
        {
            self.by_room.remove(&room);
        }
    }
}

/// How long a subscription may take.
const RECENT: Duration = Duration::from_secs(2);

/// How many rooms are remembered. A program that lets sockets join more rooms at once may emit too early to the first of them.
const MOST: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn rooms_are_remembered_for_a_moment_and_not_too_many() {
        let (joins, room) = (RecentJoins::default(), |number: usize| Room::from(number.to_string()));
        assert!(!joins.has(&room(1)));
        joins.note(&[room(1), room(2)]);
        assert!(joins.has(&room(1)) && joins.has(&room(2)) && !joins.has(&room(3)));
        tokio::time::advance(RECENT / 2).await;
        joins.note(&[room(1)]);
        tokio::time::advance(RECENT * 3 / 4).await;
        assert!(joins.has(&room(1)) && !joins.has(&room(2)));
        tokio::time::advance(RECENT).await;
        assert!(!joins.has(&room(1)) && joins.state.lock().by_room.is_empty());
        let many: Vec<_> = (0..MOST + 10).map(room).collect();
        joins.note(&many);
        assert!(!joins.has(&room(9)) && joins.has(&room(10)) && joins.has(&room(MOST + 9)));
        assert!(joins.state.lock().order.len() <= MOST);
    }
}
