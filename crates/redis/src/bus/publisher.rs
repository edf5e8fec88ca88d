//! Sends what waits: to each server as one pipeline, and what has come meanwhile as the next.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use redis::{Arg, Pipeline, RedisResult, Value, cmd};
use sockeye_cluster::link::supervised_until_done;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::bus::probe::ANNOUNCEMENTS;
use crate::bus::send_queues::{Mark, SendQueue, Sending};
use crate::bus::subscribers::counted;
use crate::bus::wire::Verbs;
use crate::connection::Role;
use crate::connection::commands::lost;
use crate::connection::map::{Address, Redirect};
use crate::connection::{Backoff, Connection, RETRY};
use crate::link::Link;
use crate::options::Mode;

/// Runs for as long as the adapter: a task for each queue.
pub(crate) async fn run(link: Arc<Link>) {
    let mut changes = link.outgoing.changed.subscribe();
    let mut tasks = JoinSet::new();
    let mut running: HashMap<Address, Arc<SendQueue>> = HashMap::new();
    loop {
        running.retain(|_, queue| !queue.is_retired());
        for queue in link.outgoing.all() {
            if !running.contains_key(&queue.address) {
                running.insert(queue.address.clone(), queue.clone());
                let link = link.clone();
                tasks.spawn(async move {
                    supervised_until_done(&*link, Role::Publishing, || serve(link.clone(), queue.clone())).await;
                });
            }
        }
        tokio::select! {
            Ok(()) = changes.changed() => {}
            Some(_ended) = tasks.join_next() => {}
        }
    }
}

/// Until the server owns nothing any more.
async fn serve(link: Arc<Link>, queue: Arc<SendQueue>) {
    let mut backoff = Backoff::new(&link.options);
    let mut is_back = false;
    while !queue.is_retired() {
        let error = match link.connect_publisher(&queue).await {
            Ok(mut connection) => {
                let working = link.working(Role::Publishing);
                if std::mem::replace(&mut is_back, true) {
                    link.hold(&connection).await;
                }
                let ended = link.publish(&queue, &mut connection).await;
                *queue.commands.lock() = None;
                drop(working);
                match ended {
                    Ok(()) => return,
                    Err(error) => error,
                }
            }
            Err(error) => error,
        };
        link.note_lost(Role::Publishing, Some(&queue.address), &error);
        tokio::select! {
            () = backoff.wait() => {}
            () = queue.retired() => return,
        }
    }
}

impl Link {
    async fn connect_publisher(&self, queue: &SendQueue) -> RedisResult<Connection> {
        let connection = self.servers.connect(&queue.address, self.options.timeout, |_| {}).await?;
        *queue.commands.lock() = Some(connection.commands.clone());
        Ok(connection)
    }

    /// Publishes until the connection ends, and gives the reason, or until the server owns nothing any more.
    async fn publish(&self, queue: &SendQueue, connection: &mut Connection) -> RedisResult<()> {
        let oldest = self.options.max_message_age;
        let is_too_old =
            |since: Option<Instant>| oldest.zip(since).is_some_and(|(oldest, since)| since.elapsed() > oldest);
        let mut next_probe = Instant::now() + self.options.probe_interval.min(FIRST_PROBE);
        let mut next_announcement = next_probe;
        self.inspect(&connection.commands).await?;
        self.look_for_evictions(queue, &connection.commands).await?;
        loop {
            let batch = tokio::select! {
                biased;
                () = connection.lost.notified() => return Err(lost()),
                // Also while there is always something to send: a replica takes publications, and passes them on to nobody else.
                () = sleep_until(next_probe) => {
                    self.probe_publisher(connection).await?;
                    self.look_for_evictions(queue, &connection.commands).await?;
                    if next_announcement <= Instant::now() {
                        next_announcement += ANNOUNCEMENT_INTERVAL;
                        self.announce(connection).await?;
                    }
                    next_probe = Instant::now() + self.options.probe_interval;
                    continue;
                }
                batch = queue.waiting.take(BATCH) => batch,
                () = queue.retired() => return Ok(()),
            };
            self.overflow.note_room();
            let mut pipeline = Pipeline::with_capacity(batch.len());
            let mut marks: Vec<Mark> = Vec::new();
            // Since when the commands of the pipeline wait; empty where that does not matter.
            let mut waiting_since = Vec::new();
            for sending in batch {
                match sending {
                    Sending::Message(_, since) if is_too_old(since) => self.metrics.dropped_old.increment(),
                    Sending::Message(command, since) => {
                        pipeline.add_command(command);
                        if oldest.is_some() {
                            waiting_since.push(since);
                        }
                    }
                    Sending::Asking(command, since) => {
                        pipeline.add_command(cmd("ASKING")).add_command(command);
                        if oldest.is_some() {
                            waiting_since.extend([None, since]);
                        }
                    }
                    // One of a kind: each may go back to every queue.
                    Sending::Mark(mark) if marks.iter().any(|each| each.same_channel(&mark)) => {}
                    Sending::Mark(mark) => marks.push(mark),
                }
            }
            let count = pipeline.len();
            if count > 0 {
                match connection.commands.send_all(&pipeline).await {
                    Ok(replies) => {
                        self.note_replies(queue, &pipeline, &waiting_since, replies, &mut marks).await?;
                    }
                    Err(error) => {
                        // What Redis has done of it is not known: sent again, some of it would arrive twice.
                        self.metrics.lost.add(count as u64);
                        return Err(error);
                    }
                }
            }
            // Whoever waits for them hears of it.
            drop(marks);
        }
    }

