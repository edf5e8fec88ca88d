//! A client of one server, which can tell that nothing more comes: by a last message.

use std::collections::BTreeSet;
use std::time::Duration;

use sockeye::Server;
use tokio::time::Instant;

use crate::support::{Got, WebSocket};

/// A client in the main namespace, and the id of its socket.
pub(crate) struct Client {
    pub(crate) socket: WebSocket,
    pub(crate) id: String,
}

/// Events that were emitted last: a client that has got them has got all that came before.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastWords(pub(crate) BTreeSet<String>);

impl Client {
    pub(crate) async fn join(server: &Server) -> Self {
        let (socket, id) = WebSocket::joined(server).await;
        Self { socket, id }
    }

    /// At least so many messages, however long they take, and all that came before the last words. Events of the suite itself are left
    /// out.
    pub(crate) async fn until(&mut self, last: &LastWords, count: usize) -> Vec<String> {
        let (mut all, mut left) = (Vec::new(), last.0.clone());
        let deadline = Instant::now() + PATIENCE;
        while all.len() < count || !left.is_empty() {
            let Ok(got) = tokio::time::timeout_at(deadline, self.socket.next()).await else {
                panic!("not in {PATIENCE:?}: {count} messages and then {left:?}; there are {all:?}");
            };
            match text_of(got) {
                Some(text) if is_of_suite(&text) => drop(left.remove(&text)),
                Some(text) => all.push(text),
                None => break,
            }
        }
        all
    }

    /// At least so many messages, however long they take, and what follows them until nothing comes for a moment.
    pub(crate) async fn drain_at_least(&mut self, count: usize) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            let patience = if all.len() < count { PATIENCE } else { QUIET };
            let Ok(got) = tokio::time::timeout(patience, self.socket.next()).await else { break };
            match text_of(got) {
                Some(text) if is_of_suite(&text) => {}
                Some(text) => all.push(text),
                None => break,
            }
        }
        all
    }

    /// The next probe of a room that comes within a moment.
    pub(crate) async fn probe(&mut self) -> Option<String> {
        let got = tokio::time::timeout(PROBE_INTERVAL, self.socket.next()).await.ok()?;
        let text = text_of(got).expect("the connection stays");
        assert!(is_of_suite(&text), "nothing else has been emitted: {text}");
        Some(text)
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
            if !is_of_suite(&text) {
                return text;
            }
        }
    }
}

/// The event of the suite with this name and number, as a client gets it.
pub(crate) fn event_text(name: &str, number: u64) -> String {
    format!("42[\"{name}\",{number}]")
}

fn is_of_suite(text: &str) -> bool {
    [LAST, PROBE].iter().any(|name| text.strip_prefix("42[\"").is_some_and(|rest| rest.starts_with(name)))
}

/// What came, if it is not the end of the connection.
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

/// After which silence [`drain_at_least`](Client::drain_at_least) expects nothing more.
const QUIET: Duration = Duration::from_millis(300);
