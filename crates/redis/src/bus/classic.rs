//! What comes in the classic mode, which has questions that no other mode has: they are answered here.

use bytes::Bytes;
use sockeye::adapter::Local;
use sockeye::{Socket, Target};
use sockeye_cluster::{BusError, Destination, RequestId, Sender};

use crate::bus::inbox::Inbox;
use crate::codec::classic::{self, Channel, Incoming};
use crate::link::Link;
use sockeye_cluster::codec::CodecError;

impl Link {
    /// Brings what came in a channel to its namespace. Broadcasts for a room without members here are not read.
    pub(crate) fn deliver_classic(&self, inbox: &Inbox, channel: &[u8], data: &Bytes) {
        let (Some(receiver), Some(local)) = (inbox.receiver.get(), inbox.local.upgrade()) else { return };
        let name = String::from_utf8_lossy(channel);
        let channel = match inbox.wire.classic().find(&name) {
            Some(Channel::Broadcast(Some(room))) if !local.has_room(room) => None,
            channel => channel,
        };
        let Some(channel) = channel else { return self.metrics.skipped.increment() };
        match classic::decode(channel, data, inbox.wire.namespace()) {
            Ok((sender, Incoming::Message(message))) => receiver.handle_message(sender, message),
            Ok((sender, Incoming::OneSocket { socket, message, request })) => {
                if local.socket(&socket).is_some() {
                    receiver.handle_message(sender.clone(), message);
                    if let Some(request) = request {
                        self.answer(inbox, sender, classic::encode_done(&request));
                    }
                }
            }
            Ok((sender, Incoming::Sockets { rooms, request })) => {
                let mut target = Target::default();
                target.rooms = rooms.into();
                let sockets = local.sockets(&target);
                self.answer(inbox, sender, classic::encode_sockets(&request, sockets.iter().map(Socket::id)));
            }
            Ok((sender, Incoming::AllRooms { request })) => {
                self.answer(inbox, sender, encode_rooms(&request, &local));
            }
            Ok((_, Incoming::OtherAnswer)) => {}
            Err(error) => receiver.handle_garbage(&error),
        }
    }

    /// Sends an answer that is none of the messages that all adapters have.
    fn answer(&self, inbox: &Inbox, asked_by: Sender, written: Result<Vec<u8>, CodecError>) {
        let to = match asked_by {
            Sender::Node(node) => Destination::Node(node),
            _ => Destination::All,
        };
        let channel = inbox.wire.classic().answer(&to);
        let sent = written.map_err(|error| error.to_string()).and_then(|payload| {
            let outgoing = inbox.wire.publication(channel.as_bytes(), &payload);
            self.send(outgoing).then_some(()).ok_or_else(|| BusError::Full.to_string())
        });
        if let Err(error) = sent {
            tracing::warn!(namespace = &**inbox.wire.namespace(), error, "a question of another node is not answered");
        }
    }
}

/// All rooms, as official nodes count them: each socket has one of its own.
fn encode_rooms(request: &RequestId, local: &Local) -> Result<Vec<u8>, CodecError> {
    let (rooms, sockets) = (local.rooms(), local.sockets(&Target::default()));
    let names = rooms.iter().map(|(room, _)| &**room).chain(sockets.iter().map(Socket::id));
    classic::encode_rooms(request, names)
}