    /// Redis is back, and the nodes come back one after the other: what is published before they listen reaches nobody. So what waits
    /// is held until this node hears, and as many listen as did when all was well, for [`max_hold`](crate::RedisOptions::max_hold) at
    /// most.
    async fn hold(&self, connection: &Connection) {
        if self.options.mode == Mode::Streams {
            return;
        }
        let until = Instant::now() + self.options.max_hold;
        let known = self.listeners.load(Ordering::Relaxed);
        while Instant::now() < until {
            if self.health.is_working(Role::Subscribing) {
                match self.count_listeners(connection).await {
                    Ok(Some(count)) if count < known => {}
                    // The connection tells of itself that it has ended.
                    _ => return,
                }
            }
            sleep(LOOK).await;
        }
    }

    /// How many nodes listen, where one server knows all of them.
    async fn count_listeners(&self, connection: &Connection) -> RedisResult<Option<usize>> {
        let Some(inbox) = self.table.inbox_of("/").filter(|_| !self.servers.is_cluster()) else { return Ok(None) };
        let mut count = cmd("PUBSUB");
        count.arg(Verbs::of(&self.options).count).arg(&*inbox.wire.counted_channel());
        match connection.commands.send(&count).await? {
            // Users may not be allowed to ask.
            Value::ServerError(_) => Ok(None),
            answer => counted(answer).map(Some),
        }
    }

    /// A connection that was cut without a word is found out before something is lost, and so is a server that is no master any more:
    /// then those that listen to it make their connections anew, too.
    async fn probe_publisher(&self, connection: &Connection) -> RedisResult<()> {
        if let Some(count) = self.count_listeners(connection).await? {
            self.note_nodes(count);
        }
        if self.servers.is_cluster() {
            return connection.commands.send(&cmd("PING")).await.map(drop);
        }
        let checked = self.servers.check_role(&connection.commands).await;
        if checked.is_err() {
            self.demoted.send_replace(());
        }
        checked
    }

    /// Tells all nodes at this Redis of this one's settings.
    async fn announce(&self, connection: &Connection) -> RedisResult<()> {
        let announcement = cmd("PUBLISH").arg(ANNOUNCEMENTS).arg(self.presence.announcement()).take();
        // This user may not be allowed to.
        connection.commands.send(&announcement).await.map(drop)
    }

    /// Sends again, where it belongs, what the server has not done but another one will, or itself later, and then the marks, too;
    /// counts what it refused.
    async fn note_replies(
        &self,
        queue: &SendQueue,
        pipeline: &Pipeline,
        waiting_since: &[Option<Instant>],
        replies: Vec<Value>,
        marks: &mut Vec<Mark>,
    ) -> RedisResult<()> {
        let mut again = Vec::new();
        let mut pause = None;
        let mut demoted = None;
        for (number, (command, reply)) in pipeline.cmd_iter().zip(replies).enumerate() {
            let Value::ServerError(error) = reply else {
                self.metrics.published.increment();
                continue;
            };
            if command.args_iter().next() == Some(Arg::Simple(b"ASKING")) {
                // What comes after it fails too.
                continue;
            }
            let asked = match self.redirect(&error, &queue.address) {
                Some(Redirect::Moved { slot, to }) => {
                    self.slot_moved(slot, &to);
                    None
                }
                Some(Redirect::Ask { to }) => {
                    self.owner_found(&to);
                    Some(to)
                }
                Some(Redirect::Later) => {
                    pause = Some(RETRY);
                    None
                }
                Some(Redirect::Demoted) => {
                    demoted = Some(error);
                    None
                }
                None => {
                    self.metrics.refused.increment();
                    let text = self.servers.advice(&error).or_else(|| error.details()).unwrap_or_default();
                    self.refusals.note(format!("{} {text}", error.code()));
                    continue;
                }
            };
            again.push((command.clone(), asked, waiting_since.get(number).copied().flatten()));
        }
        if !again.is_empty() {
            self.refresh_map(None);
            self.outgoing.put_back(again);
            marks.drain(..).filter(|mark| !mark.is_closed()).for_each(|mark| self.outgoing.mark_with(&mark));
        }
        if let Some(pause) = pause {
            sleep(pause).await;
        }
        let Some(error) = demoted else { return Ok(()) };
        // This connection is made anew, and leads to the new master: it will not find out for those that listen.
        self.demoted.send_replace(());
        Err(error.into())
    }

    /// Waits until all that waits now has been sent.
    pub(crate) async fn flush(&self) {
        let mut is_sent = self.outgoing.mark();
        // What has not been sent by then will not be.
        let _late = tokio::time::timeout(self.options.timeout, is_sent.recv()).await;
    }
}

/// About how many bytes one pipeline has.
const BATCH: usize = 1024 * 1024;

/// When the first probe of a connection is sent at the latest.
const FIRST_PROBE: Duration = Duration::from_millis(500);

/// How often a node tells the others of its settings.
const ANNOUNCEMENT_INTERVAL: Duration = Duration::from_secs(30);

/// How often it is looked whether the nodes listen again.
const LOOK: Duration = Duration::from_millis(20);
