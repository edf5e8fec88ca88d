//! A real Redis, and servers that have joined over it.

#![allow(dead_code, reason = "not every test uses everything")]

pub(crate) mod lines;
pub(crate) mod redis_cluster;
pub(crate) mod sentinels;
pub(crate) mod server;
pub(crate) mod tls;
pub(crate) mod topology;
pub(crate) mod well;

use std::collections::HashMap;
use std::marker::PhantomData;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sockeye::{ConnectionStateRecovery, Server, ServerBuilder};
use sockeye_cluster::ClusterOptions;
use sockeye_cluster_suite::{Cluster, Node, Recovering};
use sockeye_redis::{Mode, RedisAdapter, RedisOptions, Subscription};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use topology::Topology;

/// A `redis-server` of a test. It ends with the test.
pub(crate) struct Redis {
    pub(crate) port: u16,
    process: Mutex<Option<Child>>,
}

impl Redis {
    /// One that runs.
    pub(crate) fn started() -> Self {
        let redis = Self::stopped();
        redis.start();
        redis
    }

    /// A port, and nothing there yet.
    pub(crate) fn stopped() -> Self {
        Self { port: sockeye_cluster_suite::free_port(), process: Mutex::default() }
    }

    pub(crate) fn start(&self) {
        let port = self.port.to_string();
        let folder = std::env::temp_dir().display().to_string();
        let child = Command::new("redis-server")
            .args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            // What a replica gets from its master is a file.
            .args(["--dir", &folder, "--dbfilename", &self.file()])
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        *self.process.lock() = Some(child);
        for _ in 0..1_000 {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("redis-server does not listen");
    }

    fn file(&self) -> String {
        format!("sockeye-redis-{}-{}.rdb", std::process::id(), self.port)
    }

    pub(crate) fn stop(&self) {
        if let Some(mut process) = self.process.lock().take() {
            process.kill().unwrap();
            process.wait().unwrap();
            // Mostly there is none.
            drop(std::fs::remove_file(std::env::temp_dir().join(self.file())));
        }
    }

    /// Stops it, and lets it go on: its connections stay.
    pub(crate) fn freeze(&self, is_frozen: bool) {
        let process = self.process.lock();
        let id = process.as_ref().unwrap().id().to_string();
        let signal = if is_frozen { "-STOP" } else { "-CONT" };
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    /// Sends a command.
    pub(crate) fn command<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", self.port)).unwrap();
        let mut command = redis::Cmd::new();
        command.arg(words);
        command.query(&mut client.get_connection().unwrap()).unwrap()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A way to Redis that can be cut without a word.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    pub(crate) cut: watch::Sender<Cut>,
}

/// Which connections carry nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    None,
    All,
    /// Those that listen to channels.
    Listening,
    /// Those that wait for streams.
    Reading,
}

impl Proxy {
    pub(crate) async fn to(port: u16) -> Self {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (cut, gate) = watch::channel(Cut::None);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else { continue };
                for stream in [&near, &far] {
                    stream.set_nodelay(true).unwrap();
                }
                let (near_read, near_write) = near.into_split();
                let (far_read, far_write) = far.into_split();
                let kind = Arc::new(Mutex::new(Cut::All));
                tokio::spawn(pass_on(near_read, far_write, gate.clone(), kind.clone()));
                tokio::spawn(pass_on(far_read, near_write, gate.clone(), kind));
            }
        });
        Self { address, cut }
    }
}

/// Until one side ends.
async fn pass_on(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut gate: watch::Receiver<Cut>,
    kind: Arc<Mutex<Cut>>,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(len @ 1..) = from.read(&mut buffer).await {
        let says = |word: &[u8]| buffer[..len].windows(word.len()).any(|window| window == word);
        if says(b"SUBSCRIBE\r\n") {
            *kind.lock() = Cut::Listening;
        } else if says(b"XREAD\r\n") {
            *kind.lock() = Cut::Reading;
        }
        let is_open = |cut: &Cut| *cut == Cut::None || (*cut != Cut::All && *cut != *kind.lock());
        if gate.wait_for(is_open).await.is_err() || to.write_all(&buffer[..len]).await.is_err() {
            return;
        }
    }
}

/// A mode, as a type.
pub(crate) trait Way: Send + Sync + 'static {
    const MODE: Mode;
}

macro_rules! ways {
    ($($name:ident = $mode:expr;)*) => {$(
        pub(crate) struct $name;

        impl Way for $name {
            const MODE: Mode = $mode;
        }
    )*};
}
ways! {
    Dynamic = Mode::Sharded { subscription: Subscription::Dynamic };
    Static = Mode::Sharded { subscription: Subscription::Static };
    DynamicPrivate = Mode::Sharded { subscription: Subscription::DynamicPrivate };
    Classic = Mode::Classic;
    Streams = Mode::Streams;
    Native = Mode::Native;
}

/// Servers over one Redis, or what stands for it.
pub(crate) struct Over<W, P = Redis> {
    pub(crate) redis: P,
    /// What names begin with where others are too.
    prefix: Option<String>,
    joined: Mutex<HashMap<String, (RedisAdapter, Vec<Proxy>)>>,
    way: PhantomData<W>,
}

