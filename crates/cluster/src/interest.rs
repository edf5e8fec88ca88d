//! Which rooms this node has members of: told to a bus that routes by it.

use std::sync::Arc;

use hashbrown::HashSet;
use parking_lot::RwLock;

use super::bus::Bus;
use super::confirmations::Confirmations;
use sockeye::adapter::{Local, Room, RoomEvent};

struct Interest {
    bus: Arc<dyn Bus>,
    /// The rooms that the bus was told of.
    rooms: RwLock<HashSet<Room>>,
    confirmations: Arc<Confirmations>,
}

/// Subscribes to the rooms that get their first member, and unsubscribes from those that lose their last. A client that joins a room
/// before its subscription is confirmed is told so afterwards.
pub(super) fn follow(local: &Arc<Local>, bus: Arc<dyn Bus>, confirmations: Arc<Confirmations>) {
    let interest = Interest { bus, rooms: RwLock::default(), confirmations };
    let weak = Arc::downgrade(local);
    local.on_room_event(move |event| {
        let Some(local) = weak.upgrade() else { return };
        match event {
            RoomEvent::Created(room) | RoomEvent::Deleted(room) => interest.update(&local, room),
            RoomEvent::Joined(room, socket) => {
                // The thread that created the room may not have told of it yet.
                if !interest.rooms.read().contains(room) {
                    interest.update(&local, room);
                }
                interest.confirmations.hold(&local, room, socket);
            }
            _ => {}
        }
    });
}

impl Interest {
    /// Two threads may report the changes of one room in the wrong order. Each reports after its change, and asks under the lock how
    /// things are: whoever comes last sees what holds.
    fn update(&self, local: &Local, room: &Room) {
        let mut rooms = self.rooms.write();
        match (local.has_room(room), rooms.contains(room)) {
            (true, false) => {
                rooms.insert(room.clone());
                self.bus.subscribe(room, self.confirmations.begin(room));
            }
            (false, true) => {
                rooms.remove(room);
                self.confirmations.forget(room);
                self.bus.unsubscribe(room);
            }
            _ => {}
        }
    }
}
