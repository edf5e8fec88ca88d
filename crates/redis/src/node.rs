//! The adapter of one namespace: that of the cluster, and the journal where sessions can be recovered.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sockeye::adapter::{
    Adapter, AdapterError, AdapterFuture, Answers, Attachment, Local, Packet, RecoveredSession, RemoteSocketData, Room,
    SavedSession, ServerSideAnswers,
};
use sockeye::{Args, BroadcastAckError, JoinError, Socket, Target};
use sockeye_cluster::{ClusterAdapter, Destination, Message};

use crate::bus::RedisBus;
use crate::dispatcher::Inbox;
use crate::link::{Hub, Link};
use crate::recovery::Journal;

/// The adapter that a [`RedisAdapter`](crate::RedisAdapter) makes for a namespace.
///
/// In [`Mode::Streams`](crate::Mode::Streams), on a server with
/// [connection state recovery](sockeye::ServerBuilder::connection_state_recovery), clients are recovered on whichever node they
/// come back to. In the other modes they begin anew.
pub struct NodeAdapter {
    cluster: ClusterAdapter,
    local: Arc<Local>,
    hub: Arc<Hub>,
    inbox: Arc<Inbox>,
}

impl fmt::Debug for NodeAdapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeAdapter").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

impl NodeAdapter {
    pub(crate) fn new(hub: Arc<Hub>, local: Arc<Local>, bus: RedisBus) -> Self {
        let inbox = bus.inbox().clone();
        let cluster = ClusterAdapter::new(local.clone(), bus, hub.link.options.cluster.clone());
        Self { cluster, local, hub, inbox }
    }

    fn link(&self) -> &Link {
        &self.hub.link
    }

    fn journal(&self) -> Option<&Journal> {
        self.inbox.journal.as_ref()
    }

    /// The session of a socket has changed.
    fn note(&self, socket: &Socket) {
        if let Some(journal) = self.journal() {
            journal.note(self.link(), &self.local, socket);
        }
    }

    /// Sends an event that is not kept: to the other nodes as ever, and to the own sockets behind what waits for the stream.
    fn broadcast_unkept(&self, journal: &Journal, packet: Packet, target: &Target) {
        if !target.flags.local && self.inbox.receiver.get().is_some() {
            let message = Message::Broadcast { packet: packet.clone(), target: target.clone(), request: None };
            let written = self.inbox.wire.command(message, &Destination::All).ok().flatten();
            let link = self.link();
            link.note_published(written.is_some_and(|outgoing| link.send(outgoing)));
        }
        journal.deliver_unkept(self.link(), packet, target);
    }
}

impl Adapter for NodeAdapter {
    fn init(&self) -> AdapterFuture<'_, Result<(), AdapterError>> {
        self.cluster.init()
    }

    fn close(&self) -> AdapterFuture<'_, ()> {
        self.cluster.close()
    }

    fn server_count(&self) -> AdapterFuture<'_, Result<usize, AdapterError>> {
        self.cluster.server_count()
    }

    fn add(&self, socket: &Socket, rooms: &[Room]) -> Result<(), JoinError> {
        self.cluster.add(socket, rooms)?;
        self.note(socket);
        Ok(())
    }

    fn remove(&self, socket: &Socket, rooms: &[Room]) {
        self.cluster.remove(socket, rooms);
        self.note(socket);
    }

    fn remove_all(&self, socket: &Socket) {
        self.cluster.remove_all(socket);
        if let Some(journal) = self.journal() {
            journal.forget(self.link(), &self.local, socket);
        }
    }

    fn broadcast(&self, packet: Packet, target: &Target) {
        match self.journal() {
            None => self.cluster.broadcast(packet, target),
            Some(journal) => {
                let is_kept = packet.id.is_none() && !target.flags.volatile && !target.flags.local;
                if is_kept && self.inbox.receiver.get().is_some() {
                    journal.emit(self.link(), &self.inbox.wire, packet, target);
                } else {
                    self.broadcast_unkept(journal, packet, target);
                }
            }
        }
    }

    fn broadcast_with_ack(
        &self,
        packet: Packet,
        target: Target,
        timeout: Duration,
    ) -> AdapterFuture<'_, Result<Vec<Args>, BroadcastAckError>> {
        Box::pin(async move {
            if let Some(settled) = self.settled() {
                settled.await;
            }
            self.cluster.broadcast_with_ack(packet, target, timeout).await
        })
    }

    fn fetch_sockets(&self, target: Target) -> AdapterFuture<'_, Result<Answers<RemoteSocketData>, AdapterError>> {
        self.cluster.fetch_sockets(target)
    }

    fn add_sockets(&self, target: &Target, rooms: &[Room]) {
        self.cluster.add_sockets(target, rooms);
    }

    fn del_sockets(&self, target: &Target, rooms: &[Room]) {
        self.cluster.del_sockets(target, rooms);
    }

    fn disconnect_sockets(&self, target: &Target, close: bool) {
        self.cluster.disconnect_sockets(target, close);
    }

    fn server_side_emit(&self, event: &str, args: Args) {
        self.cluster.server_side_emit(event, args);
    }

    fn server_side_emit_with_ack(
        &self,
        event: &str,
        args: Args,
        timeout: Duration,
    ) -> AdapterFuture<'_, ServerSideAnswers> {
        self.cluster.server_side_emit_with_ack(event, args, timeout)
    }

    fn recovers(&self) -> bool {
        self.journal().is_some()
    }

    fn attach(&self, session: Option<&RecoveredSession>, enter: &mut dyn FnMut(Attachment)) {
        match self.journal() {
            None => enter(Attachment::default()),
            Some(journal) => journal.attach(self.link(), session, enter),
        }
    }

    fn session_began(&self, socket: &Socket) {
        if let Some(journal) = self.journal() {
            journal.enter(self.link(), &self.local, socket);
        }
    }

    fn session_changed(&self, socket: &Socket) {
        self.note(socket);
    }

    fn settle(&self, socket: &Socket) {
        if let Some(journal) = self.journal() {
            journal.settle(socket);
        }
    }

    fn settled(&self) -> Option<AdapterFuture<'_, ()>> {
        let journal = self.journal().filter(|journal| !journal.is_settled())?;
        Some(Box::pin(journal.settled()))
    }

    fn persist_session(&self, session: SavedSession) {
        if let Some(journal) = self.journal() {
            journal.persist(self.link(), &self.inbox.wire, session);
        }
    }

    fn restore_session(&self, private_id: &str, offset: Option<&str>) -> AdapterFuture<'_, Option<RecoveredSession>> {
        let (private_id, offset) = (private_id.to_owned(), offset.map(str::to_owned));
        Box::pin(async move {
            let journal = self.journal()?;
            journal.restore(self.link(), &self.inbox.wire, &private_id, offset.as_deref()).await
        })
    }
}
