//! Some servers in one cluster, and a client on each.

use std::future::Future;
use std::time::Duration;

use futures_util::future::join_all;
use http::Method;
use sockeye::{Emit, Server, Socket};
use sockeye_cluster::ClusterOptions;

use crate::support::{Got, WebSocket, request};
use crate::{Cluster, Faults, Node};

/// Servers that have joined one cluster and know one another, each with one client in the main namespace.
pub struct Fleet<C> {
    /// What they have joined.
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

/// A client, and the id of its socket.
pub(crate) struct Client {
    pub(crate) socket: WebSocket,
    pub(crate) id: String,
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
            options.metrics = std::sync::Arc::default();
            nodes.push(cluster.join(options).await);
        }
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

    /// The harm that can be done.
    pub fn faults(&self) -> Option<&dyn Faults> {
        self.cluster.faults()
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

    /// What each client has got, in order, until there is nothing more. What must come is better waited for: [`WebSocket::text`].
    pub async fn drain(&mut self) -> Vec<Vec<String>> {
        join_all(self.clients.iter_mut().map(Client::drain)).await
    }

    /// What each client has got, in order: at least so many messages each, however long they take, and what follows them.
    pub async fn drain_at_least(&mut self, counts: &[usize]) -> Vec<Vec<String>> {
        let clients = self.clients.iter_mut().zip(counts);
        join_all(clients.map(|(client, count)| client.drain_at_least(*count))).await
    }

    /// The emit reaches just these clients.
    pub(crate) async fn reaches(&mut self, emit: &Emit, expected: &[usize]) {
        emit.emit("e", "x");
        let counts: Vec<_> = (0..self.clients.len()).map(|at| usize::from(expected.contains(&at))).collect();
        let got = self.drain_at_least(&counts).await;
        let who: Vec<_> = (0..got.len()).filter(|at| got[*at] == ["42[\"e\",\"x\"]"]).collect();
        assert_eq!(who, expected, "{got:?}");
    }
}

impl Client {
    async fn join(server: &Server) -> Self {
        let (socket, id) = WebSocket::joined(server).await;
        Self { socket, id }
    }

    /// What it has got, until there is nothing more.
    pub(crate) async fn drain(&mut self) -> Vec<String> {
        self.drain_at_least(0).await
    }

    /// At least so many messages, however long they take, and what follows them.
    async fn drain_at_least(&mut self, count: usize) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            let patience = if all.len() < count { PATIENCE } else { QUIET };
            let Ok(got) = tokio::time::timeout(patience, self.socket.next()).await else { break };
            match got {
                Got::Text(text) => all.push(text),
                Got::Binary(data) => all.push(format!("{data:?}")),
                Got::Close(_) | Got::End => break,
            }
        }
        all
    }

    /// Takes the next event, which asks for an answer, and answers. Gives the event.
    pub(crate) async fn answer(&mut self, value: &str) -> String {
        let (id, event) = self.question().await;
        self.socket.send(&format!("43{id}[{value}]")).await;
        event
    }

    /// The next event, which asks for an answer: the number, and the rest.
    pub(crate) async fn question(&mut self) -> (String, String) {
        let text = self.socket.text().await;
        let rest = text.strip_prefix("42").expect(&text);
        let at = rest.find('[').expect(&text);
        let (id, event) = rest.split_at(at);
        (id.to_owned(), event.to_owned())
    }
}

/// Starts a server: any request does.
async fn start(server: &Server) {
    let (status, _, _) = request(server, Method::GET, "/socket.io/?EIO=4&transport=none", &[], "").await;
    assert_eq!(status, 400);
}

/// Waits until something is so.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    for _ in 0..2_000 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not in 20 s: {what}");
}

/// How long what must come may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// After which silence nothing more is expected to come.
const QUIET: Duration = Duration::from_millis(300);
