//! Listens to the channels that are wanted, at each server that has some.

use std::collections::HashMap;
use std::sync::Arc;

use redis::{Cmd, Pipeline, PushInfo, PushKind, RedisError, RedisResult, Value, cmd};
use sockeye_cluster::link::supervised;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};

use crate::bus::inbox::Incoming;
use crate::bus::probe::{ANNOUNCEMENTS, Probe, Prober};
use crate::bus::table::Changes;
use crate::bus::wire::{Verbs, namespace_of};
use crate::connection::RETRY;
use crate::connection::Role;
use crate::connection::commands::{Pushed, lost};
use crate::connection::map::{Address, Redirect};
use crate::connection::resp::Message;
use crate::connection::{Backoff, Connection};
use crate::link::Link;

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
            running.entry(server).or_insert_with_key(|server| {
                let (link, server) = (link.clone(), server.clone());
                tasks.spawn(async move {
                    supervised(&*link, Role::Subscribing, || serve(link.clone(), server.clone())).await;
                })
            });
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
    let mut has_listened = false;
    loop {
        let probe = Arc::new(Probe::new(&link.options.channel_prefix, &link.node));
        // From before the connection is made: nothing is missed while something else is done.
        let demoted = link.demoted.subscribe();
        let error = match connect_subscriber(&link, &server, &probe).await {
            Ok(mut connection) => {
                let _listening = Listening { link: &link, server: &server };
                // Not after the first probe: other nodes may hear of this one before, and their events must not be missed.
                link.table.note_connected(&server);
                let prober = Prober::new(&link, &server, &probe);
                link.listen(prober, &server, &mut connection, demoted, &mut has_listened).await
            }
            Err(error) => error,
        };
        link.note_lost(Role::Subscribing, Some(&server), &error);
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

async fn connect_subscriber(link: &Arc<Link>, server: &Address, probe: &Arc<Probe>) -> RedisResult<Connection> {
    let (to, from, probe) = (link.clone(), server.clone(), probe.clone());
    let handle = move |pushed: Pushed<'_>| match pushed {
        Pushed::Message(message) => to.take_message(&from, &probe, message),
        Pushed::Other(push) => to.take_push(&from, &probe, push),
    };
    link.servers.connect(server, link.options.timeout, handle).await
}

impl Link {
    /// Notes what the server says of channels.
    fn take_push(&self, server: &Address, probe: &Probe, push: &PushInfo) {
        let is_heard = match push.kind {
            PushKind::Subscribe | PushKind::PSubscribe | PushKind::SSubscribe => true,
            // It comes unasked too, when a slot has moved.
            PushKind::Unsubscribe | PushKind::PUnsubscribe | PushKind::SUnsubscribe => false,
            _ => return,
        };
        if let Some(Value::BulkString(channel)) = push.data.first()
            && !probe.has(channel)
            && channel != ANNOUNCEMENTS
        {
            self.table.confirm(server, channel, is_heard);
            self.health.notify();
        }
    }

    /// Enters a message into the queue.
    fn take_message(&self, server: &Address, probe: &Probe, message: Message<'_>) {
        let Message { pattern, channel, payload } = message;
        if probe.has(channel) {
            return probe.take(payload);
        }
        if channel == ANNOUNCEMENTS {
            return self.presence.handle(payload, &self.options.cluster.metrics);
        }
        self.metrics.received.increment();
        if self.servers.is_cluster() && !self.table.counts(server, pattern.unwrap_or(channel)) {
            return;
        }
        let inbox = match namespace_of(&self.options, channel) {
            Some(namespace) => self.table.inbox_of(namespace),
            None => self.table.inbox(pattern.unwrap_or(channel)),
        };
        // Whoever wanted it has left since.
        let Some(inbox) = inbox else { return self.metrics.skipped.increment() };
        if inbox.wire.is_own(payload) {
            return;
        }
        // Copied: what keeps a part of a message for long must not keep all that came with it.
        let (channel, data) = (channel.len(), [channel, payload].concat());
        let incoming = Incoming::Message { inbox, channel, data };
        let bytes = incoming.len();
        if self.incoming.push(incoming, bytes).is_err() {
            self.metrics.dropped_incoming.increment();
        }
    }

    /// Listens until the connection ends, or is found to bring nothing; gives the reason.
    async fn listen(
        &self,
        mut prober: Prober<'_>,
        server: &Address,
        connection: &mut Connection,
        mut demoted: watch::Receiver<()>,
        has_listened: &mut bool,
    ) -> RedisError {
        let mut working = None;
        let mut next_probe = Instant::now();
        if let Err(error) = connection.commands.send(cmd("SUBSCRIBE").arg(ANNOUNCEMENTS)).await {
            return error;
        }
        loop {
            let result = tokio::select! {
                biased;
                () = connection.lost.notified() => Err(lost()),
                Ok(()) = demoted.changed() => self.servers.check_role(&connection.commands).await,
                () = sleep_until(next_probe), if working.is_some() => prober.run(connection).await,
                changes = self.table.changes(server, BATCH) => {
                    match self.change(server, connection, &changes).await {
                        Ok(()) => continue,
                        Err(error) => return error,
                    }
                }
                // All that is wanted is subscribed to. The first probe tells whether it is heard.
                () = std::future::ready(()), if working.is_none() => prober.run(connection).await,
            };
            if let Err(error) = result {
                return error;
            }
            next_probe = Instant::now() + self.options.probe_interval;
            if working.is_none() {
                working = Some(self.working(Role::Subscribing));
                if std::mem::replace(has_listened, true) {
                    self.metrics.resubscribed.increment();
                }
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
        for reply in connection.commands.send_all(&pipeline).await? {
            let Value::ServerError(error) = reply else { continue };
            match self.redirect(&error, server) {
                Some(Redirect::Moved { slot, to }) => self.slot_moved(slot, &to),
                Some(Redirect::Ask { .. } | Redirect::Later) => self.refresh_map(None),
                Some(Redirect::Demoted) | None => return Err(self.servers.refused(error)),
            }
        }
        if !self.table.confirm_changes(server, changes) {
            // It is tried again, here or at another server.
            sleep(RETRY).await;
        }
        Ok(())
    }
}

/// How many channels are subscribed to at once.
const BATCH: usize = 1_000;
