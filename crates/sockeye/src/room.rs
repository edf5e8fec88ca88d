//! Rooms, as a program names them.

use std::sync::Arc;

use smallvec::SmallVec;

/// The name of a room. A clone shares it.
pub type Room = Arc<str>;

/// One room or several.
pub trait IntoRooms {
    /// The rooms.
    fn into_rooms(self) -> SmallVec<[Room; 1]>;
}

macro_rules! one_room {
    ($($type:ty),*) => {$(
        impl IntoRooms for $type {
            fn into_rooms(self) -> SmallVec<[Room; 1]> {
                SmallVec::from_buf([Room::from(self)])
            }
        }
    )*};
}
one_room!(&str, String, Room);

impl IntoRooms for &String {
    fn into_rooms(self) -> SmallVec<[Room; 1]> {
        self.as_str().into_rooms()
    }
}

impl IntoRooms for &Room {
    fn into_rooms(self) -> SmallVec<[Room; 1]> {
        self.clone().into_rooms()
    }
}

impl<R: Into<Room>> IntoRooms for Vec<R> {
    fn into_rooms(self) -> SmallVec<[Room; 1]> {
        self.into_iter().map(Into::into).collect()
    }
}

impl<R: Into<Room>, const N: usize> IntoRooms for [R; N] {
    fn into_rooms(self) -> SmallVec<[Room; 1]> {
        self.into_iter().map(Into::into).collect()
    }
}

impl<R: Clone + Into<Room>> IntoRooms for &[R] {
    fn into_rooms(self) -> SmallVec<[Room; 1]> {
        self.iter().cloned().map(Into::into).collect()
    }
}
