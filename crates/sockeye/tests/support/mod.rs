//! A client for tests that speaks the protocol by hand, over a pipe in memory: no ports, and time can be virtual.

#![allow(dead_code, unreachable_pub, reason = "every test file has its own copy, and not each uses all of it")]

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use sockeye::{NotFound, RemoteAddr, Server};
use sockeye_websocket::{Decoder, Event, Input, Limits, OpCode, Role, write_masked_close, write_masked_frame};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tower_service::Service as _;

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
    pub async fn open(server: &Server, query: &str) -> Self {
        Self::open_with(server, query, "", 1 << 20).await.expect("the upgrade is accepted")
    }

    /// The same with more headers, and a pipe of this size; an error is the response's head.
    pub async fn open_with(server: &Server, query: &str, headers: &str, pipe: usize) -> Result<Self, String> {
        let (stream, theirs) = tokio::io::duplex(pipe);
        tokio::spawn(server.clone().serve_connection(theirs, None, false, NotFound));
        Self::open_on(stream, query, headers).await
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
        Self { stream: Box::new(stream), decoder, pending: VecDeque::new(), answers_pings: true }
    }

    /// Opens a session and joins the main namespace.
    pub async fn connect(server: &Server) -> Self {
        Self::connect_with(server, "").await
    }

    /// The same with this `auth`, as JSON.
    pub async fn connect_with(server: &Server, auth: &str) -> Self {
        let mut socket = Self::open(server, "EIO=4&transport=websocket").await;
        let open = socket.text().await;
        assert!(open.starts_with("0{\"sid\""), "{open}");
        socket.send(&format!("40{auth}")).await;
        socket
    }

    /// The same, with the answer of the namespace read: the socket's id.
    pub async fn joined(server: &Server) -> (Self, String) {
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
            let count = self.stream.read(&mut buffer).await.unwrap_or(0);
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

    /// The next text, if it comes within a second.
    pub async fn text_soon(&mut self) -> Option<String> {
        tokio::time::timeout(Duration::from_secs(1), self.text()).await.ok()
    }

    /// Nothing must come within a second.
    pub async fn silence(&mut self) {
        if let Ok(got) = tokio::time::timeout(Duration::from_secs(1), self.next()).await {
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

/// A long-polling client: requests go straight to the service.
pub struct Polling {
    server: Server,
    /// The session id.
    pub sid: String,
    version: u8,
}

/// One request to the server's service.
pub async fn request(
    server: &Server,
    method: Method,
    target: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, Response<()>, String) {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).expect("a valid request");
    request.extensions_mut().insert(RemoteAddr(([127, 0, 0, 1], 4000).into()));
    let response = server.service(NotFound).call(request).await.expect("infallible");
    let (parts, body) = response.into_parts();
    let body = body.collect().await.expect("the body is in memory").to_bytes();
    let status = parts.status.as_u16();
    (status, Response::from_parts(parts, ()), String::from_utf8_lossy(&body).into_owned())
}

impl Polling {
    /// Opens a session.
    pub async fn open(server: &Server) -> Self {
        Self::open_version(server, 4).await
    }

    /// Opens a session of this revision.
    pub async fn open_version(server: &Server, version: u8) -> Self {
        let target = format!("/socket.io/?EIO={version}&transport=polling");
        let (status, _, body) = request(server, Method::GET, &target, &[], "").await;
        assert_eq!(status, 200, "{body}");
        let sid = body.split("\"sid\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect(&body).to_owned();
        Self { server: server.clone(), sid, version }
    }

    /// Opens a session and joins the main namespace.
    pub async fn joined(server: &Server) -> Self {
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
