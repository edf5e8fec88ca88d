//! The handlers of a namespace: registered once, shared by all its sockets.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use compact_str::CompactString;
use hashbrown::HashMap;
use smallvec::SmallVec;
use sockeye_protocol::socket::Args;

use super::{EventContext, Handler, Step, call_listener};
use crate::error::ConnectError;
use crate::socket::Socket;

/// A handler whose type is forgotten.
pub(crate) type Erased = Arc<dyn Fn(EventContext) -> Step + Send + Sync>;

/// Handlers to be called: mostly one.
pub(crate) type Handlers = SmallVec<[Erased; 1]>;

/// What is registered now, for a moment: a pattern's table, if there is one, and the namespace's own.
pub(crate) type Tables = SmallVec<[Guard<Arc<Table>>; 2]>;

type MiddlewareFuture = Pin<Box<dyn Future<Output = Result<(), ConnectError>> + Send>>;
/// Decides on a connection.
pub(crate) type Middleware = Arc<dyn Fn(Socket) -> MiddlewareFuture + Send + Sync>;
type EventMiddlewareFuture = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;
/// Decides on an event.
pub(crate) type EventMiddleware = Arc<dyn Fn(EventContext) -> EventMiddlewareFuture + Send + Sync>;
/// Sees what goes out.
pub(crate) type OutgoingListener = Arc<dyn Fn(&Socket, &str, &Args) + Send + Sync>;
/// Hears of an event that a middleware refused.
pub(crate) type ErrorListener = Arc<dyn Fn(&EventContext, &str) + Send + Sync>;

/// Handlers that are not for an event of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Connection,
    Disconnecting,
    Disconnect,
    Any,
    /// Events that have no handler.
    Fallback,
}

/// What is registered now. Replaced as a whole, so that reading it takes no lock.
#[derive(Clone, Default)]
pub(crate) struct Table {
    pub(crate) events: HashMap<CompactString, Vec<Erased>>,
    pub(crate) connection: Vec<Erased>,
    pub(crate) disconnecting: Vec<Erased>,
    pub(crate) disconnect: Vec<Erased>,
    pub(crate) any: Vec<Erased>,
    pub(crate) fallback: Vec<Erased>,
    pub(crate) middlewares: Vec<Middleware>,
    pub(crate) event_middlewares: Vec<EventMiddleware>,
    pub(crate) outgoing: Vec<OutgoingListener>,
    pub(crate) errors: Vec<ErrorListener>,
    /// Events of a socket are handled one at a time.
    pub(crate) sequential: bool,
}

impl Table {
    pub(crate) fn of(&self, kind: Kind) -> &[Erased] {
        match kind {
            Kind::Connection => &self.connection,
            Kind::Disconnecting => &self.disconnecting,
            Kind::Disconnect => &self.disconnect,
            Kind::Any => &self.any,
            Kind::Fallback => &self.fallback,
        }
    }

    fn of_mut(&mut self, kind: Kind) -> &mut Vec<Erased> {
        match kind {
            Kind::Connection => &mut self.connection,
            Kind::Disconnecting => &mut self.disconnecting,
            Kind::Disconnect => &mut self.disconnect,
            Kind::Any => &mut self.any,
            Kind::Fallback => &mut self.fallback,
        }
    }
}

/// The handlers of one namespace, and those of the pattern that made it.
#[derive(Default)]
pub(crate) struct Listeners {
    table: ArcSwap<Table>,
    parent: Option<Arc<Self>>,
}

impl Listeners {
    pub(crate) fn with_parent(parent: Arc<Self>) -> Self {
        Self { table: ArcSwap::default(), parent: Some(parent) }
    }

    /// The tables that apply: the parent's first, as its listeners are there before a child's own.
    pub(crate) fn tables(&self) -> Tables {
        let mut tables = Tables::new();
        if let Some(parent) = &self.parent {
            tables.push(parent.table.load());
        }
        tables.push(self.table.load());
        tables
    }

    pub(crate) fn update(&self, change: impl Fn(&mut Table)) {
        self.table.rcu(|table| {
            let mut table = Table::clone(table);
            change(&mut table);
            table
        });
    }

    pub(crate) fn on<M, H: Handler<M>>(&self, event: &str, handler: H) {
        let erased = erase(handler);
        self.update(|table| table.events.entry(event.into()).or_default().push(erased.clone()));
    }

    pub(crate) fn add<M, H: Handler<M>>(&self, kind: Kind, handler: H) {
        let erased = erase(handler);
        self.update(|table| table.of_mut(kind).push(erased.clone()));
    }

    /// Every handler of a kind.
    pub(crate) fn of(&self, kind: Kind) -> Handlers {
        let mut all = Handlers::new();
        for table in self.tables() {
            all.extend(table.of(kind).iter().cloned());
        }
        all
    }

    pub(crate) fn middlewares(&self) -> Vec<Middleware> {
        self.tables().iter().flat_map(|table| table.middlewares.clone()).collect()
    }

    pub(crate) fn has_outgoing(&self) -> bool {
        self.tables().iter().any(|table| !table.outgoing.is_empty())
    }

    pub(crate) fn notify_outgoing(&self, socket: &Socket, event: &str, args: &Args) {
        for table in self.tables() {
            for listener in &table.outgoing {
                // The event may be that of another node: then it is the task that brings all of theirs.
                call_listener(socket.namespace(), || listener(socket, event, args));
            }
        }
    }
}

impl fmt::Debug for Listeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listeners").field("events", &self.table.load().events.keys()).finish_non_exhaustive()
    }
}

fn erase<M, H: Handler<M>>(handler: H) -> Erased {
    Arc::new(move |context| handler.call(context))
}
