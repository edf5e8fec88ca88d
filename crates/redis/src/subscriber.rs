//! Listens to the channels that are wanted.

use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Pipeline, PushInfo, PushKind, RedisError, RedisResult, Value, cmd};
use tokio::time::sleep;

use crate::connection::{Backoff, Connection, connect};
use crate::dispatcher::Incoming;
use crate::link::Link;
use crate::publisher::lost;
use crate::table::Changes;
use crate::wire::Verbs;

/// Runs for as long as the adapter.
pub(crate) async fn run(link: Arc<Link>) {
    let mut backoff = Backoff::new(&link.options);
    loop {
        let error = match connect_subscriber(&link).await {
            Ok(mut connection) => {
                let error = link.listen(&mut connection).await;
                link.table.reset();
                error
            }
            Err(error) => error,
        };
        link.note_lost("subscribing", &error);
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
        self.metrics.received.increment();
        let mut data = push.data.into_iter().map_while(|each| match each {
            Value::BulkString(bytes) => Some(bytes),
            _ => None,
        });
        let pattern = if push.kind == PushKind::PMessage { data.next() } else { None };
        if let (Some(channel), Some(payload)) = (data.next(), data.next()) {
            let incoming = match pattern {
                Some(pattern) => Incoming::Matched { pattern, channel, payload },
                None => Incoming::Message { channel, payload },
            };
            let bytes = incoming.len();
            if self.incoming.push(incoming, bytes).is_err() {
                self.metrics.dropped.increment();
            }
        }
    }

    /// Listens until the connection ends; gives the reason.
    async fn listen(&self, connection: &mut Connection) -> RedisError {
        let timeout = self.options.timeout;
        let mut working = None;
        loop {
            let idle = if working.is_some() { timeout } else { Duration::ZERO };
            let result = tokio::select! {
                biased;
                () = connection.lost.notified() => Err(lost()),
                changes = self.table.changes(BATCH) => self.change(connection, &changes).await,
                // It hears all that is wanted. A connection that was cut without a word is found out.
                () = sleep(idle) => {
                    working.get_or_insert_with(|| self.working());
                    connection.commands.send_packed_command(&cmd("PING")).await.map(drop)
                }
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
        self.progress.notify_waiters();
        Ok(())
    }
}

/// How many channels are subscribed to at once.
const BATCH: usize = 1_000;
