//! Follows the stream, and reads what it has missed.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Message;
use sockeye_cluster::recovery::{LogError, Position};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::Kept;
use super::stream::{Extent, JetStream};
use crate::dispatcher::next;
use crate::link::{Incoming, Link};
use crate::options::JetStreamOptions;
use crate::role::Role;

/// Runs for as long as the adapter.
pub(crate) async fn run(link: Arc<Link>, options: JetStreamOptions) {
    loop {
        let end = link.follow(&options).await;
        link.health.set_working(Role::Following, false);
        if let Err(error) = end {
            link.health.note_failure(Role::Following, error.to_string());
            tracing::warn!(%error, "the stream of events cannot be followed");
        }
        sleep(link.options.max_backoff).await;
    }
}

impl Link {
    /// Until the stream is another, or JetStream does not answer.
    async fn follow(&self, options: &JetStreamOptions) -> Result<(), LogError> {
        let jetstream = JetStream::new(self.connected().await, &self.options);
        jetstream.create(&self.options, options).await?;
        let (_client, mut subscriber) = self.subscribe(&format!("{}.out.*", self.options.prefix).into()).await;
        let extent = jetstream.extent().await?;
        self.begin(extent);
        // What is sent next tells whether it is still so.
        self.jetstream.refusals.lock().clear();
        self.health.set_working(Role::Following, true);
        self.jetstream.driver.note_available();
        self.note_restored();
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = next(&mut subscriber) => {
                    let Some(message) = message else { return Ok(()) };
                    let Some(offset) = sequence(&message) else { continue };
                    self.catch_up(&jetstream, extent, offset - 1).await?;
                    self.enter(extent.at(offset), &message).await;
                }
                _ = ticks.tick() => {
                    let now = jetstream.extent().await?;
                    if now.epoch != extent.epoch || now.last < self.read_until(extent) {
                        return Ok(());
                    }
                    self.catch_up(&jetstream, extent, now.last).await?;
                }
            }
        }
    }

    /// Goes on where it stopped; or begins, with what comes from now on.
    fn begin(&self, extent: Extent) {
        let end = extent.at(extent.last);
        let mut read = self.jetstream.read.lock();
        if read.is_some_and(|read| read.epoch == extent.epoch && read <= end) {
            return;
        }
        let is_new = read.replace(end).is_some();
        drop(read);
        self.jetstream.cursor.begin(end);
        if is_new {
            self.note_gap(end);
        }
    }

    fn read_until(&self, extent: Extent) -> u64 {
        self.jetstream.read.lock().map_or(extent.last, |read| read.offset)
    }

    /// Reads what is in the stream up to this entry and has not come.
    async fn catch_up(&self, jetstream: &JetStream, extent: Extent, until: u64) -> Result<(), LogError> {
        loop {
            let read = self.read_until(extent);
            if read >= until {
                return Ok(());
            }
            let entries = jetstream.read(read, "").await?;
            let first = entries.first().map_or(until + 1, |entry| entry.offset);
            if first > read + 1 {
                self.note_gap(extent.at(first - 1));
                *self.jetstream.read.lock() = Some(extent.at(first - 1));
            }
            for entry in entries {
                self.enter(extent.at(entry.offset), &entry.message).await;
            }
        }
    }

    /// Entries are gone that were not read.
    fn note_gap(&self, before: Position) {
        self.jetstream.metrics.gaps.increment();
        tracing::warn!("entries of the stream were lost before this node has read them");
        self.jetstream.driver.handle_gap(&self.jetstream.cursor, before, true);
    }

    /// Enters the next entry into the queue, when there is room: the stream keeps what comes meanwhile.
    async fn enter(&self, position: Position, message: &Message) {
        if self.jetstream.read.lock().is_some_and(|read| position <= read) {
            return;
        }
        self.metrics.received.increment();
        let namespace = message.subject.rsplit('.').next().unwrap_or_default();
        let inbox = self.inboxes.read().get(namespace).cloned();
        let mut incoming = Incoming::entry(inbox, position, &message.payload);
        let bytes = incoming.data.len();
        while let Err(back) = self.incoming.push(incoming, bytes) {
            incoming = back;
            sleep(PAUSE).await;
        }
        *self.jetstream.read.lock() = Some(position);
    }

    /// The server's answer to something that is to be kept.
    pub(crate) fn handle_kept(&self, kept: Kept, answer: &Message) {
        let refusal = match serde_json::from_slice::<serde_json::Value>(&answer.payload) {
            Ok(answer) => {
                answer.get("error").map(|error| error["description"].as_str().unwrap_or("refused").to_owned())
            }
            Err(_) => Some("no stream takes it".to_owned()),
        };
        let mut refusals = self.jetstream.refusals.lock();
        let Some(text) = refusal else {
            if refusals.remove(&kept).is_some() {
                tracing::info!(what = kept.name(), "JetStream keeps it again");
                self.health.notify();
            }
            return;
        };
        self.metrics.refused.increment();
        let logged = match refusals.get(&kept) {
            Some((_, logged)) if logged.elapsed() < LOG_INTERVAL => *logged,
            _ => {
                tracing::warn!(what = kept.name(), error = text, "JetStream refuses to keep it");
                Instant::now()
            }
        };
        refusals.insert(kept, (text, logged));
    }
}

/// The number of an entry that the stream has published again.
fn sequence(message: &Message) -> Option<u64> {
    let headers = message.headers.as_ref()?;
    headers.get("Nats-Sequence")?.as_str().parse().ok().filter(|sequence| *sequence > 0)
}

/// How often it is looked whether the stream has more than what has come.
const LOOK: Duration = Duration::from_secs(1);

/// How long to wait for room in the queue.
const PAUSE: Duration = Duration::from_millis(5);

/// How often a refusal is logged at most.
const LOG_INTERVAL: Duration = Duration::from_secs(60);
