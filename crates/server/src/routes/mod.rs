//! What clients may do, as the configuration declares it: handlers for its namespaces and events.

mod auth;
mod chain;
mod checks;
mod event;
mod kinds;
mod names;
mod pick;
mod presence;
mod refusal;
mod relay;
mod template;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sockeye::{EventContext, Server, Socket};

pub(crate) use chain::{Chain, Check};
pub(crate) use checks::{Arguments, Size};
pub(crate) use event::Shared;
pub(crate) use kinds::{Place, RouteTable};
pub(crate) use relay::OWN_EVENTS;

use crate::config::{NamespaceName, NamespaceRule, UnknownEvents};
use event::Event;
use refusal::{Refusal, refuse};

/// Tells the routes that the server stops, so that nobody is told of everybody's leaving.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stopping(Arc<AtomicBool>);

impl Stopping {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Registers the handlers of a rule on a namespace, or on all those of a pattern.
macro_rules! register {
    ($target:expr, $rule:expr, $stopping:expr) => {{
        let (target, rule): (_, &NamespaceRule) = ($target, $rule);
        let auth_data = rule.auth_data.clone();
        target.middleware(move |socket: Socket| {
            let allowed = auth::copy(&socket, &auth_data);
            async move { allowed }
        });
        if rule.shared.presence {
            target.on_connection(|socket: Socket| presence::announce_recovered(&socket));
            let stopping = $stopping.clone();
            target.on_disconnecting(move |socket: Socket| {
                if !stopping.is_set() {
                    presence::announce_disconnecting(&socket);
                }
            });
        }
        let shared = rule.shared;
        for event in &rule.events {
            let chain = event.chain.clone();
            if chain.may_wait() {
                target.on(&event.name, move |context: EventContext| handle(chain.clone(), shared, context));
            } else {
                target.on(&event.name, move |context: EventContext| handle_now(&chain, shared, &context));
            }
        }
        if rule.events.iter().any(|event| event.chain.needs_order()) {
            target.sequential();
        }
        let unknown_events = rule.unknown_events;
        target.on_fallback(move |context: EventContext| handle_unknown(unknown_events, shared, &context));
    }};
}

/// Registers everything that the rules declare. In the main namespace, which is always there, all events are refused if no
/// rule is for it.
pub(crate) fn install(server: &Server, rules: &[NamespaceRule], stopping: &Stopping) {
    let is_main = |rule: &NamespaceRule| match &rule.name {
        NamespaceName::One(name) => name == "/",
        NamespaceName::Pattern(pattern) => pattern.is_match("/"),
    };
    if !rules.iter().any(is_main) {
        server.on_fallback(|context: EventContext| refuse(&context, &Refusal::Unknown));
    }
    for rule in rules {
        match &rule.name {
            NamespaceName::One(name) => register!(server.of(name), rule, stopping),
            NamespaceName::Pattern(pattern) => register!(server.of_pattern(pattern.clone()), rule, stopping),
        }
    }
}

/// Handles an event whose chain does not wait.
fn handle_now(chain: &Chain, shared: Shared, context: &EventContext) {
    let event = Event::new(context, shared, chain.room());
    event.answer(chain.run_now(&event));
}

/// Handles an event whose chain may wait. As a handler that waits it counts against the bounds on these, of its client and of
/// the process.
async fn handle(chain: Arc<Chain>, shared: Shared, context: EventContext) {
    let event = Event::new(&context, shared, chain.room());
    event.answer(chain.run(&event).await);
}

/// Handles an event that the rules do not list.
fn handle_unknown(rule: UnknownEvents, shared: Shared, context: &EventContext) {
    let result = match rule {
        UnknownEvents::Refuse => Err(Refusal::Unknown),
        UnknownEvents::Broadcast => relay::broadcast_unknown(context),
    };
    Event::new(context, shared, None).answer(result);
}
