//! The bus of one namespace.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use sockeye::adapter::{AdapterFuture, Local, Room};
use sockeye_cluster::recovery::Recovery;
use sockeye_cluster::{Bus, BusError, Confirmation, Destination, Message, NodeId, Receiver};

use crate::bus::inbox::Inbox;
use crate::bus::wire::Wire;
use crate::connection::Role;
use crate::link::{Hub, Link};
use crate::options::Mode;
use crate::{recovery, tasks};

/// One namespace of a server.
pub(crate) struct RedisBus {
    hub: Arc<Hub>,
    inbox: Arc<Inbox>,
    is_open: AtomicBool,
}

impl fmt::Debug for RedisBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBus").field("wire", self.wire()).finish_non_exhaustive()
    }
}

impl RedisBus {
    pub(crate) fn new(hub: Arc<Hub>, local: &Arc<Local>) -> Self {
        let wire = Arc::new(Wire::new(&hub.link().options, &hub.link().node, &local.namespace()));
        let recovery = (hub.link().options.mode == Mode::Streams)
            .then(|| recovery::of(hub.link(), &wire, local, &hub.link().node))
            .flatten();
        let inbox = Arc::new(Inbox { wire, local: Arc::downgrade(local), receiver: OnceLock::new(), recovery });
        Self { hub, inbox, is_open: AtomicBool::new(false) }
    }

    /// Recovery of the namespace's sessions, if there is any.
    pub(crate) fn recovery(&self) -> Option<Arc<Recovery>> {
        self.inbox.recovery.clone()
    }

    fn link(&self) -> &Link {
        self.hub.link()
    }

    fn wire(&self) -> &Wire {
        &self.inbox.wire
    }

    fn leave(&self) {
        self.link().table.leave(&self.inbox);
        if self.is_open.swap(false, Ordering::AcqRel) {
            self.hub.leave(Link::end);
        }
    }
}

impl Bus for RedisBus {
    fn node(&self) -> &NodeId {
        &self.link().node
    }

    fn open(&self, receiver: Arc<dyn Receiver>) -> AdapterFuture<'_, Result<(), BusError>> {
        Box::pin(async {
            if self.inbox.receiver.set(receiver).is_err() {
                return Err(BusError::Closed);
            }
            let link = self.link();
            link.table.enter(&self.inbox);
            if let Some(recovery) = &self.inbox.recovery {
                recovery.begin();
            }
            self.hub.enter(|tasks| tasks::start(tasks, self.link()));
            self.is_open.store(true, Ordering::Release);
            let channels = self.wire().own_channels();
            // Not for refusals to be over: nothing tells of that.
            let is_heard = || channels.iter().all(|channel| link.table.is_heard(channel));
            link.health.wait_until(|| link.check_connections().is_ok() && is_heard()).await;
            Ok(())
        })
    }

    fn publish(&self, message: Message, to: &Destination) -> Result<(), BusError> {
        if !self.is_open.load(Ordering::Acquire) {
            return Err(BusError::Closed);
        }
        let is_volatile = matches!(&message, Message::Broadcast { target, .. } if target.flags.volatile);
        if is_volatile && !self.link().health.is_working(Role::Publishing) {
            self.link().metrics.dropped_volatile.increment();
            return Ok(());
        }
        let sending = self.wire().command(message, to).map_err(|error| BusError::Unwritable(error.to_string()))?;
        let Some(outgoing) = sending else { return Ok(()) };
        self.link().send(outgoing).then_some(()).ok_or(BusError::Full)
    }

    fn routes_by_interest(&self) -> bool {
        self.wire().routes_by_interest()
    }

    fn subscribe(&self, room: &Room, confirmation: Confirmation) {
        if let Some(channel) = self.wire().room_channel(room) {
            self.link().table.want(&channel, &self.inbox, Some(confirmation));
        }
    }

    fn unsubscribe(&self, room: &Room) {
        if let Some(channel) = self.wire().room_channel(room) {
            self.link().table.unwant(&channel);
        }
    }

    fn counts_nodes(&self) -> bool {
        self.wire().counts_nodes()
    }

    fn count_nodes(&self) -> AdapterFuture<'_, Result<usize, BusError>> {
        Box::pin(async {
            let counted = self.link().count_subscribers(&self.wire().counted_channel()).await;
            counted.map_err(|error| BusError::Unreachable(error.to_string()))
        })
    }

    fn close(&self) -> AdapterFuture<'_, ()> {
        Box::pin(async {
            self.link().flush().await;
            self.leave();
        })
    }
}

impl Drop for RedisBus {
    fn drop(&mut self) {
        self.leave();
    }
}
