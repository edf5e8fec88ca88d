//! Questions of this node to the others.

use std::sync::{Arc, Weak};
use std::time::Duration;

use smallvec::SmallVec;
use sockeye_protocol::socket::{Args, Packet};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::core::Core;
use super::machine::{Machine, Outcome, Question, UNKNOWN};
use super::message::{Destination, Message, RequestId};
use sockeye::BroadcastAckError;
use sockeye::Target;
use sockeye::adapter::{AckListener, AdapterError};

impl Core {
    /// How many other nodes there are, if the bus counts them.
    pub(super) async fn count_others(&self) -> Result<Option<usize>, AdapterError> {
        if !self.bus.counts_nodes() {
            return Ok(None);
        }
        let count = self.bus.count_nodes().await.map_err(|error| AdapterError::Unreachable(error.to_string()))?;
        Ok(Some(count.saturating_sub(1)))
    }

    /// Opens a question.
    fn open(
        self: &Arc<Self>,
        question: Question,
        others: Option<usize>,
        timeout: Duration,
    ) -> Result<Open, AdapterError> {
        let deadline = Instant::now() + timeout;
        let (sender, receiver) = oneshot::channel();
        let mut state = self.state.lock();
        let request = state.machine.start(question, others, deadline.into_std()).map_err(|refusal| {
            self.options.metrics.request_refused(&self.namespace);
            AdapterError::Busy(refusal.to_string())
        })?;
        state.waiters.insert(request.clone(), sender);
        // It may be answered already, if there is nobody to ask.
        let mut effects = SmallVec::new();
        state.take_effects(&mut effects);
        drop(state);
        self.perform(&mut effects);
        Ok(Open { core: self.clone(), request, deadline, receiver })
    }

    /// Asks the other nodes, and waits for what comes in time.
    pub(super) async fn ask(
        self: &Arc<Self>,
        question: Question,
        timeout: Duration,
        message: impl FnOnce(RequestId) -> Message,
    ) -> Result<Outcome, AdapterError> {
        let others = self.count_others().await?;
        let open = self.open(question, others, timeout)?;
        if !self.publish(message(open.request.clone()), &Destination::All) {
            self.with_machine(|machine| machine.handle_unsent(&open.request));
        }
        open.outcome().await
    }

    /// Asks the target's clients, here and elsewhere, to acknowledge a packet.
    pub(super) async fn ask_clients(
        self: &Arc<Self>,
        packet: Packet,
        mut target: Target,
        timeout: Duration,
    ) -> Result<Vec<Args>, BroadcastAckError> {
        // The other nodes are to wait as long.
        target.flags.timeout = Some(timeout);
        let others = self.count_others().await;
        let is_reached = others.is_ok();
        let Ok(open) = self.open(Question::Clients, others.unwrap_or(Some(1)), timeout) else {
            return self.ask_local_clients(packet, &target, timeout).await;
        };
        let request = open.request.clone();
        let message =
            Message::Broadcast { packet: packet.clone(), target: target.clone(), request: Some(request.clone()) };
        if !self.publish(message, &Destination::All) || !is_reached {
            self.with_machine(|machine| machine.handle_unsent(&request));
        }
        let listener: Arc<dyn AckListener> = Arc::new(LocalClients { core: Arc::downgrade(self), request });
        let _open = self.local.start_broadcast_with_ack(packet, &target, &listener);
        match open.outcome().await {
            Ok(Outcome::Clients(result)) => result,
            _ => Err(BroadcastAckError::new(Vec::new(), 0, Vec::new())),
        }
    }

    /// Asks this node's clients only, as there are too many questions: the other nodes are missing.
    async fn ask_local_clients(
        &self,
        packet: Packet,
        target: &Target,
        timeout: Duration,
    ) -> Result<Vec<Args>, BroadcastAckError> {
        let mut missing: Vec<_> = self.state.lock().machine.nodes().map(|node| node.to_string()).collect();
        if self.bus.counts_nodes() {
            missing.push(UNKNOWN.to_owned());
        }
        let result = self.local.broadcast_with_ack(packet, target, timeout).await;
        match result {
            Ok(responses) if missing.is_empty() => Ok(responses),
            Ok(responses) => {
                let expected = responses.len();
                Err(BroadcastAckError::new(responses, expected, missing))
            }
            Err(error) => Err(BroadcastAckError::new(error.responses, error.expected, missing)),
        }
    }
}

/// A question that is open, for as long as this lives.
struct Open {
    core: Arc<Core>,
    request: RequestId,
    deadline: Instant,
    receiver: oneshot::Receiver<Outcome>,
}

impl Open {
    /// Waits until it ends.
    async fn outcome(mut self) -> Result<Outcome, AdapterError> {
        let gone = || AdapterError::Unreachable("the question was given up".to_owned());
        let outcome = match tokio::time::timeout_at(self.deadline, &mut self.receiver).await {
            Ok(outcome) => outcome.map_err(|_| gone())?,
            Err(_) => {
                self.core.with_machine(|machine| machine.handle_timeout(Instant::now().into_std()));
                self.receiver.try_recv().map_err(|_| gone())?
            }
        };
        if !outcome.missing().is_empty() {
            self.core.options.metrics.request_incomplete(&self.core.namespace, outcome.missing());
        }
        Ok(outcome)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut state = self.core.state.lock();
        state.machine.cancel(&self.request);
        state.waiters.remove(&self.request);
    }
}

/// Tells the machine what this node's clients acknowledge.
struct LocalClients {
    core: Weak<Core>,
    request: RequestId,
}

impl LocalClients {
    fn update(&self, change: impl FnOnce(&mut Machine, &RequestId)) {
        if let Some(core) = self.core.upgrade() {
            core.with_machine(|machine| change(machine, &self.request));
        }
    }
}

impl AckListener for LocalClients {
    fn handle_count(&self, clients: usize) {
        self.update(|machine, request| machine.handle_local_count(request, clients));
    }

    fn handle_ack(&self, args: Args) {
        self.update(|machine, request| machine.handle_local_ack(request, args));
    }

    fn handle_loss(&self) {
        self.update(Machine::handle_local_loss);
    }
}
