//! Whether a node hears: it sends itself a message, by the connection that publishes, and waits for it on the one that listens. So it
//! also finds out when the two are connected to servers that do not pass on to each other.
//!
//! A connection can be there and bring nothing: packets are dropped on the way, Redis does not get to run, or it has forgotten a
//! subscription. Neither an open socket nor an answered `PING` tells that apart from silence.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::{Cmd, RedisError, RedisResult, Value, cmd};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use crate::bus::wire::{Channel, Verbs};
use crate::connection::Connection;
use crate::connection::RETRY;
use crate::connection::commands::{Commands, lost};
use crate::connection::map::{Address, Redirect};
use crate::link::Link;

/// What comes back, on one connection.
pub(crate) struct Probe {
    /// What the names of its channels begin with. No official node listens to them: the names of theirs have a namespace here,
    /// which begins with a slash.
    prefix: String,
    heard: AtomicU64,
    arrived: Notify,
}

impl Probe {
    pub(crate) fn new(prefix: &str, node: &str) -> Self {
        Self { prefix: format!("{prefix}#probe#{node}#"), heard: AtomicU64::new(0), arrived: Notify::new() }
    }

    /// Whether it is one of these channels.
    pub(crate) fn has(&self, channel: &[u8]) -> bool {
        channel.starts_with(self.prefix.as_bytes())
    }

    /// A message has come back.
    pub(crate) fn take(&self, payload: &[u8]) {
        if let Some(number) = std::str::from_utf8(payload).ok().and_then(|text| text.parse().ok()) {
            self.heard.store(number, Ordering::Release);
            self.arrived.notify_one();
        }
    }

    async fn returned(&self, number: u64) {
        while self.heard.load(Ordering::Acquire) != number {
            self.arrived.notified().await;
        }
    }
}

/// Sends probes to one server.
pub(crate) struct Prober<'a> {
    link: &'a Link,
    server: &'a Address,
    probe: &'a Probe,
    /// The one that is listened to: one that is at this server.
    channel: Option<Channel>,
    sent: u64,
}

impl<'a> Prober<'a> {
    pub(crate) fn new(link: &'a Link, server: &'a Address, probe: &'a Probe) -> Self {
        Self { link, server, probe, channel: None, sent: 0 }
    }

    /// Sends one, and waits for it.
    ///
    /// # Errors
    ///
    /// It did not come back within [`timeout`](crate::RedisOptions::timeout): the node is deaf on this connection.
    pub(crate) async fn run(&mut self, connection: &mut Connection) -> RedisResult<()> {
        let (limit, is_lost) = (self.link.options.timeout, connection.lost.clone());
        let result = tokio::select! {
            result = timeout(limit, self.there_and_back(connection)) => result,
            () = is_lost.notified() => return Err(lost()),
        };
        match result {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) if !error.is_timeout() => Err(error),
            _ => {
                self.link.metrics.deaf.increment();
                Err(deaf(limit))
            }
        }
    }

    async fn there_and_back(&mut self, connection: &mut Connection) -> RedisResult<()> {
        loop {
            let kept = self.channel.take().filter(|channel| self.is_here(channel));
            let is_new = kept.is_none();
            let Some(channel) = kept.or_else(|| self.choose()) else {
                // No channel is at this server, and nothing will be heard of it.
                return connection.commands.send(&cmd("PING")).await.map(drop);
            };
            let verbs = Verbs::of(&self.link.options);
            let subscribe = cmd(verbs.subscribe).arg(&*channel).clone();
            self.sent += 1;
            let publish = cmd(verbs.publish).arg(&*channel).arg(self.sent).clone();
            let listening = connection.commands.clone();
            // Where nothing publishes yet, the connection tells at least of itself.
            let publishing = self.link.connection_to(self.server).unwrap_or_else(|| listening.clone());
            let is_heard = !is_new || self.is_done(&listening, &subscribe).await?;
            let sent_at = Instant::now();
            if is_heard && self.is_done(&publishing, &publish).await? {
                self.probe.returned(self.sent).await;
                self.link.health.note_round_trip(sent_at.elapsed());
                self.channel = Some(channel);
                return Ok(());
            }
            sleep(RETRY).await;
        }
    }

    /// Whether the server does it; else another one would, or itself later.
    async fn is_done(&self, commands: &Commands, command: &Cmd) -> RedisResult<bool> {
        let Value::ServerError(error) = commands.send(command).await? else {
            return Ok(true);
        };
        match self.link.redirect(&error, self.server) {
            Some(Redirect::Moved { slot, to }) => self.link.slot_moved(slot, &to),
            Some(Redirect::Ask { .. } | Redirect::Later) => self.link.refresh_map(None),
            Some(Redirect::Demoted) | None => return Err(self.link.servers.refused(error)),
        }
        Ok(false)
    }

    fn is_here(&self, channel: &[u8]) -> bool {
        let map = self.link.map.lock();
        !self.link.options.is_sharded() || map.as_ref().is_some_and(|map| map.owner(channel) == self.server)
    }

    /// A channel that is at this server.
    fn choose(&self) -> Option<Channel> {
        let names = (0..TRIES).map(|number| format!("{}{number}", self.probe.prefix).into_bytes());
        names.map(Channel::from).find(|channel| self.is_here(channel))
    }
}

fn deaf(after: Duration) -> RedisError {
    let text = format!("nothing is heard: what this node sent to itself did not come back within {after:?}");
    std::io::Error::new(std::io::ErrorKind::TimedOut, text).into()
}

/// Where nodes tell one another of their settings, whatever these are. Users of Redis that may not use it are not told.
pub(crate) const ANNOUNCEMENTS: &[u8] = b"sockeye#nodes";

/// How many names are tried: enough for a server that has one slot in a hundred.
const TRIES: u32 = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_waits_for_the_last_that_was_sent() {
        let probe = Probe::new("socket.io", "me");
        assert!(
            !probe.has(b"socket.io#/#") && !probe.has(b"socket.io#probe#you#0") && probe.has(b"socket.io#probe#me#0")
        );
        probe.take(b"1");
        probe.take(b"nonsense");
        probe.returned(1).await;
        let second = timeout(Duration::from_millis(10), probe.returned(2)).await;
        assert!(second.is_err());
    }
}