impl<W: Way, P: Topology> Over<W, P> {
    pub(crate) fn on(redis: P) -> Self {
        let prefix = redis.is_shared().then(|| format!("test-{:08x}", rand::random::<u32>()));
        Self { redis, prefix, joined: Mutex::default(), way: PhantomData }
    }

    pub(crate) fn adapter(&self, node: &str) -> RedisAdapter {
        self.joined.lock()[node].0.clone()
    }

    /// How to get to Redis; `way` gives the port that stands for another.
    pub(crate) fn options(&self, way: &dyn Fn(u16) -> u16) -> RedisOptions {
        let mut options = self.redis.options(W::MODE, way);
        options.max_backoff = Duration::from_millis(500);
        options.channel_prefix = self.name(&options.channel_prefix);
        options.stream.name = self.name(&options.stream.name);
        options
    }

    /// The channel or stream that all nodes use for the main namespace.
    pub(crate) fn what_all_use(&self) -> String {
        match W::MODE {
            Mode::Native => format!("{}#1#/#", self.name("sockeye")),
            Mode::Streams => self.name("socket.io"),
            _ => format!("{}#/#", self.name("socket.io")),
        }
    }

    /// This name, or the one that it has where others are too.
    pub(crate) fn name(&self, usual: &str) -> String {
        self.prefix.clone().unwrap_or_else(|| usual.to_owned())
    }

    pub(crate) fn cut_only(&self, node: &str, which: Cut) {
        for proxy in &self.joined.lock()[node].1 {
            proxy.cut.send_replace(which);
        }
    }
}

impl<W: Way, P: Topology> Over<W, P> {
    async fn node(&self, builder: ServerBuilder, options: ClusterOptions) -> Node {
        let mut proxies = HashMap::new();
        for port in self.redis.ports() {
            proxies.insert(port, Proxy::to(port).await);
        }
        let metrics = options.metrics.clone();
        let mut redis = self.options(&|port| proxies[&port].address.port());
        redis.cluster = options;
        let redis = RedisAdapter::new(redis).unwrap();
        let server = builder.adapter(redis.factory()).build();
        let name = redis.node().to_string();
        self.joined.lock().insert(name.clone(), (redis, proxies.into_values().collect()));
        Node { server, name, metrics }
    }
}

impl<W: Way, P: Topology> Cluster for Over<W, P> {
    async fn start() -> Self {
        // It takes long, and other tests go on.
        Self::on(tokio::task::spawn_blocking(P::start).await.unwrap())
    }

    async fn join(&self, options: ClusterOptions) -> Node {
        self.node(Server::builder(), options).await
    }

    fn names_nodes(&self) -> bool {
        W::MODE == Mode::Native
    }

    fn cut(&self, node: &str) {
        self.cut_only(node, Cut::All);
    }

    fn heal(&self, node: &str) {
        self.cut_only(node, Cut::None);
    }

    fn send_garbage(&self) {
        let channel = self.what_all_use();
        let is_cluster = self.redis.ports().len() > 5;
        let words: &[&str] = match W::MODE {
            Mode::Native if is_cluster => &["SPUBLISH", &channel, "\u{1}nonsense"],
            Mode::Native => &["PUBLISH", &channel, "\u{1}nonsense"],
            Mode::Classic => &["PUBLISH", &channel, "nonsense"],
            Mode::Streams => &["XADD", &channel, "*", "uid", "x", "nsp", "/", "type", "3", "data", "{"],
            _ => &["SPUBLISH", &channel, "{\"type\":3"],
        };
        self.redis.command_at::<()>(&channel, words);
    }

    fn delivered(&self, node: &str) -> u64 {
        self.adapter(node).metrics().received.value()
    }
}

impl<P: Topology> Recovering for Over<Streams, P> {
    async fn join_recovering(&self, options: ClusterOptions, recovery: ConnectionStateRecovery) -> Node {
        self.node(Server::builder().connection_state_recovery(recovery), options).await
    }

    fn trim(&self) {
        let stream = self.what_all_use();
        // Where the last entry is gone, too, a node cannot tell whether it has read all.
        self.redis.command_at::<()>(&stream, &["XTRIM", &stream, "MAXLEN", "1"]);
    }

    fn refuse_to_keep(&self, is_refused: bool) {
        let stream = self.what_all_use();
        let most = if is_refused { "1" } else { "0" };
        self.redis.command_at::<()>(&stream, &["CONFIG", "SET", "maxmemory", most]);
    }
}

pub(crate) fn redis_options(address: SocketAddr, mode: Mode, cluster: ClusterOptions) -> RedisOptions {
    let mut options = RedisOptions::new(format!("redis://{address}/"), mode);
    options.cluster = cluster;
    options.max_backoff = Duration::from_millis(500);
    options
}

/// Waits until something is so.
pub(crate) async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..1_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not in 10 s: {what}");
}

/// An address on this machine.
pub(crate) fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Shared counters of a node.
pub(crate) fn cluster_options() -> (ClusterOptions, Arc<sockeye_cluster::ClusterMetrics>) {
    let options = ClusterOptions::default();
    let metrics = options.metrics.clone();
    (options, metrics)
}
