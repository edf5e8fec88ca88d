//! The broker: takes frames from the nodes of a namespace to one another.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::frame;

/// The broker. A clone is another handle to the same one.
#[derive(Clone, Debug, Default)]
pub struct Hub(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// The queues of the nodes, by namespace and name.
    queues: HashMap<(Bytes, Bytes), mpsc::Sender<Bytes>>,
    /// Nodes that are cut off: for tests.
    cut: HashSet<Bytes>,
}

impl Hub {
    /// Serves nodes. Their connections end when this future is dropped.
    pub async fn serve(self, listener: TcpListener) {
        let mut nodes = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            while nodes.try_join_next().is_some() {}
            let hub = self.clone();
            // A node whose connection ends connects anew.
            nodes.spawn(async move { drop(hub.serve_node(stream).await) });
        }
    }

    /// Cuts a node off, or takes that back.
    pub fn cut(&self, node: &str, is_cut: bool) {
        let (mut state, node) = (self.0.lock(), Bytes::copy_from_slice(node.as_bytes()));
        if is_cut {
            state.cut.insert(node)
        } else {
            state.cut.remove(&node)
        };
    }

    /// A node says its namespace and its name. Then each message is two frames: the node that gets it, or nothing for all; and the
    /// message.
    async fn serve_node(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let (mut read, mut write) = stream.into_split();
        let me = (frame::read(&mut read).await?, frame::read(&mut read).await?);
        let (queue, mut waiting) = mpsc::channel(QUEUE);
        // The first frame, which is empty, tells the node that it is entered.
        drop(queue.try_send(Bytes::new()));
        self.0.lock().queues.insert(me.clone(), queue.clone());
        let reading = async {
            loop {
                let (to, message) = (frame::read(&mut read).await?, frame::read(&mut read).await?);
                self.pass_on(&me, &to, &message);
            }
        };
        let writing = async {
            while let Some(message) = waiting.recv().await {
                let mut out = Vec::new();
                frame::put(&mut out, &message)?;
                write.write_all(&out).await?;
            }
            Ok(())
        };
        let end: io::Result<()> = tokio::select! { end = reading => end, end = writing => end };
        let mut state = self.0.lock();
        // The node may have a newer connection.
        if state.queues.get(&me).is_some_and(|current| current.same_channel(&queue)) {
            state.queues.remove(&me);
        }
        end
    }

    fn pass_on(&self, (namespace, from): &(Bytes, Bytes), to: &Bytes, message: &Bytes) {
        let state = self.0.lock();
        if state.cut.contains(from) {
            return;
        }
        for ((_, node), queue) in state.queues.iter().filter(|((each, _), _)| each == namespace) {
            if node != from && (to.is_empty() || node == to) && !state.cut.contains(node) {
                // A node that is too slow misses it.
                drop(queue.try_send(message.clone()));
            }
        }
    }
}

/// How many messages may wait for a node.
const QUEUE: usize = 65_536;
