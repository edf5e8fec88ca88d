//! What other nodes ask of this one.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use sockeye_protocol::socket::{Args, Packet, PacketBody};
use tokio::sync::Notify;

use super::core::Core;
use super::message::{Destination, Message, NodeId, RequestId};
use sockeye::Target;
use sockeye::adapter::AckListener;

impl Core {
    /// Does for the local sockets, or the program, what another node has sent; with a node, the answer goes there.
    pub(super) fn apply(self: &Arc<Self>, message: Message, reply_to: Option<NodeId>) {
        match message {
            Message::Broadcast { packet, target, request } => {
                if packet.namespace != self.namespace || !matches!(packet.body, PacketBody::Event { .. }) {
                    self.options
                        .metrics
                        .garbage_received(&self.namespace, &"a packet that is no event of the namespace");
                    return;
                }
                match request.zip(reply_to) {
                    Some((request, node)) => self.serve_broadcast(packet, &target, request, node),
                    None => self.local.broadcast(&packet, &target),
                }
            }
            Message::JoinSockets { target, rooms } => self.local.add_sockets(&target, &rooms),
            Message::LeaveSockets { target, rooms } => self.local.del_sockets(&target, &rooms),
            Message::DisconnectSockets { target, close } => self.local.disconnect_sockets(&target, close),
            Message::FetchSockets { target, request } => {
                if let Some(node) = reply_to {
                    let sockets = self.local.fetch_sockets(&target);
                    self.publish(Message::FetchSocketsResponse { request, sockets }, &Destination::Node(node));
                }
            }
            Message::ServerSideEmit { event, args, request } => {
                self.serve_event(&event, args, request.zip(reply_to));
            }
            // The rest is the machine's.
            _ => {}
        }
    }

    /// Lets the program handle an event, and answers if it is to.
    fn serve_event(self: &Arc<Self>, event: &str, args: Args, answer_to: Option<(RequestId, NodeId)>) {
        let Some(serving) = self.begin_serving() else { return };
        let mut future = self.local.handle_server_event(event, args);
        let core = self.clone();
        let answer = move |args: Option<Args>| {
            if let Some((args, (request, node))) = args.zip(answer_to) {
                core.publish(Message::ServerSideEmitResponse { request, args }, &Destination::Node(node));
            }
        };
        // Polled once right here, so that the handlers of one node's events start in their order.
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(args) => answer(args),
            Poll::Pending => {
                let _detached = tokio::spawn(async move {
                    answer(future.await);
                    drop(serving);
                });
            }
        }
    }

    /// Delivers a packet that the clients shall acknowledge, and passes on what they answer.
    fn serve_broadcast(self: &Arc<Self>, packet: Packet, target: &Target, request: RequestId, node: NodeId) {
        let Some(serving) = self.begin_serving() else { return };
        let timeout = target.flags.timeout.unwrap_or(self.options.request_timeout);
        let clients = Arc::new(RemoteClients {
            core: Arc::downgrade(self),
            request,
            to: Destination::Node(node),
            owed: Mutex::new(None),
            done: Notify::new(),
        });
        let listener: Arc<dyn AckListener> = clients.clone();
        let open = self.local.start_broadcast_with_ack(packet, target, &listener);
        if clients.is_done() {
            return;
        }
        let _detached = tokio::spawn(async move {
            // What comes too late counts no more.
            let _late = tokio::time::timeout(timeout, clients.done.notified()).await;
            drop((open, serving));
        });
    }

    /// Counts a question of another node that is worked at; none if there are too many.
    fn begin_serving(self: &Arc<Self>) -> Option<Serving> {
        let serving = Serving(self.clone());
        if self.served.fetch_add(1, Ordering::AcqRel) >= self.options.max_requests {
            self.options.metrics.request_refused(&self.namespace);
            return None;
        }
        Some(serving)
    }
}

/// A question of another node that is worked at, for as long as this lives.
struct Serving(Arc<Core>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.served.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Tells another node what this node's clients acknowledge.
struct RemoteClients {
    core: Weak<Core>,
    request: RequestId,
    to: Destination,
    /// How many have still to acknowledge; none until they are counted.
    owed: Mutex<Option<usize>>,
    done: Notify,
}

impl RemoteClients {
    fn send(&self, message: Message) {
        if let Some(core) = self.core.upgrade() {
            core.publish(message, &self.to);
        }
    }

    fn is_done(&self) -> bool {
        *self.owed.lock() == Some(0)
    }

    fn settle_one(&self) {
        if let Some(owed) = &mut *self.owed.lock() {
            *owed = owed.saturating_sub(1);
        }
        if self.is_done() {
            self.done.notify_one();
        }
    }
}

impl AckListener for RemoteClients {
    fn handle_count(&self, clients: usize) {
        *self.owed.lock() = Some(clients);
        self.send(Message::ClientCount { request: self.request.clone(), clients });
    }

    fn handle_ack(&self, args: Args) {
        self.send(Message::Acknowledgement { request: self.request.clone(), args });
        self.settle_one();
    }

    fn handle_loss(&self) {
        self.settle_one();
    }
}
