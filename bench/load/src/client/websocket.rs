//! A client's WebSocket.

use std::cell::RefCell;
use std::io;

use sockeye_protocol::engine::{Packet, PacketKind, Revision};
use sockeye_websocket::handshake::{accept_key, client_key};
use sockeye_websocket::{Decoder, Event, Input, Limits, OpCode, Role, write_masked_close, write_masked_frame};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::TcpStream;

use super::Until;
use crate::error::Failure;
use crate::plan::Plan;
use crate::session::{Outgoing, Session};
use crate::target::Resolved;

/// An open WebSocket.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    decoder: Decoder,
    out: Frames,
    /// What came with the response to the handshake.
    early: Vec<u8>,
}

impl Connection {
    /// Connects and asks for a WebSocket.
    pub(super) async fn open(target: &Resolved, plan: &Plan) -> Result<Self, Failure> {
        let connected = TcpStream::connect(target.address).await;
        let mut stream = connected.map_err(|error| Failure::of_connect(&target.url, error))?;
        stream.set_nodelay(true).map_err(|error| Failure::of_io(&error))?;
        let key = client_key(rand::random());
        let request = format!(
            "GET {}?EIO=4&transport=websocket HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n",
            plan.path, target.authority
        );
        stream.write_all(request.as_bytes()).await.map_err(|error| Failure::of_io(&error))?;
        let early = read_response(&mut stream, target, &key).await?;
        let largest = plan.traffic.as_ref().map_or(0, |traffic| traffic.payload);
        let limits = Limits { max_message: largest.saturating_mul(2).max(1_000_000), ..Limits::default() };
        Ok(Self { stream, decoder: Decoder::new(Role::Client, limits), out: Frames::default(), early })
    }

    /// Moves packets. Returns when the session has come so far, or has failed.
    pub(super) async fn run(&mut self, session: &mut Session, until: Until) -> Result<(), Failure> {
        let mut early = std::mem::take(&mut self.early);
        if !early.is_empty() {
            self.receive(&mut early, session)?;
        }
        let shared = session.shared().clone();
        loop {
            {
                let mut tally = shared.stats.tally(session.client());
                session.poll_send(&mut tally, &mut self.out);
            }
            self.flush()?;
            match until {
                Until::Ready if session.is_ready() => return Ok(()),
                Until::Closing if shared.is_closing() => return self.close(),
                _ => {}
            }
            let interest =
                if self.out.bytes.is_empty() { Interest::READABLE } else { Interest::READABLE | Interest::WRITABLE };
            tokio::select! {
                ready = self.stream.ready(interest) => {
                    if ready.map_err(|error| Failure::of_io(&error))?.is_readable() {
                        self.read(session)?;
                    }
                }
                () = shared.woken(session.client()) => {}
            }
        }
    }

    fn read(&mut self, session: &mut Session) -> Result<(), Failure> {
        SCRATCH.with_borrow_mut(|scratch| match self.stream.try_read(scratch) {
            Ok(0) => Err(Failure::Ended("the connection was closed".to_owned())),
            Ok(count) => self.receive(scratch.get_mut(..count).unwrap_or_default(), session),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(Failure::of_io(&error)),
        })
    }

    fn receive(&mut self, chunk: &mut [u8], session: &mut Session) -> Result<(), Failure> {
        let shared = session.shared().clone();
        let now = shared.now();
        let mut tally = shared.stats.tally(session.client());
        let mut input = Input::new(chunk);
        loop {
            let event = self.decoder.decode(&mut input).map_err(|error| Failure::Protocol(error.to_string()))?;
            let packet = match event {
                None => return Ok(()),
                Some(Event::Text(text)) => Packet::decode_text(text, Revision::V4),
                Some(Event::Binary(bytes)) => Packet::decode_binary(bytes, Revision::V4),
                Some(Event::Ping(bytes)) => {
                    write_masked_frame(&mut self.out.bytes, OpCode::Pong, false, bytes, rand::random());
                    continue;
                }
                Some(Event::Pong(_)) => continue,
                Some(Event::Close { code, reason }) => {
                    let code = code.map_or_else(|| "none".to_owned(), |code| code.to_string());
                    return Err(Failure::Ended(format!("it closed the WebSocket, code {code} {reason}")));
                }
            };
            let packet = packet.map_err(|error| Failure::Protocol(error.to_string()))?;
            session.handle_packet(packet, now, &mut tally, &mut self.out)?;
        }
    }

    /// Writes what the socket takes.
    fn flush(&mut self) -> Result<(), Failure> {
        while !self.out.bytes.is_empty() {
            match self.stream.try_write(&self.out.bytes) {
                Ok(written) if written == self.out.bytes.len() => self.out.bytes.clear(),
                Ok(written) => drop(self.out.bytes.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(Failure::of_io(&error)),
            }
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), Failure> {
        self.out.push(PacketKind::Close, "");
        write_masked_close(&mut self.out.bytes, Some(1000), "", rand::random());
        self.flush()
    }
}

/// Frames that wait to be written.
#[derive(Debug, Default)]
struct Frames {
    bytes: Vec<u8>,
    /// The packet at hand.
    packet: Vec<u8>,
}

impl Outgoing for Frames {
    fn push(&mut self, kind: PacketKind, text: &str) {
        self.packet.clear();
        self.packet.push(kind.digit());
        self.packet.extend_from_slice(text.as_bytes());
        write_masked_frame(&mut self.bytes, OpCode::Text, false, &self.packet, rand::random());
    }

    fn len(&self) -> usize {
        self.bytes.len()
    }
}

/// Reads the response to the handshake; gives what came after it.
async fn read_response(stream: &mut TcpStream, target: &Resolved, key: &str) -> Result<Vec<u8>, Failure> {
    let mut received = Vec::new();
    let body = loop {
        if let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") {
            break received.split_off(end + 4);
        }
        if received.len() > MOST_HEADERS {
            return Err(Failure::Protocol("the response to the WebSocket request has no end".to_owned()));
        }
        if stream.read_buf(&mut received).await.map_err(|error| Failure::of_io(&error))? == 0 {
            return Err(Failure::Ended("the WebSocket request got no response".to_owned()));
        }
    };
    let text = String::from_utf8_lossy(&received);
    let mut lines = text.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse::<u16>().ok());
    match status {
        Some(101) => {}
        Some(status) => {
            let body = rest_of_body(stream, body).await;
            return Err(Failure::of_status(&target.url, "WebSocket", status, &body));
        }
        None => return Err(Failure::Protocol("the response to the WebSocket request is not HTTP".to_owned())),
    }
    let mut headers = lines.filter_map(|line| line.split_once(':'));
    let accept = headers.find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-accept"));
    if accept.map(|(_, value)| value.trim()) != accept_key(key).as_deref() {
        return Err(Failure::Protocol("Sec-WebSocket-Accept does not answer the key".to_owned()));
    }
    Ok(body)
}

/// What a refusal says, as far as it comes soon.
async fn rest_of_body(stream: &mut TcpStream, mut body: Vec<u8>) -> Vec<u8> {
    let reading = async {
        while body.len() < MOST_HEADERS && matches!(stream.read_buf(&mut body).await, Ok(count) if count > 0) {}
    };
    // A server that keeps the connection open has said all by then.
    tokio::time::timeout(std::time::Duration::from_millis(100), reading).await.unwrap_or_default();
    body
}

thread_local! {
    /// What is read goes through one buffer a thread: a client that hears nothing holds none.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; 64 * 1024]);
}

/// The longest response to a handshake, in bytes.
const MOST_HEADERS: usize = 16 * 1024;
