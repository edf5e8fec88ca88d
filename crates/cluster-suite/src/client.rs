//! A client of one server, which can tell that nothing more comes: by a last message.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use parking_lot::Mutex;
use sockeye::Server;
use tokio::time::Instant;

use crate::support::{Got, WebSocket};

/// A client in the main namespace, and the id of its socket.
pub(crate) struct Client {
    pub(crate) socket: WebSocket,
    pub(crate) id: String,
}

/// Events that the nodes emitted last: a client that has got one of each has got all that came before. They are emitted again until
/// all clients have them: in a cluster that heals the first may be lost.
#[derive(Debug, Default)]
pub(crate) struct LastWords {
    pub(crate) nodes: usize,
    /// The nodes by the keys of their events.
    pub(crate) by_key: Mutex<HashMap<String, usize>>,
}

impl Client {
    pub(crate) async fn join(server: &Server) -> Self {
        let (socket, id) = WebSocket::joined(server).await;
        Self { socket, id }
    }

    /// At least so many messages, however long they take, and all that came before the last words. Events of the suite itself are left
    /// out.
    pub(crate) async fn until(&mut self, last: &LastWords, count: usize) -> Vec<String> {
        let (mut all, mut heard) = (Vec::new(), HashSet::<usize>::new());
        let deadline = Instant::now() + PATIENCE;
        while all.len() < count || heard.len() < last.nodes {
            let Ok(got) = tokio::time::timeout_at(deadline, self.socket.next()).await else {
                panic!("not in {PATIENCE:?}: {count} messages, and last words of all; heard of {heard:?}, got {all:?}");
            };
            match text_of(got).map(|text| (own_key(&text), text)) {
                Some((Some(key), _)) => heard.extend(last.by_key.lock().get(&key)),
                Some((None, text)) => all.push(text),
                None => break,
            }
        }
        all
    }

    /// The key of the next probe that comes within a moment, and its text.
    pub(crate) async fn probe(&mut self) -> Option<(String, String)> {
        let got = tokio::time::timeout(PROBE_INTERVAL, self.socket.next()).await.ok()?;
        let text = text_of(got).expect("the connection stays");
        let key = own_key(&text).unwrap_or_else(|| panic!("nothing else has been emitted: {text}"));
        Some((key, text))
    }

    /// Takes the next event, which asks for an answer, and answers. Gives the event.
    pub(crate) async fn answer(&mut self, value: &str) -> String {
        let (id, event) = self.question().await;
        self.socket.send(&format!("43{id}[{value}]")).await;
        event
    }

    /// The next event, which asks for an answer: the number, and the rest.
    pub(crate) async fn question(&mut self) -> (String, String) {
        let text = self.text().await;
        let rest = text.strip_prefix("42").expect(&text);
        let at = rest.find('[').expect(&text);
        let (id, event) = rest.split_at(at);
        (id.to_owned(), event.to_owned())
    }

    /// The next message, which must be a text.
    pub(crate) async fn text(&mut self) -> String {
        loop {
            let text = self.socket.text().await;
            if own_key(&text).is_none() {
                return text;
            }
        }
    }
}

/// The key of an event of the suite itself: its name and number.
pub(crate) fn key(name: &str, number: u64) -> String {
    format!("{name} {number}")
}

/// The same for a text that a client got, if it is one. An offset may follow.
fn own_key(text: &str) -> Option<String> {
    let rest = text.strip_prefix("42[\"")?;
    let name = [LAST, PROBE].into_iter().find(|name| rest.starts_with(*name))?;
    let number = rest.strip_prefix(name)?.strip_prefix("\",")?.split([',', ']']).next()?;
    Some(key(name, number.parse().ok()?))
}

/// The text of a message, unless it is the end of the connection.
fn text_of(got: Got) -> Option<String> {
    match got {
        Got::Text(text) => Some(text),
        Got::Binary(data) => Some(format!("{data:?}")),
        Got::Close(_) | Got::End => None,
    }
}

/// The names of the suite's own events.
pub(crate) const LAST: &str = "suite:last";
pub(crate) const PROBE: &str = "suite:probe";

/// How long an expected message may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A probe that is not heard of for so long is sent again.
const PROBE_INTERVAL: Duration = Duration::from_millis(100);
