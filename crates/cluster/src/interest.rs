//! Which rooms this node has members of: told to a bus that routes by it.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;

use super::bus::Bus;
use sockeye::adapter::{Local, Room, RoomEvent};

/// Subscribes to the rooms that get their first member, and unsubscribes from those that lose their last.
pub(super) fn follow(local: &Arc<Local>, bus: Arc<dyn Bus>) {
    let rooms: Mutex<HashSet<Room>> = Mutex::default();
    let weak = Arc::downgrade(local);
    local.on_room_event(move |event| {
        let (RoomEvent::Created(room) | RoomEvent::Deleted(room)) = event else { return };
        let Some(local) = weak.upgrade() else { return };
        // Two threads may report the changes of one room in the wrong order. Each reports after its change, and asks under
        // this lock how things are: whoever comes last sees what holds.
        let mut rooms = rooms.lock();
        match (local.has_room(room), rooms.contains(room)) {
            (true, false) => {
                rooms.insert(room.clone());
                bus.subscribe(room);
            }
            (false, true) => {
                rooms.remove(room);
                bus.unsubscribe(room);
            }
            _ => {}
        }
    });
}
