//! A client for tests that speaks the protocol by hand: over a pipe in memory, where time can be virtual, or over TCP.

#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    unused_macros,
    reason = "every test file has its own copy, and not each uses all of it"
)]

pub mod net;

use std::collections::VecDeque;
use std::time::Duration;

use http::{Method, Response};
use net::Served;
use sockeye_websocket::{Decoder, Event, Input, Limits, OpCode, Role, write_masked_close, write_masked_frame};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

const KEY: [u8; 4] = [1, 2, 3, 4];

/// What a client got over its WebSocket.
#[derive(Clone, Debug, PartialEq)]
pub enum Got {
    /// A text message.
    Text(String),
    /// A binary message.
    Binary(Vec<u8>),
    /// The server closed it, with this code.
    Close(Option<u16>),
    /// The stream ended.
    End,
}

/// A stream of bytes in both directions.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

/// A WebSocket client.
pub struct WebSocket {
    stream: Box<dyn Stream>,
    decoder: Decoder,
    pending: VecDeque<Got>,
    /// Time is real, so that silence cannot be waited for.
    is_tcp: bool,
    /// How often the client has said its last words.
    last_words: u32,
    /// Answers `2` with `3` by itself.
    pub answers_pings: bool,
}

impl std::fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebSocket").field("pending", &self.pending).finish_non_exhaustive()
    }
}

impl WebSocket {
    /// Opens a WebSocket with this query; the response's head is read.
    pub async fn open(server: impl Into<Served>, query: &str) -> Self {
        Self::open_with(server, query, "", 1 << 20).await.expect("the upgrade is accepted")
    }

    /// The same with more headers, and a buffer of this size between the two; an error is the response's head.
    pub async fn open_with(
        server: impl Into<Served>,
        query: &str,
        headers: &str,
        buffer: usize,
    ) -> Result<Self, String> {
        let server = server.into();
        let mut socket = Self::open_on(server.connect(buffer).await, query, headers).await?;
        socket.is_tcp = server.is_tcp();
        Ok(socket)
    }

