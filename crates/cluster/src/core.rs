//! The core of an adapter on one node: the machine, the bus, and how the machine's effects are carried out.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use smallvec::SmallVec;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::adapter::ClusterOptions;
use super::bus::{Bus, Receiver};
use super::confirmations::Confirmations;
use super::machine::{Effect, Machine, Outcome};
use super::message::{Destination, Message, RequestId, Sender};
use super::recent_joins::RecentJoins;
use super::recovery::Recovery;
use sockeye::Target;
use sockeye::adapter::Local;

/// The state that the adapter shares with its driver and its bus.
pub(super) struct Core {
    pub(super) namespace: String,
    pub(super) local: Arc<Local>,
    pub(super) options: ClusterOptions,
    /// Questions of other nodes that are being worked at.
    pub(super) served: AtomicUsize,
    pub(super) bus: Arc<dyn Bus>,
    pub(super) recovery: Option<Arc<Recovery>>,
    /// Where the bus routes by interest.
    pub(super) confirmations: Option<Arc<Confirmations>>,
    /// The same.
    pub(super) recent_joins: Option<RecentJoins>,
    pub(super) state: Mutex<State>,
    pub(super) is_closed: AtomicBool,
    pub(super) closed: Arc<Notify>,
}

pub(super) struct State {
    pub(super) machine: Machine,
    pub(super) waiters: HashMap<RequestId, oneshot::Sender<Outcome>>,
}

impl Core {
    /// Recovery of the namespace's sessions, if there is any.
    pub(super) fn recovery(&self) -> Option<&Recovery> {
        self.recovery.as_deref()
    }

    /// Sends a message; a failure is counted.
    pub(super) fn publish(&self, message: Message, to: &Destination) -> bool {
        match self.bus.publish(message, to) {
            Ok(()) => {
                self.options.metrics.published.increment();
                true
            }
            Err(error) => {
                self.options.metrics.publish_failed(&self.namespace, &error);
                false
            }
        }
    }

    /// Sends what the other nodes shall do, unless it is for this node only.
    pub(super) fn tell(&self, target: &Target, message: impl FnOnce() -> Message) {
        if !target.flags.local {
            self.publish(message(), &Destination::All);
        }
    }

    /// Lets `change` change the machine, then does what it says.
    pub(super) fn with_machine<T>(&self, change: impl FnOnce(&mut Machine) -> T) -> T {
        let mut effects = SmallVec::<[Effect; 1]>::new();
        let mut state = self.state.lock();
        let result = change(&mut state.machine);
        state.take_effects(&mut effects);
        drop(state);
        self.perform(&mut effects);
        result
    }

    /// Counts the nodes again, where they tell one another that they are there.
    pub(super) fn note_nodes(&self) {
        if self.namespace == "/" && !self.bus.counts_nodes() {
            let others = self.state.lock().machine.nodes().count();
            self.options.metrics.set_nodes(others + 1);
        }
    }

    pub(super) fn perform(&self, effects: &mut SmallVec<[Effect; 1]>) {
        let metrics = &self.options.metrics;
        for effect in effects.drain(..) {
            match effect {
                Effect::Publish(message, to) => drop(self.publish(message, &to)),
                Effect::Joined(node) => {
                    self.note_nodes();
                    tracing::info!(namespace = self.namespace, %node, "a node has come");
                }
                Effect::Left { node, is_lost } => {
                    self.note_nodes();
                    match is_lost {
                        true => metrics.node_lost(&self.namespace, &node),
                        false => tracing::info!(namespace = self.namespace, %node, "a node has gone"),
                    }
                }
                Effect::Garbage(reason) => metrics.garbage_received(&self.namespace, &reason),
                // The waiter got it under the lock.
                Effect::Complete(..) => {}
            }
        }
    }
}

impl State {
    /// Takes the machine's effects; who waits for an answer gets it.
    pub(super) fn take_effects(&mut self, effects: &mut SmallVec<[Effect; 1]>) {
        while let Some(effect) = self.machine.poll_effect() {
            match effect {
                Effect::Complete(request, outcome) => {
                    if let Some(waiter) = self.waiters.remove(&request) {
                        // The asker may have given up.
                        drop(waiter.send(outcome));
                    }
                }
                effect => effects.push(effect),
            }
        }
    }
}

/// Takes the messages that the bus brings.
pub(super) struct Inbound(pub(super) Weak<Core>);

impl Receiver for Inbound {
    fn handle_message(&self, sender: Sender, message: Message) {
        let Some(core) = self.0.upgrade() else { return };
        core.options.metrics.received.increment();
        let now = Instant::now().into_std();
        if let Some((message, reply_to)) = core.with_machine(|machine| machine.handle_message(sender, message, now)) {
            core.apply(message, reply_to);
        }
    }

    fn handle_garbage(&self, reason: &dyn fmt::Display) {
        if let Some(core) = self.0.upgrade() {
            core.options.metrics.garbage_received(&core.namespace, reason);
        }
    }
}

/// Sends heartbeats and finds out who is silent, until the adapter is closed. Questions keep their deadlines themselves.
pub(super) async fn drive(core: Weak<Core>) {
    loop {
        let Some(strong) = core.upgrade().filter(|core| !core.is_closed.load(Ordering::Acquire)) else { return };
        strong.with_machine(|machine| machine.handle_timeout(Instant::now().into_std()));
        let Some(next) = strong.state.lock().machine.poll_timeout() else { return };
        // A namespace that is let go of does not stay for its driver.
        let closed = strong.closed.clone();
        drop(strong);
        tokio::select! {
            () = tokio::time::sleep_until(next.into()) => {}
            () = closed.notified() => return,
        }
    }
}
