//! Namespaces: their sockets, their handlers, and how an event gets from one to the other.

mod dispatch;
mod parent;
mod register;

use std::collections::HashMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::task::Poll;

use bytestring::ByteString;
use parking_lot::RwLock;
use sockeye_protocol::socket::{Args, IntoArgs, Packet};

pub(crate) use dispatch::dispatch;
pub use parent::ParentNamespace;
pub(crate) use parent::{Matcher, Parent};
pub(crate) use register::{emit_methods, register_methods};

use crate::adapter::{Adapter, AdapterFuture, Local};
use crate::emit::Emit;
use crate::error::EmitError;
use crate::handler::Listeners;
use crate::reserved::check_server_event;
use crate::server::ServerInner;
use crate::socket::Socket;
use crate::target::Target;
use crate::telemetry::Metrics;
use sockeye_engine::internal::panic_text;

/// A namespace: a channel of its own over the shared connection. A clone is another handle to the same.
#[derive(Clone)]
pub struct Namespace(Arc<Inner>);

/// A handle that does not keep the namespace alive.
#[derive(Clone)]
pub(crate) struct WeakNamespace(Weak<Inner>);

type ServerEventHandler = Arc<dyn Fn(Args) -> AdapterFuture<'static, Option<Args>> + Send + Sync>;

struct Inner {
    name: ByteString,
    server: Weak<ServerInner>,
    metrics: Arc<Metrics>,
    listeners: Arc<Listeners>,
    local: Arc<Local>,
    adapter: OnceLock<Arc<dyn Adapter>>,
    parent: Option<Arc<Parent>>,
    /// The program named it, so that it may have handlers of its own.
    is_named: bool,
    /// Clients that are about to join, or not to.
    joining: AtomicUsize,
    ack_ids: AtomicU64,
    /// The adapter has been told to begin.
    begun: AtomicBool,
    server_events: RwLock<HashMap<String, Vec<ServerEventHandler>>>,
}

impl Namespace {
    pub(crate) fn new(
        server: &Arc<ServerInner>,
        name: ByteString,
        parent: Option<Arc<Parent>>,
        is_named: bool,
    ) -> Self {
        let inner = Arc::new_cyclic(|weak: &Weak<Inner>| {
            let local = Local::new(WeakNamespace(weak.clone()), server.options.clone(), server.ledger().clone());
            Inner {
                // Each packet has a handle of the name; those of a constant are not counted.
                name: if name == "/" { ByteString::from_static("/") } else { name },
                server: Arc::downgrade(server),
                metrics: server.metrics.clone(),
                listeners: match &parent {
                    Some(parent) => Arc::new(Listeners::with_parent(parent.listeners.clone())),
                    None => Arc::default(),
                },
                local: Arc::new(local),
                adapter: OnceLock::new(),
                parent,
                is_named,
                joining: AtomicUsize::new(0),
                ack_ids: AtomicU64::new(0),
                begun: AtomicBool::new(false),
                server_events: RwLock::default(),
            }
        });
        let namespace = Self(inner);
        let adapter = (server.adapter)(namespace.0.local.clone());
        let _only_here = namespace.0.adapter.set(adapter);
        namespace
    }

    register_methods!();
    emit_methods!();

    /// The name, with its leading slash.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The namespace's sockets and rooms on this node.
    pub fn sockets(&self) -> &Arc<Local> {
        &self.0.local
    }

    /// The adapter.
    #[allow(clippy::missing_panics_doc, reason = "it is set in the constructor")]
    pub fn adapter(&self) -> &Arc<dyn Adapter> {
        self.0.adapter.get().expect("it is set in the constructor")
    }

    /// Calls `handler` on an event that another node's program sent with
    /// [`server_side_emit`](Self::server_side_emit). What it gives is the answer, where the sender asked for one.
    ///
    /// Several handlers of one event are called one after the other, in the order in which they were registered, and the first
    /// answer counts.
    pub fn on_server_event<F, Fut>(&self, event: &str, handler: F)
    where
        F: Fn(Args) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Option<Args>> + Send + 'static,
    {
        let handler: ServerEventHandler = Arc::new(move |args| Box::pin(handler(args)));
        self.0.server_events.write().entry(event.to_owned()).or_default().push(handler);
    }

