//! A client whose session can be recovered.

use std::time::Duration;

use sockeye::Server;
use sockeye_cluster::recovery::Position;

use crate::client::Client;
use crate::fleet::eventually;
use crate::support::WebSocket;

/// A client that remembers the secret of its session, and the offset of the event that it got last.
pub(crate) struct Visitor {
    pub(crate) client: Client,
    pub(crate) pass: Pass,
}

/// The proof that a client shows to be recovered.
#[derive(Clone, Debug)]
pub(crate) struct Pass {
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) offset: Option<String>,
}

impl Visitor {
    pub(crate) async fn enter(server: &Server) -> Self {
        let mut socket = WebSocket::connect(server).await;
        let reply = socket.text().await;
        let (id, secret) = (field(&reply, "sid"), field(&reply, "pid"));
        Self { client: Client { socket, id: id.clone() }, pass: Pass { id, secret, offset: None } }
    }

    /// The next event, without its offset, which is remembered.
    pub(crate) async fn event(&mut self) -> String {
        let text = self.client.text().await;
        self.pass.take(&text)
    }

    /// The next events with their offsets.
    pub(crate) async fn events(&mut self, count: usize) -> Vec<(Position, String)> {
        let mut events = Vec::new();
        for _ in 0..count {
            let text = self.client.text().await;
            let position = offset_of(&text).unwrap_or_else(|| panic!("an event without an offset: {text}"));
            events.push((position, self.pass.take(&text)));
        }
        events
    }

    /// Its connection ends, and its server has noticed that.
    pub(crate) async fn leave(self, server: &Server) -> Pass {
        drop(self.client);
        let sockets = server.main_namespace().sockets().clone();
        eventually("the socket is gone", || async { sockets.socket(&self.pass.id).is_none() }).await;
        self.pass
    }
}

impl Pass {
    /// Comes back to a server. If the session is recovered, gives the events that were missed, without their offsets.
    pub(crate) async fn come_back(&self, server: &Server) -> Option<(Visitor, Vec<String>)> {
        let Self { secret, offset, .. } = self;
        let offset = offset.as_ref().map(|offset| format!(",\"offset\":\"{offset}\"")).unwrap_or_default();
        let mut socket = WebSocket::connect_with(server, &format!("{{\"pid\":\"{secret}\"{offset}}}")).await;
        let (mut missed, mut pass) = (Vec::new(), self.clone());
        loop {
            let text = tokio::time::timeout(PATIENCE, socket.text()).await.expect("it is connected, or recovered");
            if text.starts_with("40") {
                let (id, secret) = (field(&text, "sid"), field(&text, "pid"));
                assert_eq!(id == self.id, secret == self.secret, "recovered as a whole, or not at all: {text}");
                return (id == self.id).then(|| (Visitor { client: Client { socket, id }, pass }, missed));
            }
            let event = pass.take(&text);
            if !event.starts_with("42[\"suite:") {
                missed.push(event);
            }
        }
    }

    /// Remembers the offset of an event, if it has one, and gives the event without it.
    fn take(&mut self, text: &str) -> String {
        let Some(position) = offset_of(text) else { return text.to_owned() };
        let offset = position.to_string();
        let event = text.replace(&format!(",\"{offset}\"]"), "]");
        self.offset = Some(offset);
        event
    }
}

/// The offset of an event: its last argument.
pub(crate) fn offset_of(text: &str) -> Option<Position> {
    text.strip_suffix("\"]")?.rsplit('"').next()?.parse().ok()
}

/// A text in the answer to CONNECT.
fn field(reply: &str, name: &str) -> String {
    let start = format!("\"{name}\":\"");
    reply.split(&start).nth(1).and_then(|rest| rest.split('"').next()).expect(reply).to_owned()
}

/// How long a server may take to find a session, or to give up.
const PATIENCE: Duration = Duration::from_secs(60);
