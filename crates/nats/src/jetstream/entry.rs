//! An entry of the stream: the node that wrote it, the number that recovery has given it, and the message in the native form.

use bytes::{Buf, BufMut, Bytes};
use bytestring::ByteString;
use sockeye::Target;
use sockeye::adapter::Packet;
use sockeye_cluster::codec::native;
use sockeye_cluster::recovery::Position;
use sockeye_cluster::{BusError, Message, NodeId};

use crate::link::{Inbox, Link};

/// What must stay in order with events, and not be missed. Questions and answers are of the moment.
pub(crate) fn goes_to_log(message: &Message) -> bool {
    match message {
        Message::Broadcast { target, request: None, .. } => !target.flags.volatile,
        Message::JoinSockets { .. } | Message::LeaveSockets { .. } | Message::DisconnectSockets { .. } => true,
        Message::ServerSideEmit { request: None, .. } => true,
        _ => false,
    }
}

/// Writes an entry; the number is 0 where recovery has given none.
pub(crate) fn write(message: Message, number: u64, me: &NodeId, namespace: &str) -> Result<Bytes, BusError> {
    let message = native::encode(message, me, namespace).map_err(|error| BusError::Unwritable(error.to_string()))?;
    let mut entry = Vec::with_capacity(HEADER + message.len());
    entry.put_u64(number_of(me));
    entry.put_u64(number);
    entry.put_slice(&message);
    Ok(entry.into())
}

/// The event of an entry, if recovery has kept one in it.
pub(super) fn event(mut entry: Bytes, namespace: &ByteString) -> Option<(Packet, Target)> {
    let (_writer, number) = split(&mut entry)?;
    match native::decode(&entry, namespace) {
        Ok((_, Message::Broadcast { packet, target, request: None })) if number > 0 => Some((packet, target)),
        _ => None,
    }
}

impl Link {
    /// Takes an entry to its namespace.
    pub(crate) fn deliver_entry(&self, inbox: &Inbox, position: Position, mut entry: Bytes) {
        let Some(receiver) = inbox.receiver.get() else { return };
        let Some((writer, number)) = split(&mut entry) else { return receiver.handle_garbage(&"a short entry") };
        let recovery = inbox.recovery.as_ref().filter(|_| number > 0);
        if writer == number_of(&self.node) {
            if let Some(recovery) = recovery {
                recovery.handle_own(position, number, || match native::decode(&entry, &inbox.namespace) {
                    Ok((_, Message::Broadcast { packet, target, request: None })) => Some((packet, target)),
                    _ => None,
                });
            }
            return;
        }
        match (native::decode(&entry, &inbox.namespace), recovery) {
            (Ok((_, Message::Broadcast { packet, target, request: None })), Some(recovery)) => {
                self.options.cluster.metrics.received.increment();
                recovery.handle_event(position, packet, &target);
            }
            (Ok((sender, message)), _) => receiver.handle_message(sender, message),
            (Err(error), _) => receiver.handle_garbage(&error),
        }
    }
}

/// Takes the writer and the number off.
fn split(entry: &mut Bytes) -> Option<(u64, u64)> {
    (entry.len() >= HEADER).then(|| (entry.get_u64(), entry.get_u64()))
}

/// The names of nodes are numbers.
fn number_of(node: &NodeId) -> u64 {
    u64::from_str_radix(node, 16).unwrap_or_default()
}

const HEADER: usize = 16;
