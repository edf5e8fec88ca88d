//! Whether a node hears: it sends itself a message, on the connection that listens, and waits for it to come back.
//!
//! A connection can be there and bring nothing: packets are dropped on the way, Redis does not get to run, or it has forgotten a
//! subscription. Neither an open socket nor an answered `PING` tells that apart from silence.

use std::sync::atomic::{AtomicU64, Ordering};

use redis::{Cmd, RedisError, RedisResult, cmd};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::connection::Connection;
use crate::link::Link;
use crate::wire::{Channel, Verbs};

/// The messages to oneself.
pub(crate) struct Probe {
    /// No official node listens to it: the names of their channels have a namespace here, which begins with a slash.
    channel: Channel,
    sent: AtomicU64,
    heard: AtomicU64,
    arrived: Notify,
}

impl Probe {
    pub(crate) fn new(prefix: &str, node: &str) -> Self {
        Self {
            channel: format!("{prefix}#probe#{node}").into_bytes().into(),
            sent: AtomicU64::new(0),
            heard: AtomicU64::new(0),
            arrived: Notify::new(),
        }
    }

    /// Takes a message if it is one of these.
    pub(crate) fn take(&self, channel: &[u8], payload: &[u8]) -> bool {
        if *channel != *self.channel {
            return false;
        }
        let number = std::str::from_utf8(payload).ok().and_then(|text| text.parse().ok());
        if let Some(number) = number {
            self.heard.store(number, Ordering::Release);
            self.arrived.notify_one();
        }
        true
    }

    fn command(&self, verb: &str) -> Cmd {
        cmd(verb).arg(&*self.channel).clone()
    }

    async fn returned(&self, number: u64) {
        while self.heard.load(Ordering::Acquire) != number {
            self.arrived.notified().await;
        }
    }
}

impl Link {
    /// Listens to the channel of the probe, on a new connection.
    pub(crate) async fn prepare_probe(&self, connection: &mut Connection) -> RedisResult<()> {
        let subscribe = self.probe.command(Verbs::of(self.options.mode).subscribe);
        connection.commands.send_packed_command(&subscribe).await?.extract_error().map(drop)
    }

    /// Sends one, and waits for it.
    ///
    /// # Errors
    ///
    /// It did not come back within [`timeout`](crate::RedisOptions::timeout): the node is deaf on this connection.
    pub(crate) async fn probe(&self, connection: &mut Connection) -> RedisResult<()> {
        let number = self.probe.sent.fetch_add(1, Ordering::Relaxed) + 1;
        let mut publish = self.probe.command(Verbs::of(self.options.mode).publish);
        publish.arg(number);
        let there_and_back = async {
            connection.commands.send_packed_command(&publish).await?.extract_error()?;
            self.probe.returned(number).await;
            RedisResult::Ok(())
        };
        let lost = connection.lost.clone();
        let result = tokio::select! {
            result = timeout(self.options.timeout, there_and_back) => result,
            () = lost.notified() => return Err(crate::publisher::lost()),
        };
        match result {
            Ok(Err(error)) if !error.is_timeout() => Err(error),
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => {
                self.metrics.deaf.increment();
                Err(deaf(self.options.timeout))
            }
        }
    }
}

fn deaf(after: std::time::Duration) -> RedisError {
    let text = format!("nothing is heard: what this node sent to itself did not come back within {after:?}");
    std::io::Error::new(std::io::ErrorKind::TimedOut, text).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_waits_for_the_last_that_was_sent() {
        let probe = Probe::new("socket.io", "me");
        assert!(!probe.take(b"socket.io#/#", b"1") && !probe.take(b"socket.io#probe#you", b"1"));
        assert!(probe.take(b"socket.io#probe#me", b"1") && probe.take(b"socket.io#probe#me", b"nonsense"));
        probe.returned(1).await;
        let second = timeout(std::time::Duration::from_millis(10), probe.returned(2)).await;
        assert!(second.is_err());
    }
}
