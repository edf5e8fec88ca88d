//! What all parts of a server share: its sessions, timers, shards, bounds and counters.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use sockeye_protocol::engine::{OpenPacket, SessionConfig, TransportKind};
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::addresses::Addresses;
use crate::budget::{Accounts, Ledger};
use crate::metrics::Metrics;
use crate::options::{Limits, Options};
use crate::peers::Peers;
use crate::registry::Registry;
use crate::request::Interner;
use crate::shard::{self, Driven, Flusher, Poller, Undecoded, Wheel};
use crate::work::{Running, Work};

/// The sessions of a server, and all that they share. An [`Application`](crate::Application) owns the engine of its connections:
/// `Engine<Conn<Self>>`.
pub struct Engine<C> {
    pub(crate) options: Options,
    pub(crate) limits: Limits,
    pub(crate) session: SessionConfig,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) accounts: Accounts,
    pub(crate) registry: Registry<Arc<C>>,
    pub(crate) wheel: Arc<Wheel<C>>,
    pub(crate) flusher: Arc<Flusher<C>>,
    pub(crate) poller: Poller<C>,
    pub(crate) undecoded: Arc<Undecoded>,
    pub(crate) interner: Interner,
    pub(crate) addresses: Arc<Addresses>,
    /// The other nodes, once the server has joined them.
    pub(crate) peers: OnceLock<Arc<Peers>>,
    started: AtomicBool,
    /// Where the server was started: for what begins on a thread of the program that has no runtime.
    runtime: OnceLock<Handle>,
    next_shard: AtomicUsize,
    /// What a close waits for.
    pub(crate) work: Arc<Work>,
    /// Long-polling clients that still have to be told of the end of their sessions.
    pub(crate) farewells: Arc<Work>,
    /// For each client whose compression context is kept, a clone.
    pub(crate) deflate_contexts: Arc<()>,
    pub(crate) closing: watch::Sender<bool>,
    /// Nobody has to be told of the close any more: no more connections are accepted.
    pub(crate) stopping: watch::Sender<bool>,
    /// The close is over: all is delivered, or had its time.
    pub(crate) ended: watch::Sender<bool>,
}

impl<C> fmt::Debug for Engine<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("path", &self.options.path).finish_non_exhaustive()
    }
}

impl<C: Driven> Engine<C> {
    /// An engine that has not started.
    pub fn new(mut options: Options, limits: Limits) -> Self {
        options.mount();
        let ledger = Arc::new(Ledger::new(&options.budgets));
        Self {
            session: options.session(),
            addresses: Addresses::new(options.trusted_proxies.clone()),
            options,
            limits,
            metrics: Arc::default(),
            accounts: Accounts::new(ledger.clone()),
            ledger,
            registry: Registry::new(),
            wheel: Arc::new(Wheel::new()),
            flusher: Arc::default(),
            poller: Poller::default(),
            undecoded: Arc::default(),
            interner: Interner::default(),
            peers: OnceLock::new(),
            started: AtomicBool::new(false),
            runtime: OnceLock::new(),
            next_shard: AtomicUsize::new(0),
            work: Arc::default(),
            farewells: Arc::default(),
            deflate_contexts: Arc::default(),
            closing: watch::Sender::new(false),
            stopping: watch::Sender::new(false),
            ended: watch::Sender::new(false),
        }
    }

    /// The options.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The bounds of one client, and of all.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The counters.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// What the server holds for all clients, by what holds it.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// The prefix of the request paths that are the server's.
    pub fn mount_path(&self) -> &str {
        &self.options.mount_path
    }

    /// Whether the server has started.
    pub fn is_started(&self) -> bool {
        self.started.load(Ordering::Acquire)
    }

    /// Runs a future of a connection beside everything else. [`Server::close`](crate::Server::close) waits for it.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        let running = self.begin_work();
        self.spawn_aside(async move {
            future.await;
            drop(running);
        });
    }

    /// Runs a future that [`Server::close`](crate::Server::close) does not wait for.
    pub fn spawn_aside(&self, future: impl Future<Output = ()> + Send + 'static) {
        let Some(runtime) = Handle::try_current().ok().or_else(|| self.runtime.get().cloned()) else {
            // Before the start there is no connection that could wait for it.
            return tracing::warn!("outside of a runtime, and before the start, nothing can run");
        };
        let _detached = runtime.spawn(future);
    }

    /// Something has begun that [`Server::close`](crate::Server::close) waits for, until what is given back is dropped.
    pub(crate) fn begin_work(&self) -> Running {
        Work::begin(&self.work)
    }

    /// A long-polling client has to be told of the end of its session, and has to come for that, until what is given back is
    /// dropped. Requests are accepted until then.
    pub(crate) fn begin_farewell(&self) -> Running {
        Work::begin(&self.farewells)
    }

    pub(crate) fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    /// Waits until the server closes.
    pub(crate) async fn closed(&self) {
        // The sender lives in the server, so the wait cannot fail.
        drop(self.closing.subscribe().wait_for(|closing| *closing).await);
    }

    /// Waits until the server accepts nothing any more: it closes, and all long-polling clients were told, or had their time.
    pub(crate) async fn stopped(&self) {
        drop(self.stopping_signal().wait_for(|stopping| *stopping).await);
    }

    /// Waits until the close is over.
    pub(crate) async fn ended(&self) {
        drop(self.ended.subscribe().wait_for(|ended| *ended).await);
    }

    /// Tells when the server accepts nothing any more, or is gone, without holding it.
    pub(crate) fn stopping_signal(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    pub(crate) fn next_shard(&self) -> u16 {
        let next = self.next_shard.fetch_add(1, Ordering::Relaxed) % self.flusher.len();
        u16::try_from(next).unwrap_or(0)
    }

    /// The text of the open packet.
    pub(crate) fn open_packet(&self, sid: &str, transport: TransportKind) -> String {
        let options = &self.options;
        let upgrades: Vec<_> = match options.allow_upgrades {
            true => {
                transport.upgrades().iter().copied().filter(|upgrade| options.transports.contains(upgrade)).collect()
            }
            false => Vec::new(),
        };
        OpenPacket {
            sid,
            upgrades: &upgrades,
            ping_interval: options.ping_interval,
            ping_timeout: options.ping_timeout,
            max_payload: options.max_http_buffer_size,
        }
        .to_json()
    }
}

/// Starts the timers and the shards, in the runtime of the caller. They end with the owner of the engine. False if they have started.
pub(crate) fn start<C: Driven, O: Send + Sync + 'static>(engine: &Engine<C>, owner: &Weak<O>) -> bool {
    if engine.started.swap(true, Ordering::AcqRel) {
        return false;
    }
    let _only_here = engine.runtime.set(Handle::current());
    spawn_driver(owner.clone(), engine.wheel.clone().run());
    for shard in shard::all(&engine.flusher, &engine.poller) {
        spawn_driver(owner.clone(), shard.run(engine.options.dedicated_threads));
    }
    true
}

/// Runs a driver until the server is gone: it holds the server's parts, not the server.
fn spawn_driver<O: Send + Sync + 'static>(owner: Weak<O>, driver: impl Future<Output = ()> + Send + 'static) {
    let _detached = tokio::spawn(async move {
        let gone = async {
            while owner.strong_count() > 0 {
                tokio::time::sleep(std::time::Duration::from_secs(5)).await;
            }
        };
        tokio::select! {
            () = driver => {}
            () = gone => {}
        }
    });
}
