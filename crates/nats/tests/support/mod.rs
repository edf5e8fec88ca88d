//! A real NATS, and servers that have joined over it.

#![allow(dead_code, reason = "not every test uses everything")]

pub(crate) mod server;

use std::collections::HashMap;
use std::marker::PhantomData;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use server::{CURRENT, OLD, Server as Nats};
use sockeye::{Args, ConnectionStateRecovery, Server, ServerBuilder};
use sockeye_cluster::ClusterOptions;
use sockeye_cluster_suite::{Cluster, Node, Recovering};
use sockeye_nats::{JetStreamOptions, NatsAdapter, NatsOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A way to NATS that can be cut without a word.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    pub(crate) is_cut: watch::Sender<bool>,
}

impl Proxy {
    pub(crate) async fn to(port: u16) -> Self {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (is_cut, gate) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else { continue };
                for stream in [&near, &far] {
                    stream.set_nodelay(true).unwrap();
                }
                let (near_read, near_write) = near.into_split();
                let (far_read, far_write) = far.into_split();
                tokio::spawn(pass_on(near_read, far_write, gate.clone()));
                tokio::spawn(pass_on(far_read, near_write, gate.clone()));
            }
        });
        Self { address, is_cut }
    }
}

/// Until one side ends.
async fn pass_on(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut gate: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(len @ 1..) = from.read(&mut buffer).await {
        if gate.wait_for(|is_cut| !is_cut).await.is_err() || to.write_all(&buffer[..len]).await.is_err() {
            return;
        }
    }
}

/// A version of NATS, and whether JetStream is used, as a type.
pub(crate) trait Version: Send + Sync + 'static {
    const PROGRAM: &str;
    const JETSTREAM: bool = false;
}

pub(crate) struct Current;
pub(crate) struct Old;
pub(crate) struct JetStream;
pub(crate) struct OldJetStream;

impl Version for Current {
    const PROGRAM: &str = CURRENT;
}

impl Version for Old {
    const PROGRAM: &str = OLD;
}

impl Version for JetStream {
    const PROGRAM: &str = CURRENT;
    const JETSTREAM: bool = true;
}

impl Version for OldJetStream {
    const PROGRAM: &str = OLD;
    const JETSTREAM: bool = true;
}

/// Servers over one NATS.
pub(crate) struct Over<V> {
    nats: Nats,
    joined: Mutex<HashMap<String, Proxy>>,
    version: PhantomData<V>,
}

impl<V: Version> Over<V> {
    async fn node(&self, builder: ServerBuilder, options: ClusterOptions) -> Node {
        let proxy = Proxy::to(self.nats.port).await;
        let metrics = options.metrics.clone();
        let mut nats = NatsOptions::new(format!("nats://{}", proxy.address));
        nats.cluster = options;
        nats.jetstream = V::JETSTREAM.then(JetStreamOptions::default);
        let nats = NatsAdapter::new(nats).unwrap();
        let server = builder.adapter(nats.factory()).build();
        let name = nats.node().to_string();
        self.joined.lock().insert(name.clone(), proxy);
        Node { server, name, metrics }
    }
}

impl<V: Version> Cluster for Over<V> {
    async fn start() -> Self {
        // It takes a while, and other tests go on.
        let start = || match V::JETSTREAM {
            true => Nats::start_with_jetstream(V::PROGRAM),
            false => Nats::start_as(V::PROGRAM, ""),
        };
        let nats = tokio::task::spawn_blocking(start).await.unwrap();
        Self { nats, joined: Mutex::default(), version: PhantomData }
    }

    async fn join(&self, options: ClusterOptions) -> Node {
        self.node(Server::builder(), options).await
    }

    fn cut(&self, node: &str) {
        self.joined.lock()[node].is_cut.send_replace(true);
    }

    fn heal(&self, node: &str) {
        self.joined.lock()[node].is_cut.send_replace(false);
    }

    fn send_garbage(&self) {
        self.nats.publish("sockeye.to.%2F.all", b"\x01nonsense");
    }
}

impl<V: Version> Recovering for Over<V> {
    async fn join_recovering(&self, options: ClusterOptions, recovery: ConnectionStateRecovery) -> Node {
        self.node(Server::builder().connection_state_recovery(recovery), options).await
    }

    fn trim(&self) {
        self.nats.ask("$JS.API.STREAM.PURGE.sockeye");
    }
}

/// Waits until something is so.
pub(crate) async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..6_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not in 60 s: {what}");
}

/// A server that has joined, and what it hears of the event `e`.
pub(crate) struct Joined {
    pub(crate) nats: NatsAdapter,
    pub(crate) server: Server,
    pub(crate) heard: Arc<Mutex<Vec<u64>>>,
}

impl Joined {
    pub(crate) fn new(options: NatsOptions) -> Self {
        let nats = NatsAdapter::new(options).unwrap();
        let server = Server::builder().adapter(nats.factory()).build();
        let heard: Arc<Mutex<Vec<u64>>> = Arc::default();
        let log = heard.clone();
        server.main_namespace().on_server_event("e", move |args: Args| {
            log.lock().extend(args.deserialize::<u64>());
            async { None }
        });
        Self { nats, server, heard }
    }

    /// Makes it join, which may take until NATS is there.
    pub(crate) fn open(&self) -> JoinHandle<()> {
        let adapter = self.server.main_namespace().adapter().clone();
        tokio::spawn(async move { adapter.init().await.unwrap() })
    }

    pub(crate) async fn opened(options: NatsOptions) -> Self {
        let joined = Self::new(options);
        joined.open().await.unwrap();
        joined
    }

    /// Tells the others; whether it could be sent.
    pub(crate) fn say(&self, number: u64) {
        self.server.server_side_emit("e", number).unwrap();
    }

    pub(crate) async fn hears(&self, number: u64) {
        eventually(&format!("{number} is heard"), || self.heard.lock().contains(&number)).await;
    }

    /// What one says the other hears, and the other way round.
    pub(crate) async fn talks_with(&self, other: &Self) {
        let numbers: (u64, u64) = rand::random();
        self.say(numbers.0);
        other.hears(numbers.0).await;
        other.say(numbers.1);
        self.hears(numbers.1).await;
    }

    pub(crate) async fn becomes_healthy(&self) {
        eventually("it is healthy", || self.nats.check().is_ok()).await;
    }

    /// Waits until it is not, and gives the reason.
    pub(crate) async fn becomes_unhealthy(&self) -> String {
        eventually("it is not healthy", || self.nats.check().is_err()).await;
        self.nats.check().unwrap_err().to_string()
    }
}
