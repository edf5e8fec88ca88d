//! Tells the members of a room who comes and who goes.

use serde_json::{Value, json};
use sockeye::Socket;
use sockeye::adapter::Room;

use super::names::name_of;

const JOINED: &str = "sockeye:joined";
const LEFT: &str = "sockeye:left";

/// A client has joined a room. It is told too.
pub(super) fn announce_joined(socket: &Socket, room: &Room) {
    socket.namespace().to(room).emit(JOINED, presence(socket, room));
}

/// A client has left a room.
pub(super) fn announce_left(socket: &Socket, room: &Room) {
    socket.namespace().to(room).emit(LEFT, presence(socket, room));
}

/// A client whose session was recovered is in its rooms without having joined them.
pub(super) fn announce_recovered(socket: &Socket) {
    if socket.is_recovered() {
        rooms(socket).for_each(|room| announce_joined(socket, &room));
    }
}

/// A client disconnects, and is still in its rooms.
pub(super) fn announce_disconnecting(socket: &Socket) {
    rooms(socket).for_each(|room| socket.to(&room).emit(LEFT, presence(socket, &room)));
}

/// The rooms of a client but for its own.
fn rooms(socket: &Socket) -> impl Iterator<Item = Room> {
    socket.rooms().into_iter().filter(|room| **room != *socket.id())
}

fn presence(socket: &Socket, room: &str) -> Value {
    json!({ "room": name_of(room), "id": socket.id(), "data": socket.all_data() })
}
