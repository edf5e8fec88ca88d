//! Which client is in which namespace and rooms. By fixed rules, so that it is known how many must get a message.

/// How the clients are spread over namespaces: in turn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Members {
    pub(crate) clients: u32,
    /// At most as many as clients.
    pub(crate) namespaces: u32,
}

/// The rooms of each namespace. A namespace's clients take them in turn, each as many as it joins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rooms {
    pub(crate) count: u32,
    /// At most as many as there are.
    pub(crate) per_client: u32,
}

impl Members {
    /// The number of the namespace that a client is in.
    pub(crate) fn namespace(self, client: u32) -> u32 {
        client % self.namespaces
    }

    /// How many clients are in a namespace.
    pub(crate) fn in_namespace(self, namespace: u32) -> u32 {
        (self.clients - namespace).div_ceil(self.namespaces)
    }

    /// The numbers of the rooms that a client joins.
    pub(crate) fn rooms_of(self, client: u32, rooms: Rooms) -> impl Iterator<Item = u32> {
        let first = u64::from(client / self.namespaces) * u64::from(rooms.per_client);
        (first..first + u64::from(rooms.per_client)).map(move |place| (place % u64::from(rooms.count)) as u32)
    }

    /// How many clients join a room of a namespace.
    pub(crate) fn in_room(self, namespace: u32, room: u32, rooms: Rooms) -> u32 {
        let places = u64::from(self.in_namespace(namespace)) * u64::from(rooms.per_client);
        places.saturating_sub(u64::from(room)).div_ceil(u64::from(rooms.count)) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_of_a_room_is_that_of_the_clients_that_join_it() {
        for (clients, namespaces, count, per_client) in
            [(6, 1, 2, 1), (10, 3, 4, 2), (7, 7, 5, 5), (1_000, 1, 10_000, 50), (3, 1, 100, 2), (20, 6, 9, 4)]
        {
            let members = Members { clients, namespaces };
            let rooms = Rooms { count, per_client };
            for namespace in 0..namespaces {
                let inside: Vec<_> = (0..clients).filter(|&client| members.namespace(client) == namespace).collect();
                assert_eq!(inside.len() as u32, members.in_namespace(namespace));
                let mut joined = vec![0; count as usize];
                for client in inside {
                    let mut of_client: Vec<_> = members.rooms_of(client, rooms).collect();
                    of_client.iter().for_each(|&room| joined[room as usize] += 1);
                    of_client.sort_unstable();
                    of_client.dedup();
                    assert_eq!(of_client.len() as u32, per_client, "no room twice");
                }
                for (room, &there) in joined.iter().enumerate() {
                    assert_eq!(members.in_room(namespace, room as u32, rooms), there, "{members:?} {rooms:?} {room}");
                }
            }
        }
    }
}
