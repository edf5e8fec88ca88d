//! The bus of one namespace.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parking_lot::Mutex;
use sockeye::adapter::{AdapterFuture, Local};
use sockeye_cluster::codec::native;
use sockeye_cluster::recovery::Recovery;
use sockeye_cluster::{Bus, BusError, Destination, Message, NodeId, Receiver};
use tokio::task::AbortHandle;

use crate::jetstream::{self, Kept};
use crate::link::{Hub, Inbox, Outgoing};
use crate::subject::Subjects;
use crate::tasks;

/// One namespace of a server.
pub(crate) struct NatsBus {
    hub: Arc<Hub>,
    inbox: Arc<Inbox>,
    /// What takes its messages, while it is open.
    task: Mutex<Option<AbortHandle>>,
    is_open: AtomicBool,
}

impl fmt::Debug for NatsBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsBus").field("subjects", &self.inbox.subjects).finish_non_exhaustive()
    }
}

impl NatsBus {
    pub(crate) fn new(hub: Arc<Hub>, local: &Arc<Local>) -> Self {
        let namespace = local.namespace();
        let inbox = Inbox {
            subjects: Subjects::new(&hub.link().options.prefix, &namespace),
            namespace: namespace.into(),
            local: Arc::downgrade(local),
            receiver: OnceLock::new(),
            recovery: jetstream::recovery(hub.link(), local),
            is_subscribed: AtomicBool::new(false),
        };
        Self { hub, inbox: Arc::new(inbox), task: Mutex::default(), is_open: AtomicBool::new(false) }
    }

    /// Recovery of the namespace's sessions, if there is any.
    pub(crate) fn recovery(&self) -> Option<Arc<Recovery>> {
        self.inbox.recovery.clone()
    }

    fn leave(&self) {
        self.is_open.store(false, Ordering::Release);
        if let Some(task) = self.task.lock().take() {
            task.abort();
            tasks::leave(&self.hub, &self.inbox);
        }
    }
}

impl Bus for NatsBus {
    fn node(&self) -> &NodeId {
        &self.hub.link().node
    }

    fn open(&self, receiver: Arc<dyn Receiver>) -> AdapterFuture<'_, Result<(), BusError>> {
        Box::pin(async {
            if self.inbox.receiver.set(receiver).is_err() {
                return Err(BusError::Closed);
            }
            if let Some(recovery) = &self.inbox.recovery {
                recovery.begin();
            }
            *self.task.lock() = Some(tasks::enter(&self.hub, &self.inbox));
            self.is_open.store(true, Ordering::Release);
            let link = self.hub.link();
            link.health.wait_until(|| self.inbox.is_subscribed.load(Ordering::Acquire) && link.check().is_ok()).await;
            Ok(())
        })
    }

    fn publish(&self, message: Message, to: &Destination) -> Result<(), BusError> {
        if !self.is_open.load(Ordering::Acquire) {
            return Err(BusError::Closed);
        }
        let Inbox { subjects, namespace, .. } = &*self.inbox;
        let link = self.hub.link();
        if link.options.jetstream.is_some() && !matches!(to, Destination::Node(_)) && jetstream::goes_to_log(&message) {
            let entry = jetstream::write(message, 0, &link.node, namespace)?;
            return link.send(Outgoing::kept(Kept::Log, subjects.log.clone(), entry));
        }
        let subject = match to {
            Destination::Node(node) => subjects.node(node),
            Destination::AllNodes => subjects.all.clone(),
            Destination::All => message.room().map_or_else(|| subjects.all.clone(), |room| subjects.room(room)),
        };
        let is_volatile = matches!(&message, Message::Broadcast { target, request: None, .. } if target.flags.volatile);
        let payload = native::encode(message, &link.node, namespace);
        let payload = payload.map_err(|error| BusError::Unwritable(error.to_string()))?;
        link.send(Outgoing { subject, payload: Bytes::from(payload), is_volatile, kept: None })
    }

    fn close(&self) -> AdapterFuture<'_, ()> {
        Box::pin(async {
            self.hub.link().flush().await;
            self.leave();
        })
    }
}

impl Drop for NatsBus {
    fn drop(&mut self) {
        self.leave();
    }
}
