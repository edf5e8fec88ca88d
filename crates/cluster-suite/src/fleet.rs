//! Some servers in one cluster, and a client on each.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use http::Method;
use sockeye::{ConnectionStateRecovery, Emit, Server, Socket};
use sockeye_cluster::ClusterOptions;
use tokio::time::Instant;

use crate::client::{Client, LAST, LastWords, PATIENCE, PROBE, key};
use crate::support::request;
use crate::visitor::offset_of;
use crate::{Cluster, Node, Recovering};

/// Servers that have joined one cluster and know one another, each with one client in the main namespace.
pub struct Fleet<C> {
    /// The cluster that the servers have joined.
    pub cluster: C,
    /// The servers.
    pub nodes: Vec<Node>,
    /// The client of each.
    pub(crate) clients: Vec<Client>,
}

impl<C> std::fmt::Debug for Fleet<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fleet").field("nodes", &self.nodes).finish_non_exhaustive()
    }
}

impl<C: Cluster> Fleet<C> {
    /// So many servers.
    pub async fn of(count: usize) -> Self {
        Self::with(count, ClusterOptions::default()).await
    }

    /// So many servers, with these options.
    pub async fn with(count: usize, options: ClusterOptions) -> Self {
        let cluster = C::start().await;
        let mut nodes = Vec::new();
        for _ in 0..count {
            let mut options = options.clone();
            options.metrics = Arc::default();
            nodes.push(cluster.join(options).await);
        }
        Self::started(cluster, nodes).await
    }

    async fn started(cluster: C, nodes: Vec<Node>) -> Self {
        let count = nodes.len();
        for node in &nodes {
            start(&node.server).await;
        }
        let mut clients = Vec::new();
        for node in &nodes {
            clients.push(Client::join(&node.server).await);
        }
        let fleet = Self { cluster, nodes, clients };
        for at in 0..count {
            fleet.wait_for_count(at, count).await;
        }
        fleet
    }

    /// A server.
    pub fn server(&self, at: usize) -> &Server {
        &self.nodes[at].server
    }

    /// A server's name.
    pub fn name(&self, at: usize) -> &str {
        &self.nodes[at].name
    }

    /// The socket of a server's client.
    pub fn socket(&self, at: usize) -> Socket {
        self.server(at).main_namespace().sockets().socket(&self.clients[at].id).expect("it is connected")
    }

    /// How many nodes this one sees.
    pub async fn count(&self, at: usize) -> usize {
        self.server(at).main_namespace().adapter().server_count().await.expect("the cluster is reached")
    }

    /// Waits until this node sees so many.
    pub async fn wait_for_count(&self, at: usize, count: usize) {
        // While a node comes, it may not be able to tell.
        let adapter = self.server(at).main_namespace().adapter().clone();
        let is_so = || async { adapter.server_count().await.is_ok_and(|found| found == count) };
        eventually("the nodes know one another", is_so).await;
    }

    /// Another client of a server, in the main namespace.
    pub(crate) async fn client(&self, at: usize) -> Client {
        Client::join(self.server(at)).await
    }

    /// The messages of each client, in order: at least so many each, and all that came before the last words of every server, which are
    /// said now.
    pub async fn received(&mut self, counts: &[usize]) -> Vec<Vec<String>> {
        let last = LastWords { nodes: self.nodes.len(), ..LastWords::default() };
        let saying = say_last_words(&self.nodes, &last);
        let reading = join_all(self.clients.iter_mut().zip(counts).map(|(client, count)| client.until(&last, *count)));
        tokio::select! { got = reading => got, () = saying => unreachable!("it has no end") }
    }

    /// The same for a client that is not one of the fleet's.
    pub(crate) async fn received_by(&self, client: &mut Client, count: usize) -> Vec<String> {
        let last = LastWords { nodes: self.nodes.len(), ..LastWords::default() };
        let saying = say_last_words(&self.nodes, &last);
        tokio::select! { got = client.until(&last, count) => got, () = saying => unreachable!("it has no end") }
    }

    /// The next message of a server's client, which must be a text.
    pub async fn next(&mut self, at: usize) -> String {
        self.clients[at].text().await
    }