    /// The same on a stream that leads to a server.
    pub async fn open_on(mut stream: impl Stream, query: &str, headers: &str) -> Result<Self, String> {
        let request = format!(
            "GET /socket.io/?{query} HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
        );
        stream.write_all(request.as_bytes()).await.expect("the server reads");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => break,
            }
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        if !head.starts_with("HTTP/1.1 101") {
            return Err(head);
        }
        Ok(Self::opened(stream))
    }

    /// On a stream that is one already.
    pub fn opened(stream: impl Stream) -> Self {
        let limits = Limits { max_message: 64 << 20, ..Limits::default() };
        let decoder = Decoder::new(Role::Client, limits);
        Self {
            stream: Box::new(stream),
            decoder,
            pending: VecDeque::new(),
            is_tcp: false,
            last_words: 0,
            answers_pings: true,
        }
    }

    /// Opens a session and joins the main namespace.
    pub async fn connect(server: impl Into<Served>) -> Self {
        Self::connect_with(server, "").await
    }

    /// The same with this `auth`, as JSON.
    pub async fn connect_with(server: impl Into<Served>, auth: &str) -> Self {
        let mut socket = Self::open(server, "EIO=4&transport=websocket").await;
        let open = socket.text().await;
        assert!(open.starts_with("0{\"sid\""), "{open}");
        socket.send(&format!("40{auth}")).await;
        socket
    }

    /// The same, with the answer of the namespace read: the socket's id.
    pub async fn joined(server: impl Into<Served>) -> (Self, String) {
        let mut socket = Self::connect(server).await;
        let reply = socket.text().await;
        let id = reply.strip_prefix("40{\"sid\":\"").and_then(|rest| rest.split('"').next()).expect(&reply).to_owned();
        (socket, id)
    }

    /// Sends a text message.
    pub async fn send(&mut self, text: &str) {
        let mut frame = Vec::new();
        write_masked_frame(&mut frame, OpCode::Text, false, text.as_bytes(), KEY);
        self.write(&frame).await;
    }

    /// Sends a binary message.
    pub async fn send_binary(&mut self, data: &[u8]) {
        let mut frame = Vec::new();
        write_masked_frame(&mut frame, OpCode::Binary, false, data, KEY);
        self.write(&frame).await;
    }

    /// Sends a close frame.
    pub async fn close(&mut self) {
        let mut frame = Vec::new();
        write_masked_close(&mut frame, None, "", KEY);
        self.write(&frame).await;
    }

    /// Writes bytes as they are.
    pub async fn write(&mut self, bytes: &[u8]) {
        // A server that is gone is seen by what is read.
        let _gone = self.stream.write_all(bytes).await;
    }

    /// What comes next; heartbeats are answered and left out, if they are to be.
    pub async fn next(&mut self) -> Got {
        loop {
            match self.next_raw().await {
                Got::Text(text) if text == "2" && self.answers_pings => self.send("3").await,
                Got::Text(text) if self.last_words > 0 && text.starts_with("44/last-words-") => {}
                got => return got,
            }
        }
    }

    async fn next_raw(&mut self) -> Got {
        loop {
            if let Some(got) = self.pending.pop_front() {
                return got;
            }
            let mut buffer = vec![0; 64 * 1024];
            let read = self.stream.read(&mut buffer);
            let read = if self.is_tcp {
                tokio::time::timeout(net::LIMIT, read).await.expect("the server says something in time")
            } else {
                read.await
            };
            let count = read.unwrap_or(0);
            if count == 0 {
                return Got::End;
            }
            let mut input = Input::new(&mut buffer[..count]);
            while let Some(event) = self.decoder.decode(&mut input).expect("the server keeps the protocol") {
                match event {
                    Event::Text(text) => self.pending.push_back(Got::Text(text.to_owned())),
                    Event::Binary(data) => self.pending.push_back(Got::Binary(data.to_vec())),
                    Event::Close { code, .. } => self.pending.push_back(Got::Close(code)),
                    Event::Ping(_) | Event::Pong(_) => {}
                }
            }
        }
    }

    /// The next message, which must be text.
    pub async fn text(&mut self) -> String {
        match self.next().await {
            Got::Text(text) => text,
            got => panic!("expected text, got {got:?}"),
        }
    }

    /// What comes within a second of virtual time; over TCP, what comes before the answer to the last words.
    async fn next_soon(&mut self) -> Option<Got> {
        if !self.is_tcp {
            return tokio::time::timeout(Duration::from_secs(1), self.next()).await.ok();
        }
        self.last_words += 1;
        let name = format!("/last-words-{}", self.last_words);
        self.send(&format!("40{name},")).await;
        let answer = Got::Text(format!("44{name},{{\"message\":\"Invalid namespace\"}}"));
        loop {
            match self.next_raw().await {
                got if got == answer => return None,
                Got::Text(text) if text == "2" && self.answers_pings => self.send("3").await,
                Got::Text(text) if text.starts_with("44/last-words-") => {}
                got => return Some(got),
            }
        }
    }

    /// The next text, if it comes soon: within a second of virtual time, or before the answer to the last words.
    pub async fn text_soon(&mut self) -> Option<String> {
        match self.next_soon().await? {
            Got::Text(text) => Some(text),
            got => panic!("expected text, got {got:?}"),
        }
    }

    /// Nothing must come: within a second of virtual time, or before the answer to the last words. All that the client has sent
    /// before has been handled then, as far as no handler waits.
    pub async fn silence(&mut self) {
        if let Some(got) = self.next_soon().await {
            panic!("expected nothing, got {got:?}");
        }
    }

    /// The server must close, with this code; what comes before is left out.
    pub async fn closed(&mut self) -> Option<u16> {
        loop {
            match self.next().await {
                Got::Close(code) => return code,
                Got::End => panic!("the stream ended without a close"),
                _ => {}
            }
        }
    }
}

/// A long-polling client.
pub struct Polling {
    server: Served,
    /// The session id.
    pub sid: String,
    version: u8,
}

/// One request to the server.
pub async fn request(
    server: impl Into<Served>,
    method: Method,
    target: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, Response<()>, String) {
    server.into().request(method, target, headers, body).await
}

impl Polling {
    /// Opens a session.
    pub async fn open(server: impl Into<Served>) -> Self {
        Self::open_version(server, 4).await
    }

    /// Opens a session of this revision.
    pub async fn open_version(server: impl Into<Served>, version: u8) -> Self {
        let server = server.into();
        let target = format!("/socket.io/?EIO={version}&transport=polling");
        let (status, _, body) = request(&server, Method::GET, &target, &[], "").await;
        assert_eq!(status, 200, "{body}");
        let sid = body.split("\"sid\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect(&body).to_owned();
        Self { server, sid, version }
    }

    /// Opens a session and joins the main namespace.
    pub async fn joined(server: impl Into<Served>) -> Self {
        let polling = Self::open(server).await;
        assert_eq!(polling.post("40").await, (200, "ok".to_owned()));
        let (_, reply) = polling.get().await;
        assert!(reply.starts_with("40{\"sid\""), "{reply}");
        polling
    }

    /// A GET.
    pub async fn get(&self) -> (u16, String) {
        let (status, _, body) = request(&self.server, Method::GET, &self.target(), &[], "").await;
        (status, body)
    }

    /// A POST.
    pub async fn post(&self, body: &str) -> (u16, String) {
        let (status, _, body) = request(&self.server, Method::POST, &self.target(), &[], body).await;
        (status, body)
    }

    /// The request target of the session.
    pub fn target(&self) -> String {
        format!("/socket.io/?EIO={}&transport=polling&sid={}", self.version, self.sid)
    }
}
