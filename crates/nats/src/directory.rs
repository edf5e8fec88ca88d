//! Where the nodes of a cluster find each other's addresses: whoever owns sessions answers for itself.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, RequestErrorKind, Subject, Subscriber};
use bytes::Bytes;
use sockeye::peers::{Directory, DirectoryError, DirectoryFuture, NodeTag};
use tokio::time::sleep;

use crate::dispatcher::next;
use crate::link::{Announced, Hub, Link};

/// The addresses of nodes that forward requests to one another: see [`Server::join_peers`](sockeye::Server::join_peers).
/// [`NatsAdapter::directory`](crate::NatsAdapter::directory) makes it.
///
/// Nothing is stored: a node answers questions for its own address, on the subject `PREFIX.peer.TAG`. So JetStream is not needed, and a node
/// that has died is not known any more from that moment on.
#[derive(Clone)]
pub struct NatsDirectory(pub(crate) Arc<Hub>);

impl fmt::Debug for NatsDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsDirectory").finish_non_exhaustive()
    }
}

impl NatsDirectory {
    fn link(&self) -> &Link {
        self.0.link()
    }

    fn subject(&self, node: NodeTag) -> Subject {
        format!("{}.peer.{node}", self.link().options.prefix).into()
    }
}

impl Directory for NatsDirectory {
    fn announce<'a>(&'a self, node: NodeTag, address: &'a str, _time_to_live: Duration) -> DirectoryFuture<'a, ()> {
        Box::pin(async move {
            if let Some(announced) = &mut *self.link().announced.lock()
                && announced.node == node
                && !announced.task.is_finished()
            {
                announced.address = address.into();
                return Ok(());
            }
            let (client, subscriber) = self.link().subscribe(&self.subject(node)).await;
            if !self.link().probe(&client).await {
                return Err(DirectoryError("NATS does not answer".to_owned()));
            }
            let task = self.0.spawn(answer(self.0.link().clone(), client, subscriber));
            let announced = Announced { node, address: address.into(), task };
            if let Some(before) = self.link().announced.lock().replace(announced) {
                before.task.abort();
            }
            Ok(())
        })
    }

    fn find(&self, node: NodeTag) -> DirectoryFuture<'_, Option<String>> {
        Box::pin(async move {
            for pause in PAUSES {
                let client = self.link().connected().await;
                match client.request(self.subject(node), Bytes::new()).await {
                    Ok(answer) => {
                        let address = std::str::from_utf8(&answer.payload).ok().filter(|address| !address.is_empty());
                        return Ok(address.map(str::to_owned));
                    }
                    // It may be about to connect again.
                    Err(error) if error.kind() == RequestErrorKind::NoResponders => sleep(pause).await,
                    Err(error) => return Err(DirectoryError(error.to_string())),
                }
            }
            Ok(None)
        })
    }

    fn withdraw(&self, node: NodeTag) -> DirectoryFuture<'_, ()> {
        // The task goes on, and says so.
        if let Some(announced) = &mut *self.link().announced.lock()
            && announced.node == node
        {
            announced.address = "".into();
        }
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Answers for this node, until the task is ended: with nothing once it has withdrawn.
async fn answer(link: Arc<Link>, client: Client, mut subscriber: Subscriber) {
    while let Some(question) = next(&mut subscriber).await {
        let address = link.announced.lock().as_ref().map(|announced| announced.address.clone());
        if let Some((reply, address)) = question.reply.zip(address) {
            // Whoever has asked asks again.
            drop(client.publish(reply, Bytes::copy_from_slice(address.as_bytes())).await);
        }
    }
}

/// How long to wait before it is asked again for a node that does not answer, and at last before it counts as gone.
const PAUSES: [Duration; 3] = [Duration::from_millis(100), Duration::from_millis(300), Duration::ZERO];
