//! The adapter of a single node, with connection state recovery in memory.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sockeye_protocol::socket::{Args, Packet, PacketBody};

use super::log::{EventLog, Sessions};
use super::{
    Adapter, AdapterError, AdapterFuture, Answers, Attachment, Local, RecoveredSession, RemoteSocketData, SavedSession,
    ServerSideAnswers, SessionRecovery,
};
use crate::error::{BroadcastAckError, JoinError};
use crate::options::ConnectionStateRecovery;
use crate::room::Room;
use crate::socket::Socket;
use crate::target::Target;

/// Serves a single node. The default.
pub struct MemoryAdapter {
    local: Arc<Local>,
    recovery: Option<Recovery>,
}

struct Recovery {
    log: Mutex<EventLog>,
    sessions: Mutex<Sessions>,
}

impl fmt::Debug for MemoryAdapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryAdapter").field("local", &self.local).finish_non_exhaustive()
    }
}

impl MemoryAdapter {
    /// An adapter for the namespace; with `recovery`, its events are logged and its sessions kept.
    pub fn new(local: Arc<Local>, recovery: Option<ConnectionStateRecovery>) -> Self {
        let recovery = recovery.map(|options| Recovery {
            log: Mutex::new(EventLog::new(options.max_disconnection_duration, options.max_log_bytes, local.ledger())),
            sessions: Mutex::new(Sessions::new(
                options.max_disconnection_duration,
                options.max_sessions,
                local.ledger(),
            )),
        });
        Self { local, recovery }
    }
}

impl Adapter for MemoryAdapter {
    fn add(&self, socket: &Socket, rooms: &[Room]) -> Result<(), JoinError> {
        self.local.add(socket, rooms)
    }

    fn remove(&self, socket: &Socket, rooms: &[Room]) {
        self.local.remove(socket, rooms);
    }

    fn remove_all(&self, socket: &Socket) {
        self.local.remove_all(socket);
    }

    fn broadcast(&self, mut packet: Packet, target: &Target) {
        let Some(recovery) = &self.recovery else { return self.local.broadcast(&packet, target) };
        let is_kept = packet.id.is_none() && !target.flags.volatile;
        self.local.notify_outgoing(&packet, target);
        match &mut packet.body {
            PacketBody::Event { args, .. } if is_kept => {
                // The lock is held until the packet is in the outboxes, so that every client gets events in the order of
                // their offsets: what it got last then tells all that it missed.
                let mut log = recovery.log.lock();
                args.push_str(&log.next_offset());
                log.push(packet.clone(), target.clone());
                self.local.deliver(&packet, target);
            }
            // A client takes for an offset whatever string it gets last: the one that it has already follows.
            PacketBody::Event { args, .. } if packet.id.is_none() && args.ends_with_string() => {
                let log = recovery.log.lock();
                args.push_str(&log.last_offset());
                self.local.deliver(&packet, target);
            }
            _ => self.local.deliver(&packet, target),
        }
    }

    fn broadcast_with_ack(
        &self,
        packet: Packet,
        target: Target,
        timeout: Duration,
    ) -> AdapterFuture<'_, Result<Vec<Args>, BroadcastAckError>> {
        Box::pin(async move { self.local.broadcast_with_ack(packet, &target, timeout).await })
    }

    fn fetch_sockets(&self, target: Target) -> AdapterFuture<'_, Result<Answers<RemoteSocketData>, AdapterError>> {
        Box::pin(std::future::ready(Ok(Answers::complete(self.local.fetch_sockets(&target)))))
    }

    fn add_sockets(&self, target: &Target, rooms: &[Room]) {
        self.local.add_sockets(target, rooms);
    }

    fn del_sockets(&self, target: &Target, rooms: &[Room]) {
        self.local.del_sockets(target, rooms);
    }

    fn disconnect_sockets(&self, target: &Target, close: bool) {
        self.local.disconnect_sockets(target, close);
    }

    fn server_side_emit(&self, event: &str, _args: Args) {
        tracing::debug!(event, "server-side emit: there are no other nodes");
    }

    fn server_side_emit_with_ack(
        &self,
        _event: &str,
        _args: Args,
        _timeout: Duration,
    ) -> AdapterFuture<'_, ServerSideAnswers> {
        Box::pin(std::future::ready(Ok(Answers::default())))
    }

    fn recovery(&self) -> Option<&dyn SessionRecovery> {
        self.recovery.as_ref().map(|recovery| recovery as &dyn SessionRecovery)
    }
}

impl SessionRecovery for Recovery {
    fn attach(&self, session: Option<&RecoveredSession>, enter: &mut dyn FnMut(Attachment)) {
        let log = self.log.lock();
        let missed = session.and_then(|session| log.since(session.log_position.parse().ok()?, &session.rooms));
        enter(Attachment { log_position: log.position().to_string(), missed });
    }

    fn persist_session(&self, session: SavedSession) {
        self.sessions.lock().insert(session);
    }

    fn restore_session(&self, private_id: &str, offset: Option<&str>) -> AdapterFuture<'_, Option<RecoveredSession>> {
        Box::pin(std::future::ready(self.restore(private_id, offset)))
    }
}

impl Recovery {
    fn restore(&self, private_id: &str, offset: Option<&str>) -> Option<RecoveredSession> {
        let session = self.sessions.lock().take(private_id)?;
        let mut log = self.log.lock();
        let missed = log.missed(&session, offset)?;
        Some(RecoveredSession {
            id: session.id,
            private_id: session.private_id,
            rooms: session.rooms,
            data: session.data,
            log_start: session.log_start,
            missed,
            log_position: log.position().to_string(),
        })
    }
}
