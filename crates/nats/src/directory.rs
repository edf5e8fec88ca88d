//! Where the nodes of a cluster find each other's addresses: whoever owns sessions answers for itself.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, RequestErrorKind};
use parking_lot::Mutex;
use sockeye::peers::{Directory, DirectoryError, DirectoryFuture, NodeTag};
use tokio::time::sleep;

use crate::dispatcher::next;
use crate::link::{Hub, Link};

/// The addresses of nodes that forward requests to one another: see [`Server::join_peers`](sockeye::Server::join_peers).
/// [`NatsAdapter::directory`](crate::NatsAdapter::directory) makes it.
///
/// Nothing is stored: a node answers questions for its own address, on the subject `PREFIX.peer.TAG`. So JetStream is not needed, and a node
/// that has died is not known any more from that moment on.
#[derive(Clone)]
pub struct NatsDirectory {
    hub: Arc<Hub>,
    announced: Arc<Mutex<Option<(NodeTag, String)>>>,
}

impl fmt::Debug for NatsDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsDirectory").field("announced", &self.announced.lock()).finish_non_exhaustive()
    }
}

impl NatsDirectory {
    pub(crate) fn new(hub: Arc<Hub>) -> Self {
        Self { hub, announced: Arc::default() }
    }

    fn link(&self) -> &Link {
        &self.hub.link
    }

    fn subject(&self, node: NodeTag) -> String {
        format!("{}.peer.{node}", self.link().options.prefix)
    }
}

impl Directory for NatsDirectory {
    fn announce<'a>(&'a self, node: NodeTag, address: &'a str, _time_to_live: Duration) -> DirectoryFuture<'a, ()> {
        Box::pin(async move {
            let client = self.link().connected().await;
            let before = self.announced.lock().replace((node, address.to_owned()));
            if before.is_none_or(|(announced, _)| announced != node) {
                let answering = answer(self.hub.link.clone(), self.announced.clone(), node, self.subject(node));
                self.hub.spawn(answering);
            }
            client.flush().await.map_err(|error| DirectoryError(error.to_string()))
        })
    }

    fn find(&self, node: NodeTag) -> DirectoryFuture<'_, Option<String>> {
        Box::pin(async move {
            let subject = self.subject(node);
            for pause in PAUSES {
                let client: Client = self.link().connected().await;
                match client.request(subject.clone(), bytes::Bytes::new()).await {
                    Ok(answer) => return Ok(std::str::from_utf8(&answer.payload).ok().map(str::to_owned)),
                    // It may be about to connect again.
                    Err(error) if error.kind() == RequestErrorKind::NoResponders => sleep(pause).await,
                    Err(error) => return Err(DirectoryError(error.to_string())),
                }
            }
            Ok(None)
        })
    }

    fn withdraw(&self, node: NodeTag) -> DirectoryFuture<'_, ()> {
        let mut announced = self.announced.lock();
        if announced.as_ref().is_some_and(|(each, _)| *each == node) {
            *announced = None;
        }
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Answers for this node until it withdraws.
async fn answer(link: Arc<Link>, announced: Arc<Mutex<Option<(NodeTag, String)>>>, node: NodeTag, subject: String) {
    loop {
        let (client, mut subscriber) = link.subscribe(&subject.as_str().into()).await;
        while let Some(question) = next(&mut subscriber).await {
            let address = announced.lock().clone().filter(|(each, _)| *each == node).map(|(_, address)| address);
            // Without it the task and its subscription end.
            let Some(address) = address else { return };
            if let Some(reply) = question.reply {
                // Whoever has asked asks again.
                let _closed = client.publish(reply, address.into()).await;
            }
        }
    }
}

/// How long to wait before it is asked again for a node that does not answer, and at last before it counts as gone.
const PAUSES: [Duration; 3] = [Duration::from_millis(100), Duration::from_millis(300), Duration::ZERO];
