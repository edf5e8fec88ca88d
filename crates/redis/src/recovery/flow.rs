//! Whether a stream brings what is written into it. A node looks for its own entries: when none came for a while, it writes one that does
//! nothing, by the connection that publishes.
//!
//! A reader can be connected and get nothing: it asks another server than the one that is written to, or for entries after an id that the
//! stream, which was made anew, will not reach.

use std::time::Duration;

use parking_lot::Mutex;
use redis::{Cmd, RedisError, cmd};
use sockeye_cluster::recovery::Position;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::link::Link;

/// What was read of some streams.
pub(super) struct Flow {
    streams: Mutex<Vec<Stream>>,
    /// Is notified when something was read.
    progress: Notify,
}

struct Stream {
    name: String,
    /// The last entry that was read, or where reading begins.
    last: Position,
    /// The last one of this node, and when it came.
    own: Position,
    own_at: Instant,
}

impl Flow {
    /// Of streams that are read from these positions on.
    pub(super) fn new(cursors: &[(String, Position)]) -> Self {
        let stream = |(name, last): &(String, Position)| Stream {
            name: name.clone(),
            last: *last,
            own: Position::default(),
            own_at: Instant::now(),
        };
        Self { streams: Mutex::new(cursors.iter().map(stream).collect()), progress: Notify::new() }
    }

    /// An entry of this stream has been read.
    pub(super) fn note(&self, at: usize, id: Position, is_own: bool) {
        if let Some(stream) = self.streams.lock().get_mut(at) {
            stream.last = id;
            if is_own {
                (stream.own, stream.own_at) = (id, Instant::now());
            }
        }
    }

    /// Some have been read.
    pub(super) fn note_progress(&self) {
        self.progress.notify_waiters();
    }

    /// When the next stream is to be asked, and which that is.
    fn next(&self, interval: Duration) -> Option<(usize, Instant)> {
        let streams = self.streams.lock();
        streams.iter().map(|stream| stream.own_at + interval).enumerate().min_by_key(|(_, due)| *due)
    }

    /// Watches them for as long as they flow.
    pub(super) async fn watch(&self, link: &Link) -> RedisError {
        loop {
            let Some((at, due)) = self.next(link.options.probe_interval) else { return std::future::pending().await };
            if due > Instant::now() {
                sleep_until(due).await;
                continue;
            }
            let probed = self.streams.lock().get(at).map(|stream| (stream.name.clone(), stream.last));
            let Some((name, last)) = probed else { continue };
            let sent_at = Instant::now();
            match link.query::<String>(&nothing(link, &name)).await.map(|id| id.parse::<Position>().ok()) {
                Ok(Some(id)) if id <= last => return begun_anew(&name),
                Ok(Some(id)) => match self.comes(at, id, link.options.timeout).await {
                    true => link.health.note_round_trip(sent_at.elapsed()),
                    false => {
                        link.metrics.deaf.increment();
                        return stuck(&name, link.options.timeout);
                    }
                },
                // The connection that publishes says for itself what is wrong with it.
                Ok(None) => sleep(link.options.probe_interval).await,
                Err(error) => {
                    if let Some(code) = error.code() {
                        link.refusals.note(format!("{code} {}", error.detail().unwrap_or_default()));
                    }
                    sleep(link.options.probe_interval).await;
                }
            }
        }
    }

    /// Whether this entry is read, or one that came after it. While others are, it may take longer than the limit.
    async fn comes(&self, at: usize, id: Position, limit: Duration) -> bool {
        let is_here = || self.streams.lock().get(at).is_none_or(|stream| stream.own >= id);
        loop {
            let progress = self.progress.notified();
            if is_here() {
                return true;
            }
            if timeout(limit, progress).await.is_err() {
                return is_here();
            }
        }
    }
}

/// An entry that does nothing: nobody is in a room of this name.
pub(super) fn nothing(link: &Link, stream: &str) -> Cmd {
    let node = &*link.node;
    let data = format!(r#"{{"opts":{{"rooms":["{node}"],"except":[],"flags":{{}}}},"rooms":[]}}"#);
    let mut entry = cmd("XADD");
    entry.arg(stream).arg("MAXLEN").arg("~").arg(link.options.stream.max_len).arg("*");
    entry.arg("uid").arg(node).arg("nsp").arg("/").arg("type").arg(5).arg("data").arg(data);
    entry
}

fn begun_anew(name: &str) -> RedisError {
    let text = format!("the stream {name} has begun anew: its entries have lower ids than those that were read");
    std::io::Error::other(text).into()
}

fn stuck(name: &str, limit: Duration) -> RedisError {
    let text = format!("the stream {name} is stuck: what this node wrote into it did not come back within {limit:?}");
    std::io::Error::new(std::io::ErrorKind::TimedOut, text).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(offset: u64) -> Position {
        Position { epoch: 1, offset }
    }

    #[tokio::test(start_paused = true)]
    async fn it_waits_for_its_own_entry_while_others_come() {
        let flow = Flow::new(&[("a".to_owned(), id(1)), ("b".to_owned(), id(1))]);
        let limit = Duration::from_secs(5);
        assert!(!flow.comes(0, id(9), limit).await);
        let reader = async {
            for offset in 2..=9 {
                sleep(Duration::from_secs(3)).await;
                flow.note(0, id(offset), offset == 9);
                flow.note_progress();
            }
        };
        let (comes, ()) = tokio::join!(flow.comes(0, id(9), limit), reader);
        assert!(comes);
        // The other one has been quiet for longest.
        assert_eq!(flow.next(limit).map(|(at, _)| at), Some(1));
        flow.note(0, id(10), false);
        assert_eq!(flow.streams.lock()[0].last, id(10));
    }
}
