//! Takes what waits to NATS.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_nats::connection::State;
use tokio::task::unconstrained;
use tokio::time::{Instant, sleep, timeout};

use crate::jetstream::Kept;
use crate::link::{Link, Outgoing};
use crate::{parts, subject};

/// Runs for as long as the adapter.
pub(crate) async fn run(link: Arc<Link>) {
    loop {
        let batch = link.outgoing.take(BATCH).await;
        link.overflow.note_room();
        link.publish(batch).await;
        link.outgoing.note_done();
    }
}

impl Link {
    /// Publishes messages, when there is a connection. The library holds no more than these: so what waits is bounded in bytes.
    async fn publish(&self, mut batch: Vec<Outgoing>) {
        let is_connected =
            self.client.borrow().as_ref().is_some_and(|client| client.connection_state() == State::Connected);
        let start = Instant::now();
        let client = self.connected().await;
        if self.options.jetstream.is_some() {
            // The stream is there from then on.
            self.health.wait_until(|| self.jetstream.cursor.begun().is_some()).await;
        }
        if !is_connected {
            // The other nodes have lost it too, and try as often as this one: what is sent before they are back reaches nobody.
            sleep(start.elapsed().min(self.options.max_backoff)).await;
            let all = batch.len() as u64;
            batch.retain(|outgoing| !outgoing.is_volatile);
            self.metrics.dropped_volatile.add(all - batch.len() as u64);
        }
        let count = batch.len() as u64;
        let connections = || client.statistics().connects.load(Ordering::Relaxed);
        let before = connections();
        // The server says of the last one whether it is kept: if not, others were not either.
        let last = |kept| batch.iter().rposition(|outgoing| outgoing.kept == Some(kept));
        let asked = Kept::ALL.map(last);
        for (at, Outgoing { subject, payload, kept, .. }) in batch.into_iter().enumerate() {
            if let Some(kept) = kept.filter(|_| asked.contains(&Some(at))) {
                let reply = subject::kept(&self.options.prefix, &self.node, kept);
                drop(unconstrained(client.publish_with_reply(subject, reply, payload)).await);
                continue;
            }
            for part in parts::split(&payload, client.max_payload()) {
                // Tokio would let it send 128 messages only before all other tasks get a turn.
                if let Err(error) = unconstrained(client.publish(subject.clone(), part)).await {
                    tracing::warn!(%error, "a message to other nodes was not sent");
                }
            }
        }
        let is_closed = client.flush().await.is_err();
        if is_closed || connections() != before {
            self.metrics.lost.add(count);
            tracing::warn!(
                count,
                "the connection to NATS was lost with messages on their way, which may not have arrived"
            );
        } else {
            self.metrics.published.add(count);
        }
    }

    /// Waits until all that waits now has been sent.
    pub(crate) async fn flush(&self) {
        let is_sent = async {
            self.outgoing.drained().await;
            let client = self.client.borrow().clone();
            if let Some(client) = client {
                self.probe(&client).await;
            }
        };
        // What has not been sent by then will not be.
        let _late = timeout(self.options.timeout, is_sent).await;
    }
}

/// About how many bytes are published at once.
const BATCH: usize = 256 * 1024;
