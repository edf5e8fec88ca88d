//! Listens to the channels that are wanted, at each server that has some.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Pipeline, PushInfo, PushKind, RedisError, RedisResult, Value, cmd};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;

use crate::connection::{Backoff, Connection};
use crate::dispatcher::Incoming;
use crate::link::Link;
use crate::map::{Address, Redirect};
use crate::publisher::{RETRY, lost};
use crate::table::Changes;
use crate::wire::Verbs;

/// Runs for as long as the adapter: a task for each server that has channels.
pub(crate) async fn run(link: Arc<Link>) {
    let mut changes = link.outgoing.changed.subscribe();
    let mut tasks = JoinSet::new();
    let mut running: HashMap<Address, AbortHandle> = HashMap::new();
    loop {
        let servers = link.table.servers();
        for (_, task) in running.extract_if(|server, _| !servers.contains(server)) {
            task.abort();
        }
        for server in servers {
            running.entry(server).or_insert_with_key(|server| tasks.spawn(serve(link.clone(), server.clone())));
        }
        tokio::select! {
            Ok(()) = changes.changed() => {}
            Some(_ended) = tasks.join_next() => {}
        }
    }
}

/// Until it is ended.
async fn serve(link: Arc<Link>, server: Address) {
    let mut backoff = Backoff::new(&link.options);
    loop {
        let error = match connect_subscriber(&link, &server).await {
            Ok(mut connection) => {
                let _listening = Listening { link: &link, server: &server };
                link.listen(&server, &mut connection).await
            }
            Err(error) => error,
        };
        link.note_lost("subscribing", Some(&server), &error);
        backoff.wait().await;
    }
}

/// A connection that hears something.
struct Listening<'a> {
    link: &'a Link,
    server: &'a Address,
}

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        self.link.table.reset(self.server);
    }
}

async fn connect_subscriber(link: &Arc<Link>, server: &Address) -> RedisResult<Connection> {
    let (to, from) = (link.clone(), server.clone());
    link.servers.connect(server, link.options.timeout, move |push| to.take_push(&from, push)).await
}

impl Link {
    /// Enters a message into the queue; notes what the server says of channels.
    fn take_push(&self, server: &Address, push: PushInfo) {
        let confirmed = match push.kind {
            PushKind::Message | PushKind::PMessage | PushKind::SMessage => None,
            PushKind::Subscribe | PushKind::PSubscribe | PushKind::SSubscribe => Some(true),
            // It comes unasked too, when a slot has moved.
            PushKind::Unsubscribe | PushKind::PUnsubscribe | PushKind::SUnsubscribe => Some(false),
            _ => return,
        };
        let mut data = push.data.into_iter().map_while(|each| match each {
            Value::BulkString(bytes) => Some(bytes),
            _ => None,
        });
        if let Some(is_heard) = confirmed {
            if let Some(channel) = data.next() {
                self.table.confirm(server, &channel, is_heard);
                self.progress.notify_waiters();
            }
            return;
        }
        self.metrics.received.increment();
        let pattern = if push.kind == PushKind::PMessage { data.next() } else { None };
        let (Some(channel), Some(payload)) = (data.next(), data.next()) else { return };
        if self.servers.is_cluster() && !self.table.counts(server, pattern.as_ref().unwrap_or(&channel)) {
            return;
        }
        let incoming = match pattern {
            Some(pattern) => Incoming::Matched { pattern, channel, payload },
            None => Incoming::Message { channel, payload },
        };
        let bytes = incoming.len();
        if self.incoming.push(incoming, bytes).is_err() {
            self.metrics.dropped.increment();
        }
    }

    /// Listens until the connection ends; gives the reason.
    async fn listen(&self, server: &Address, connection: &mut Connection) -> RedisError {
        let timeout = self.options.timeout;
        let mut working = None;
        loop {
            let idle = if working.is_some() { timeout } else { Duration::ZERO };
            let result = tokio::select! {
                biased;
                () = connection.lost.notified() => Err(lost()),
                changes = self.table.changes(server, BATCH) => self.change(server, connection, &changes).await,
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

    /// Says what is wanted. What comes of it is not told by the replies, among which a push may be that answers nothing, but by all
    /// pushes.
    async fn change(&self, server: &Address, connection: &mut Connection, changes: &Changes) -> RedisResult<()> {
        let options = &self.options;
        let mut pipeline = Pipeline::new();
        let subscribe =
            changes.subscribe.iter().map(|channel| (channel, Verbs::for_channel(options, channel).subscribe));
        let unsubscribe =
            changes.unsubscribe.iter().map(|channel| (channel, Verbs::for_channel(options, channel).unsubscribe));
        for (channel, verb) in subscribe.chain(unsubscribe) {
            // One for each: in a Redis Cluster the channels of one command would have to be in one slot.
            let mut command = Cmd::with_capacity(2, channel.len() + 16);
            command.arg(verb).arg(&**channel);
            pipeline.add_command(command);
        }
        for reply in connection.commands.send_packed_commands(&pipeline, 0, pipeline.len()).await? {
            let Value::ServerError(error) = reply else { continue };
            match self.redirect(&error, server) {
                Some(Redirect::Moved { slot, to }) => self.slot_moved(slot, &to),
                Some(Redirect::Ask { .. } | Redirect::Later) => self.doubt(None),
                Some(Redirect::Demoted) | None => return Err(error.into()),
            }
        }
        if !self.table.settle(server, changes) {
            // It is tried again, here or at another server.
            sleep(RETRY).await;
        }
        Ok(())
    }
}

/// How many channels are subscribed to at once.
const BATCH: usize = 1_000;
