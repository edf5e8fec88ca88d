//! An emit to one client: its flags, and its acknowledgement.

use std::time::Duration;

use sockeye_protocol::socket::{FromArgs, IntoArgs, Packet, PacketBody};
use tokio::sync::oneshot;

use super::Socket;
use crate::ack::{self, Waiter};
use crate::adapter::SessionRecovery;
use crate::emit::event_packet;
use crate::encode::encode;
use crate::error::{AckError, EmitError};
use crate::room::Room;
use crate::target::{Flags, Target};

/// An emit to one client, with flags.
#[derive(Clone, Debug)]
#[must_use = "nothing is sent until `emit`"]
pub struct SocketEmit<'a> {
    pub(super) socket: &'a Socket,
    pub(super) flags: Flags,
}

impl SocketEmit<'_> {
    /// See [`Socket::timeout`].
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.flags.timeout = Some(timeout);
        self
    }

    /// See [`Socket::volatile`].
    pub fn volatile(mut self) -> Self {
        self.flags.volatile = true;
        self
    }

    /// See [`Socket::compress`].
    pub fn compress(mut self, compress: bool) -> Self {
        self.flags.compress = compress;
        self
    }

    /// See [`Socket::emit`].
    pub fn emit(self, event: &str, args: impl IntoArgs) {
        let socket = self.socket;
        if let Err(error) = self.try_emit(event, args) {
            socket.conn().app().metrics.emit_failed(event, &error);
        }
    }

    /// See [`Socket::try_emit`].
    ///
    /// # Errors
    ///
    /// The name is reserved, or an argument cannot be encoded. Nothing was sent.
    pub fn try_emit(self, event: &str, args: impl IntoArgs) -> Result<(), EmitError> {
        let socket = self.socket;
        let packet = event_packet(&socket.0.namespace, event, args)?;
        if socket.0.namespace.adapter().recovery().is_some() {
            // The event must be in the log that a recovered session is replayed from. The adapter tells the listeners.
            let target = Target {
                rooms: [Room::from(socket.id())].into_iter().collect(),
                flags: self.flags,
                ..Target::default()
            };
            socket.0.namespace.adapter().broadcast(packet, &target);
        } else if !socket.has_ended() {
            // Its client may be back in the namespace with another socket, or try to be: this is not for that one.
            self.notify_outgoing(event, &packet);
            let parser = socket.conn().app().options.parser;
            socket.deliver(encode(&packet, parser, self.flags.compress), self.flags.volatile);
        }
        Ok(())
    }

    /// See [`Socket::emit_with_ack`].
    ///
    /// # Errors
    ///
    /// No answer in time, the client went away, its answer does not fit, or the event could not be sent.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the acknowledgement; the event may have been sent.
    pub async fn emit_with_ack<T: FromArgs>(self, event: &str, args: impl IntoArgs) -> Result<T, AckError> {
        let socket = self.socket;
        let mut packet = event_packet(&socket.0.namespace, event, args)?;
        self.notify_outgoing(event, &packet);
        if let Some(drained) = socket.0.namespace.adapter().recovery().and_then(SessionRecovery::drained) {
            drained.await;
        }
        let id = socket.0.namespace.next_ack_id();
        let (sender, receiver) = oneshot::channel();
        ack::try_enter(socket, id, Waiter::One(sender))?;
        packet.id = Some(id);
        let parser = socket.conn().app().options.parser;
        socket.deliver(encode(&packet, parser, self.flags.compress), self.flags.volatile);
        let args = ack::wait_for(socket, id, receiver, self.flags.timeout).await?;
        T::from_args(args).map_err(AckError::Mismatch)
    }

    fn notify_outgoing(&self, event: &str, packet: &Packet) {
        let listeners = self.socket.0.namespace.listeners();
        if listeners.has_outgoing()
            && let PacketBody::Event { args, .. } = &packet.body
        {
            listeners.notify_outgoing(self.socket, event, args);
        }
    }
}
