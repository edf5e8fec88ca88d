//! A real Redis, and servers that have joined over it.

#![allow(dead_code, reason = "not every test uses everything")]

use std::collections::HashMap;
use std::marker::PhantomData;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sockeye::Server;
use sockeye::cluster::ClusterOptions;
use sockeye_cluster_suite::{Cluster, Faults, Node};
use sockeye_redis::{Mode, RedisAdapter, RedisOptions, Subscription};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

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
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        Self { port: free.local_addr().unwrap().port(), process: Mutex::default() }
    }

    pub(crate) fn start(&self) {
        let port = self.port.to_string();
        let child = Command::new("redis-server")
            .args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
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

    pub(crate) fn stop(&self) {
        if let Some(mut process) = self.process.lock().take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
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

/// Servers over one Redis.
pub(crate) struct Over<W> {
    pub(crate) redis: Redis,
    joined: Mutex<HashMap<String, (RedisAdapter, Proxy)>>,
    way: PhantomData<W>,
}

impl<W: Way> Over<W> {
    pub(crate) fn adapter(&self, node: &str) -> RedisAdapter {
        self.joined.lock()[node].0.clone()
    }
}

impl<W: Way> Cluster for Over<W> {
    async fn start() -> Self {
        Self { redis: Redis::started(), joined: Mutex::default(), way: PhantomData }
    }

    async fn join(&self, options: ClusterOptions) -> Node {
        let proxy = Proxy::to(self.redis.port).await;
        let metrics = options.metrics.clone();
        let redis = RedisAdapter::new(redis_options(proxy.address, W::MODE, options)).unwrap();
        let server = Server::builder().adapter(redis.factory()).build();
        let name = redis.node().to_string();
        self.joined.lock().insert(name.clone(), (redis, proxy));
        Node { server, name, metrics }
    }

    fn names_nodes(&self) -> bool {
        W::MODE == Mode::Native
    }

    fn faults(&self) -> Option<&dyn Faults> {
        Some(self)
    }
}

impl<W: Way> Faults for Over<W> {
    fn cut(&self, node: &str) {
        self.joined.lock()[node].1.is_cut.send_replace(true);
    }

    fn heal(&self, node: &str) {
        self.joined.lock()[node].1.is_cut.send_replace(false);
    }

    fn send_garbage(&self) {
        self.redis.command::<()>(match W::MODE {
            Mode::Native => &["PUBLISH", "sockeye#1#/#", "\u{1}nonsense"],
            Mode::Classic => &["PUBLISH", "socket.io#/#", "nonsense"],
            Mode::Streams => &["XADD", "socket.io", "*", "uid", "x", "nsp", "/", "type", "3", "data", "{"],
            _ => &["SPUBLISH", "socket.io#/#", "{\"type\":3"],
        });
    }

    fn delivered(&self, node: &str) -> Option<u64> {
        let routes = matches!(
            W::MODE,
            Mode::Native | Mode::Sharded { subscription: Subscription::Dynamic | Subscription::DynamicPrivate }
        );
        routes.then(|| self.adapter(node).metrics().received.value())
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
pub(crate) fn cluster_options() -> (ClusterOptions, Arc<sockeye::cluster::ClusterMetrics>) {
    let options = ClusterOptions::default();
    let metrics = options.metrics.clone();
    (options, metrics)
}