    pub(crate) fn handle_server_event(&self, event: &str, args: Args) -> AdapterFuture<'static, Option<Args>> {
        let handlers = self.0.server_events.read().get(event).cloned().unwrap_or_default();
        let namespace = self.clone();
        Box::pin(async move {
            let mut first = None;
            for handler in handlers {
                let args = args.clone();
                let mut future = Box::pin(async move { handler(args).await });
                // The task that drives it is the adapter's, on which all else between the nodes depends.
                let answer = poll_fn(|context| {
                    let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
                    polled.map_or_else(|panic| Poll::Ready(Err(panic_text(&*panic))), |poll| poll.map(Ok))
                });
                match answer.await {
                    Ok(answer) => first = first.or(answer),
                    Err(panic) => namespace.metrics().listener_panicked(namespace.name(), &panic),
                }
            }
            first
        })
    }

    pub(crate) fn downgrade(&self) -> WeakNamespace {
        WeakNamespace(Arc::downgrade(&self.0))
    }

    pub(crate) fn name_shared(&self) -> &ByteString {
        &self.0.name
    }

    pub(crate) fn listeners(&self) -> &Arc<Listeners> {
        &self.0.listeners
    }

    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.0.metrics
    }

    pub(crate) fn emitter(&self) -> Emit {
        Emit::new(self.clone())
    }

    pub(crate) fn broadcast(&self, packet: Packet, target: &Target) {
        self.adapter().broadcast(packet, target);
    }

    pub(crate) fn parent(&self) -> Option<&Arc<Parent>> {
        self.0.parent.as_ref()
    }

    pub(crate) fn key(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    /// Whether no client is in it, nor about to join.
    pub(crate) fn is_unused(&self) -> bool {
        self.0.joining.load(Ordering::Acquire) == 0 && self.0.local.is_empty()
    }

    /// Whether it is only there because a client once asked for it: nobody but the caller's table holds it.
    pub(crate) fn is_evictable(&self) -> bool {
        self.0.parent.is_some() && !self.0.is_named && Arc::strong_count(&self.0) == 1 && self.is_unused()
    }

    /// True for the first caller, who lets the adapter begin.
    pub(crate) fn begin(&self) -> bool {
        !self.0.begun.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn next_ack_id(&self) -> u64 {
        self.0.ack_ids.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn remove(&self, socket: &Socket) {
        self.adapter().remove_all(socket);
    }

    /// Lets go of a namespace that a pattern made and that has no socket left, if the options say so.
    pub(crate) fn cleanup_if_empty(&self) {
        if self.0.parent.is_some()
            && let Some(server) = self.0.server.upgrade()
            && server.options.cleanup_empty_child_namespaces
            && self.is_unused()
        {
            server.remove_child(self);
        }
    }
}

/// A namespace that a client is about to join: it is not let go of for as long as this lives.
pub(crate) struct Joining(Namespace);

impl Joining {
    pub(crate) fn new(namespace: &Namespace) -> Self {
        namespace.0.joining.fetch_add(1, Ordering::AcqRel);
        Self(namespace.clone())
    }
}

impl Deref for Joining {
    type Target = Namespace;

    fn deref(&self) -> &Namespace {
        &self.0
    }
}

impl Drop for Joining {
    fn drop(&mut self) {
        self.0.0.joining.fetch_sub(1, Ordering::AcqRel);
        // The client may not have been welcome, or be gone again already.
        self.0.cleanup_if_empty();
    }
}

impl WeakNamespace {
    pub(crate) fn upgrade(&self) -> Option<Namespace> {
        self.0.upgrade().map(Namespace)
    }
}

impl PartialEq for Namespace {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Namespace").field("name", &self.name()).finish_non_exhaustive()
    }
}

/// The arguments of an event between servers.
pub(crate) fn server_event_args(event: &str, args: impl IntoArgs) -> Result<Args, EmitError> {
    check_server_event(event)?;
    Ok(args.into_args()?)
}
