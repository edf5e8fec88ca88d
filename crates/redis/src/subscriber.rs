//! Listens to the channels that are wanted.

use std::sync::Arc;

use redis::{Cmd, Pipeline, PushInfo, PushKind, RedisError, RedisResult, Value};
use tokio::time::{Instant, sleep_until};

use crate::connection::{Backoff, Connection, connect};
use crate::dispatcher::Incoming;
use crate::health::Role;
use crate::link::Link;
use crate::publisher::lost;
use crate::table::Changes;
use crate::wire::Verbs;

/// Runs for as long as the adapter.
pub(crate) async fn run(link: Arc<Link>) {
    let mut backoff = Backoff::new(&link.options);
    let mut has_listened = false;
    loop {
        let error = match connect_subscriber(&link).await {
            Ok(mut connection) => {
                let error = link.listen(&mut connection, &mut has_listened).await;
                link.table.reset();
                error
            }
            Err(error) => error,
        };
        link.note_lost(Role::Subscribing, &error);
        backoff.wait().await;
    }
}

async fn connect_subscriber(link: &Arc<Link>) -> RedisResult<Connection> {
    let timeout = link.options.timeout;
    let to = link.clone();
    connect(&link.client, timeout, timeout, move |push| to.take_push(push)).await
}

impl Link {
    /// Enters a message into the queue.
    fn take_push(&self, push: PushInfo) {
        let mut data = push.data.into_iter().map_while(|each| match each {
            Value::BulkString(bytes) => Some(bytes),
            _ => None,
        });
        let pattern = if push.kind == PushKind::PMessage { data.next() } else { None };
        if let (Some(channel), Some(payload)) = (data.next(), data.next()) {
            if self.probe.take(&channel, &payload) {
                return;
            }
            self.metrics.received.increment();
            let incoming = match pattern {
                Some(pattern) => Incoming::Matched { pattern, channel, payload },
                None => Incoming::Message { channel, payload },
            };
            let bytes = incoming.len();
            if self.incoming.push(incoming, bytes).is_err() {
                self.metrics.dropped_incoming.increment();
            }
        }
    }

    /// Listens until the connection ends, or is found to bring nothing; gives the reason.
    async fn listen(&self, connection: &mut Connection, has_listened: &mut bool) -> RedisError {
        if let Err(error) = self.prepare_probe(connection).await {
            return error;
        }
        let mut working = None;
        let mut next_probe = Instant::now();
        loop {
            let result = tokio::select! {
                biased;
                () = connection.lost.notified() => Err(lost()),
                () = sleep_until(next_probe), if working.is_some() => self.probe(connection).await.map(|()| {
                    next_probe = Instant::now() + self.options.probe_interval;
                }),
                changes = self.table.changes(BATCH) => self.change(connection, &changes).await,
                // All that is wanted is subscribed to. The first probe tells whether it is heard.
                () = std::future::ready(()), if working.is_none() => self.probe(connection).await.map(|()| {
                    next_probe = Instant::now() + self.options.probe_interval;
                    working = Some(self.health.works(Role::Subscribing));
                    if std::mem::replace(has_listened, true) {
                        self.metrics.resubscribed.increment();
                    }
                }),
            };
            if let Err(error) = result {
                return error;
            }
        }
    }

    async fn change(&self, connection: &mut Connection, changes: &Changes) -> RedisResult<()> {
        let mode = self.options.mode;
        let mut pipeline = Pipeline::new();
        let subscribe = changes.subscribe.iter().map(|channel| (channel, Verbs::for_channel(mode, channel).subscribe));
        let unsubscribe =
            changes.unsubscribe.iter().map(|channel| (channel, Verbs::for_channel(mode, channel).unsubscribe));
        for (channel, verb) in subscribe.chain(unsubscribe) {
            // One for each: in a Redis Cluster the channels of one command would have to be in one slot.
            let mut command = Cmd::with_capacity(2, channel.len() + 16);
            command.arg(verb).arg(&**channel);
            pipeline.add_command(command);
        }
        for reply in connection.commands.send_packed_commands(&pipeline, 0, pipeline.len()).await? {
            if let Value::ServerError(error) = reply {
                return Err(error.into());
            }
        }
        self.table.confirm(changes);
        self.health.progress.notify_waiters();
        Ok(())
    }
}

/// How many channels are subscribed to at once.
const BATCH: usize = 1_000;
