//! What clients may do, as the configuration declares it: handlers for its namespaces and events.

mod auth;
mod pick;
mod relay;
mod room;
mod template;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sockeye::{EventContext, Server, Socket};

pub(crate) use template::Template;

use crate::config::{NamespaceName, NamespaceRule, UnknownEvents};
use relay::{Refusal, Routes};

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

/// Registers the handlers on a namespace, or on all those of a pattern.
macro_rules! register {
    ($target:expr, $routes:expr) => {{
        let (target, routes): (_, Arc<Routes>) = ($target, $routes);
        let here = routes.clone();
        target.middleware(move |socket: Socket| {
            let allowed = auth::copy(&socket, &here.rule().auth_data);
            async move { allowed }
        });
        if routes.rule().presence {
            let here = routes.clone();
            target.on_connection(move |socket: Socket| here.announce_recovered(&socket));
            let here = routes.clone();
            target.on_disconnecting(move |socket: Socket| here.announce_leaving(&socket));
        }
        for event in &routes.rule().events {
            let (here, rule) = (routes.clone(), event.clone());
            target.on(&event.name, move |context: EventContext| here.handle(&rule, &context));
        }
        target.on_fallback(move |context: EventContext| routes.handle_unknown(&context));
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
        server.on_fallback(|context: EventContext| relay::refuse(&context, &Refusal::Unknown));
    }
    for rule in rules {
        let routes = Arc::new(Routes::new(rule.clone(), stopping.clone()));
        match &rule.name {
            NamespaceName::One(name) => register!(server.of(name), routes),
            NamespaceName::Pattern(pattern) => register!(server.of_pattern(pattern.clone()), routes),
        }
    }
}

impl Routes {
    fn handle_unknown(&self, context: &EventContext) {
        let result = match self.rule().unknown_events {
            UnknownEvents::Refuse => Err(Refusal::Unknown),
            UnknownEvents::Broadcast => relay::broadcast_unknown(context),
        };
        relay::answer(context, result);
    }
}
