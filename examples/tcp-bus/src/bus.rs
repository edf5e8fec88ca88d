//! The bus: one connection to the hub for each namespace.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytestring::ByteString;
use parking_lot::Mutex;
use sockeye::adapter::AdapterFuture;
use sockeye_cluster::codec::native;
use sockeye_cluster::link::Queue;
use sockeye_cluster::{Bus, BusError, ClusterMetrics, Destination, Message, NodeId, Receiver, contain, supervise};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::frame;

/// The bus of one namespace on one node.
#[derive(Debug)]
pub struct TcpBus {
    link: Arc<Link>,
    /// The task that has the connection. It ends when this is dropped.
    task: Mutex<JoinSet<()>>,
}

/// The state that the bus shares with its task.
struct Link {
    hub: SocketAddr,
    node: NodeId,
    namespace: ByteString,
    metrics: Arc<ClusterMetrics>,
    receiver: OnceLock<Arc<dyn Receiver>>,
    /// Messages that wait to be written, as the bytes of their two frames.
    outgoing: Queue<Vec<u8>>,
    is_connected: watch::Sender<bool>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("hub", &self.hub).field("node", &self.node).finish_non_exhaustive()
    }
}

impl TcpBus {
    /// A bus over the hub at this address.
    pub fn new(hub: SocketAddr, node: NodeId, namespace: &str, metrics: Arc<ClusterMetrics>) -> Self {
        let link = Link {
            hub,
            node,
            namespace: namespace.into(),
            metrics,
            receiver: OnceLock::new(),
            outgoing: Queue::new(MAX_OUTGOING_BYTES),
            is_connected: watch::Sender::new(false),
        };
        Self { link: Arc::new(link), task: Mutex::default() }
    }
}

impl Bus for TcpBus {
    fn node(&self) -> &NodeId {
        &self.link.node
    }

    fn open(&self, receiver: Arc<dyn Receiver>) -> AdapterFuture<'_, Result<(), BusError>> {
        Box::pin(async {
            if self.link.receiver.set(receiver).is_err() {
                return Err(BusError::Closed);
            }
            let link = self.link.clone();
            self.task.lock().spawn(async move {
                let failed = |_: &str| {
                    link.is_connected.send_replace(false);
                };
                supervise("the connection to the hub", &link.metrics, failed, || run(link.clone())).await;
            });
            let mut is_connected = self.link.is_connected.subscribe();
            is_connected.wait_for(|is_connected| *is_connected).await.map_err(|_| BusError::Closed)?;
            Ok(())
        })
    }

    fn publish(&self, message: Message, to: &Destination) -> Result<(), BusError> {
        let link = &self.link;
        if link.receiver.get().is_none() {
            return Err(BusError::Closed);
        }
        let is_volatile = matches!(&message, Message::Broadcast { target, request: None, .. } if target.flags.volatile);
        if is_volatile && !*link.is_connected.borrow() {
            return Err(BusError::Unreachable("there is no connection to the hub".to_owned()));
        }
        let to: &str = match to {
            Destination::Node(node) => node,
            _ => "",
        };
        let unwritable = |error: &dyn std::fmt::Display| BusError::Unwritable(error.to_string());
        let message = native::encode(message, &link.node, &link.namespace).map_err(|error| unwritable(&error))?;
        let mut frames = Vec::with_capacity(message.len() + to.len() + 8);
        frame::put(&mut frames, to.as_bytes())
            .and_then(|()| frame::put(&mut frames, &message))
            .map_err(|error| unwritable(&error))?;
        let bytes = frames.len();
        link.outgoing.push(frames, bytes).map_err(|_| BusError::Full)
    }

    fn close(&self) -> AdapterFuture<'_, ()> {
        Box::pin(async {
            // Without a connection it would wait for ever.
            drop(timeout(CLOSE_TIMEOUT, self.link.outgoing.drained()).await);
            self.task.lock().abort_all();
        })
    }
}

/// Has a connection for as long as it is polled.
async fn run(link: Arc<Link>) {
    loop {
        let Err(error) = link.serve().await;
        if link.is_connected.send_replace(false) {
            tracing::warn!(%error, "the connection to the hub was lost");
        }
        sleep(PAUSE).await;
    }
}

impl Link {
    /// One connection, until it ends.
    async fn serve(&self) -> io::Result<std::convert::Infallible> {
        let stream = TcpStream::connect(self.hub).await?;
        stream.set_nodelay(true)?;
        let (mut read, mut write) = stream.into_split();
        let mut hello = Vec::new();
        frame::put(&mut hello, self.namespace.as_bytes())?;
        frame::put(&mut hello, self.node.as_bytes())?;
        write.write_all(&hello).await?;
        // The empty frame: from here on nothing of the others is missed.
        frame::read(&mut read).await?;
        self.is_connected.send_replace(true);
        let reading = async {
            loop {
                self.take(&frame::read(&mut read).await?);
            }
        };
        let writing = async {
            loop {
                let frames = self.outgoing.take(BATCH).await;
                let written = write.write_all(&frames.concat()).await;
                self.outgoing.note_done();
                if let Err(error) = written {
                    tracing::warn!(messages = frames.len(), "these messages may not have arrived");
                    return Err(error);
                }
            }
        };
        tokio::select! { end = reading => end, end = writing => end }
    }

    fn take(&self, message: &bytes::Bytes) {
        let Some(receiver) = self.receiver.get() else { return };
        // A panic costs this message.
        contain("a message", &self.metrics, || match native::decode(message, &self.namespace) {
            Ok((sender, message)) => receiver.handle_message(sender, message),
            Err(error) => receiver.handle_garbage(&error),
        });
    }
}

/// How many bytes may wait for the hub.
const MAX_OUTGOING_BYTES: usize = 16 << 20;

/// About how many are written at once.
const BATCH: usize = 64 << 10;

/// How long to wait before the next attempt to connect.
const PAUSE: Duration = Duration::from_millis(200);

/// How long a bus that closes waits until its messages have been written.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