    /// Waits until what the server `from` emits to these rooms reaches the client of another one, which has joined them: in some
    /// clusters a subscription takes a moment. The client must have nothing to read.
    pub async fn heard_in(&mut self, from: usize, rooms: impl IntoIterator<Item: Into<String>>, at: usize) {
        let mut unheard: Vec<String> = rooms.into_iter().map(Into::into).collect();
        let (server, client) = (self.nodes[from].server.clone(), &mut self.clients[at]);
        let deadline = Instant::now() + PATIENCE;
        while !unheard.is_empty() {
            assert!(Instant::now() < deadline, "the rooms are not heard of: {unheard:?}");
            let mut probes: Vec<_> =
                unheard.drain(..).map(|room| (emit_own(&server.to(room.as_str()), PROBE), room)).collect();
            while !probes.is_empty()
                && let Some((heard, _)) = client.probe().await
            {
                probes.retain(|(probe, _)| *probe != heard);
            }
            unheard.extend(probes.into_iter().map(|(_, room)| room));
        }
    }

    /// The emit reaches just these clients.
    pub(crate) async fn reaches(&mut self, emit: &Emit, expected: &[usize]) {
        emit.emit("e", "x");
        let counts: Vec<_> = (0..self.clients.len()).map(|at| usize::from(expected.contains(&at))).collect();
        let got = self.received(&counts).await;
        let who: Vec<_> = (0..got.len()).filter(|at| got[*at] == ["42[\"e\",\"x\"]"]).collect();
        assert_eq!(who, expected, "{got:?}");
        assert!((0..got.len()).all(|at| expected.contains(&at) || got[at].is_empty()), "{got:?}");
    }
}

impl<C: Recovering> Fleet<C> {
    /// So many servers that recover clients of one another. Their events are kept from now on.
    pub async fn recovering(count: usize) -> Self {
        let cluster = C::start().await;
        let mut nodes = Vec::new();
        for _ in 0..count {
            let recovery = ConnectionStateRecovery::within(Duration::from_secs(60));
            nodes.push(cluster.join_recovering(ClusterOptions::default(), recovery).await);
        }
        let mut fleet = Self::started(cluster, nodes).await;
        for at in 0..count {
            fleet.wait_until_kept(at).await;
        }
        // Probes of the others are not read later.
        fleet.received(&vec![0; count]).await;
        fleet
    }

    /// Waits until events of this node are kept, that is, reach a client with an offset, and until the other nodes may know that.
    pub(crate) async fn wait_until_kept(&mut self, at: usize) {
        let (server, mut client, mut kept) = (self.server(at).clone(), self.client(at).await, 0);
        let deadline = Instant::now() + PATIENCE;
        while kept < ENOUGH {
            assert!(Instant::now() < deadline, "events are not kept");
            let probe = emit_own(&server.to(client.id.as_str()), PROBE);
            while let Some((heard, text)) = client.probe().await {
                if heard == probe {
                    kept += usize::from(offset_of(&text).is_some());
                    break;
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Each server emits a last event to all clients, again and again. Events that it has emitted before reach a client before that.
async fn say_last_words(nodes: &[Node], last: &LastWords) {
    loop {
        for (at, node) in nodes.iter().enumerate() {
            let number = next_number();
            last.by_key.lock().insert(key(LAST, number), at);
            node.server.emit(LAST, number);
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Emits an event of the suite itself, and gives its key.
pub(crate) fn emit_own(emit: &Emit, name: &str) -> String {
    let number = next_number();
    emit.emit(name, number);
    key(name, number)
}

fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Starts a server: any request does.
async fn start(server: &Server) {
    let (status, _, _) = request(server, Method::GET, "/socket.io/?EIO=4&transport=none", &[], "").await;
    assert_eq!(status, 400);
}

/// Waits until something is so.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not in {PATIENCE:?}: {what}");
}

/// After so many events with an offset, what the node has written before the last has been sent.
const ENOUGH: usize = 4;

/// How often last words are said again.
const AGAIN: Duration = Duration::from_secs(1);
