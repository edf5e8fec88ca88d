//! The rooms of one socket: most are in few, and then they are a list, which is smaller than a table and as quick.

use hashbrown::HashSet;

use crate::room::Room;

/// A set of rooms. Whether a room is in it, is found out in the same time however many there are.
#[derive(Clone, Debug)]
pub struct RoomSet(Inner);

/// As large as a list alone: every socket has one.
#[derive(Clone, Debug)]
enum Inner {
    /// In the order in which they came, until one left.
    Few(Vec<Room>),
    Many(Box<HashSet<Room>>),
}

impl Default for RoomSet {
    fn default() -> Self {
        Self(Inner::Few(Vec::new()))
    }
}

impl RoomSet {
    /// Whether the room is in it.
    pub fn contains(&self, room: &str) -> bool {
        match &self.0 {
            Inner::Few(list) => list.iter().any(|each| **each == *room),
            Inner::Many(table) => table.contains(room),
        }
    }

    /// How many rooms there are.
    pub fn len(&self) -> usize {
        match &self.0 {
            Inner::Few(list) => list.len(),
            Inner::Many(table) => table.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rooms, in no order that is promised.
    pub fn iter(&self) -> impl Iterator<Item = &Room> {
        let (list, table) = match &self.0 {
            Inner::Few(list) => (Some(list.iter()), None),
            Inner::Many(table) => (None, Some(table.iter())),
        };
        list.into_iter().flatten().chain(table.into_iter().flatten())
    }

    /// Adds a room; false if it was there.
    pub(crate) fn insert(&mut self, room: Room) -> bool {
        match &mut self.0 {
            Inner::Few(list) if list.contains(&room) => false,
            Inner::Few(list) if list.len() < MAX_LISTED => {
                list.push(room);
                true
            }
            Inner::Few(list) => {
                let table = std::mem::take(list).into_iter().chain([room]).collect();
                self.0 = Inner::Many(Box::new(table));
                true
            }
            Inner::Many(table) => table.insert(room),
        }
    }

    /// Takes a room out; false if it was not there.
    pub(crate) fn remove(&mut self, room: &str) -> bool {
        match &mut self.0 {
            Inner::Few(list) => {
                let at = list.iter().position(|each| **each == *room);
                at.map(|at| list.swap_remove(at)).is_some()
            }
            Inner::Many(table) => {
                let was_there = table.remove(room);
                if table.len() <= MAX_LISTED / 2 {
                    // Half as many as make a table, so that a socket that joins and leaves does not change it each time.
                    self.0 = Inner::Few(std::mem::take(&mut **table).into_iter().collect());
                } else if table.len() < table.capacity() / 8 {
                    table.shrink_to(table.len() * 2);
                }
                was_there
            }
        }
    }

    /// Takes out some rooms, at most `max`.
    pub(crate) fn take_some(&mut self, max: usize) -> Vec<Room> {
        match &mut self.0 {
            Inner::Few(list) => list.split_off(list.len().saturating_sub(max)),
            Inner::Many(table) => {
                let some: Vec<_> = table.iter().take(max).cloned().collect();
                for room in &some {
                    self.remove(room);
                }
                some
            }
        }
    }
}

impl<'a> FromIterator<&'a Room> for RoomSet {
    fn from_iter<T: IntoIterator<Item = &'a Room>>(rooms: T) -> Self {
        let mut set = Self::default();
        for room in rooms {
            set.insert(room.clone());
        }
        set
    }
}

/// How many rooms are kept as a list.
const MAX_LISTED: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn rooms(range: std::ops::Range<usize>) -> Vec<Room> {
        range.map(|number| Room::from(number.to_string())).collect()
    }

    #[test]
    fn it_is_no_larger_than_a_list() {
        assert_eq!(size_of::<RoomSet>(), size_of::<Vec<Room>>());
    }

    #[test]
    fn few_are_a_list_and_many_a_table() {
        let mut set = RoomSet::default();
        let all = rooms(0..10_000);
        for room in &all {
            assert!(set.insert(room.clone()));
            assert!(!set.insert(room.clone()), "it is there already");
            assert_eq!(matches!(set.0, Inner::Few(_)), set.len() <= MAX_LISTED, "{}", set.len());
        }
        assert!(set.contains("9999") && !set.contains("10000"));
        assert_eq!(set.iter().count(), 10_000);
        for room in all.iter().skip(5) {
            assert!(set.remove(room));
            assert!(!set.remove(room));
        }
        // No empty table stays behind.
        assert!(matches!(&set.0, Inner::Few(list) if list.capacity() <= MAX_LISTED), "{set:?}");
        let mut left: Vec<_> = set.iter().cloned().collect();
        left.sort();
        assert_eq!(left, rooms(0..5));
    }

    #[test]
    fn a_table_that_empties_gives_its_memory_back() {
        let mut set: RoomSet = rooms(0..10_000).iter().collect();
        for room in rooms(100..10_000) {
            set.remove(&room);
        }
        assert!(matches!(&set.0, Inner::Many(table) if table.capacity() < 1_000), "{}", set.len());
    }

    #[test]
    fn some_are_taken_out_until_none_is_left() {
        let mut set: RoomSet = rooms(0..1_000).iter().collect();
        let mut taken = Vec::new();
        while !set.is_empty() {
            let some = set.take_some(300);
            assert!(!some.is_empty() && some.len() <= 300);
            taken.extend(some);
        }
        taken.sort();
        let mut all = rooms(0..1_000);
        all.sort();
        assert_eq!(taken, all);
    }
}
