//! A small Socket.IO client. The tests of the program's modules have it too.

#![allow(dead_code, unreachable_pub, reason = "each test program uses a part of it")]

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A Socket.IO client in one namespace, over WebSocket.
pub struct Client<S = TcpStream> {
    socket: WebSocketStream<S>,
    pub id: String,
    /// What a recovery is asked for with: the secret of the session, and the offset of the last event.
    pub recovery: Value,
    namespace: String,
    /// Events end in an offset, for recovery; it is taken away.
    recovers: bool,
    next_ack: u64,
    events: Vec<Vec<Value>>,
}

impl Client {
    /// Connects to the main namespace.
    pub async fn connect(address: SocketAddr, auth: Value) -> Self {
        Self::connect_to(address, "/", auth).await.unwrap()
    }

    /// Connects to a namespace. The error is that of the `connect_error`.
    pub async fn connect_to(address: SocketAddr, namespace: &str, auth: Value) -> Result<Self, Value> {
        let stream = TcpStream::connect(address).await.unwrap();
        Self::over(stream, "ws", namespace, auth).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// Connects over a stream that is there already.
    pub async fn over(stream: S, scheme: &str, namespace: &str, auth: Value) -> Result<Self, Value> {
        let url = format!("{scheme}://localhost/socket.io/?EIO=4&transport=websocket");
        let (socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
        let namespace = if namespace == "/" { String::new() } else { format!("{namespace},") };
        let mut client = Self {
            socket,
            id: String::new(),
            recovery: Value::Null,
            namespace,
            recovers: false,
            next_ack: 0,
            events: Vec::new(),
        };
        assert!(client.text().await.starts_with('0'));
        client.send(format!("40{}{auth}", client.namespace)).await;
        let mut answer = client.text().await;
        client.recovers = auth["pid"].is_string();
        while client.recovers && answer.starts_with("42") {
            // What a recovered client missed comes before the answer, as it does from the official server.
            client.keep(&answer);
            answer = client.text().await;
        }
        let (kind, rest) = answer.split_at(2);
        let body: Value = serde_json::from_str(rest.strip_prefix(client.namespace.as_str()).unwrap()).unwrap();
        if kind == "44" {
            return Err(body);
        }
        assert_eq!(kind, "40");
        client.recovers = body["pid"].is_string();
        client.recovery = json!({ "pid": body["pid"], "offset": null });
        client.id = body["sid"].as_str().unwrap().to_owned();
        Ok(client)
    }

    pub async fn send(&mut self, text: String) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    /// Sends an event with its arguments; `args` is an array.
    pub async fn emit(&mut self, event: &str, args: Value) {
        let packet = packet(event, args);
        self.send(format!("42{}{packet}", self.namespace)).await;
    }

    /// Sends an event with one attachment, for the placeholder in its arguments.
    pub async fn emit_binary(&mut self, event: &str, args: Value, attachment: &[u8]) {
        let packet = packet(event, args);
        self.send(format!("451-{}{packet}", self.namespace)).await;
        self.socket.send(Message::binary(attachment.to_vec())).await.unwrap();
    }

    /// Sends an event and waits for its acknowledgement. Events that come before are kept.
    pub async fn ask(&mut self, event: &str, args: Value) -> Value {
        let id = self.next_ack;
        self.next_ack += 1;
        let packet = packet(event, args);
        self.send(format!("42{}{id}{packet}", self.namespace)).await;
        loop {
            let text = self.text().await;
            if let Some(answer) = text.strip_prefix(&format!("43{}{id}", self.namespace)) {
                let mut args: Vec<Value> = serde_json::from_str(answer).unwrap();
                assert_eq!(args.len(), 1, "{text}");
                return args.remove(0);
            }
            self.keep(&text);
        }
    }

    /// The next event: its name and arguments.
    pub async fn event(&mut self) -> Value {
        while self.events.is_empty() {
            let text = self.text().await;
            self.keep(&text);
        }
        Value::Array(self.events.remove(0))
    }

    /// Asserts that no event came before the answer to a question.
    pub async fn assert_quiet(&mut self) {
        assert_eq!(self.ask("no such event", json!([])).await["error"], "unknown event");
        assert!(self.events.is_empty(), "{:?}", self.events);
    }

    fn keep(&mut self, text: &str) {
        let body = text.strip_prefix("42").or_else(|| text.strip_prefix("451-")).unwrap_or_else(|| panic!("{text}"));
        let body = body.strip_prefix(self.namespace.as_str()).unwrap();
        let mut event: Vec<Value> = serde_json::from_str(body).unwrap();
        // Volatile ones have no offset.
        if self.recovers && event.last().is_some_and(Value::is_string) {
            self.recovery["offset"] = event.pop().unwrap();
        }
        self.events.push(event);
    }

    /// The next message that is text, but for heartbeats.
    pub async fn text(&mut self) -> String {
        loop {
            match self.message().await {
                Some(Message::Text(text)) if text.as_str() == "2" => self.send("3".to_owned()).await,
                Some(Message::Text(text)) => return text.as_str().to_owned(),
                other => panic!("{other:?}"),
            }
        }
    }

    /// The next message; none at the end.
    pub async fn message(&mut self) -> Option<Message> {
        let next = tokio::time::timeout(PATIENCE, self.socket.next()).await;
        next.expect("no message comes").and_then(Result::ok)
    }
}

fn packet(event: &str, args: Value) -> Value {
    let Value::Array(args) = args else { panic!("{args} is not an array") };
    std::iter::once(Value::from(event)).chain(args).collect()
}
