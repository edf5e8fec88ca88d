//! A client's WebSocket.

use std::cell::RefCell;
use std::io;

use sockeye_protocol::engine::{Packet, PacketKind, Revision};
use sockeye_websocket::deflate::{Agreed, DeflateConfig, accept_response, offer};
use sockeye_websocket::handshake::{accept_key, client_key};
use sockeye_websocket::{
    Decoder, Event, Inflater, Input, Limits, OpCode, Role, write_masked_close, write_masked_frame,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::Until;
use super::stream::Stream;
use crate::error::Failure;
use crate::plan::Plan;
use crate::session::{Outgoing, Session};
use crate::target::Resolved;

/// An open WebSocket.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Stream,
    decoder: Decoder,
    out: Frames,
    /// What came with the response to the handshake.
    early: Vec<u8>,
}

impl Connection {
    /// Connects and asks for a WebSocket.
    pub(super) async fn open(target: &Resolved, plan: &Plan) -> Result<Self, Failure> {
        let mut stream = Stream::open(target).await?;
        let key = client_key(rand::random());
        let extensions = match plan.deflate {
            true => format!("Sec-WebSocket-Extensions: {}\r\n", offer(&DeflateConfig::default())),
            false => String::new(),
        };
        let request = format!(
            "GET {}?EIO=4&transport=websocket HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{extensions}\r\n",
            plan.path, target.authority
        );
        stream.write_all(request.as_bytes()).await.map_err(|error| Failure::of_io(&error))?;
        let (response, early) = read_response(&mut stream, target).await?;
        let agreed = check_response(&response, &key, plan.deflate)?;
        let largest = plan.traffic.as_ref().map_or(0, |traffic| traffic.payload);
        let limits = Limits { max_message: largest.saturating_mul(2).max(1_000_000), ..Limits::default() };
        let mut decoder = Decoder::new(Role::Client, limits);
        if let Some(agreed) = agreed {
            decoder = decoder.with_deflate(Inflater::new(&agreed, Role::Client));
        }
        Ok(Self { stream, decoder, out: Frames::default(), early })
    }

    /// Moves packets. Returns when the session has come so far, or has failed.
    pub(super) async fn run(&mut self, session: &mut Session, until: Until) -> Result<(), Failure> {
        let mut early = std::mem::take(&mut self.early);
        if !early.is_empty() {
            self.receive(&mut early, session)?;
        }
        // With TLS, some of what came may have been decrypted already.
        self.read(session)?;
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
            tokio::select! {
                ready = self.stream.ready(!self.out.bytes.is_empty()) => {
                    if ready.map_err(|error| Failure::of_io(&error))?.is_readable() {
                        self.read(session)?;
                    }
                }
                () = shared.woken(session.client()) => {}
            }
        }
    }

    fn read(&mut self, session: &mut Session) -> Result<(), Failure> {
        SCRATCH.with_borrow_mut(|scratch| {
            loop {
                match self.stream.try_read(scratch) {
                    Ok(0) => return Err(Failure::Ended("the connection was closed".to_owned())),
                    Ok(count) => {
                        self.receive(scratch.get_mut(..count).unwrap_or_default(), session)?;
                        if count < scratch.len() {
                            return Ok(());
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                    Err(error) => return Err(Failure::of_io(&error)),
                }
            }
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
        loop {
            match self.stream.try_write(&self.out.bytes) {
                Ok(written) if written == self.out.bytes.len() => {
                    self.out.bytes.clear();
                    return Ok(());
                }
                Ok(written) => drop(self.out.bytes.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(Failure::of_io(&error)),
            }
        }
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

    fn push_binary(&mut self, data: &[u8]) {
        write_masked_frame(&mut self.bytes, OpCode::Binary, false, data, rand::random());
    }

    fn len(&self) -> usize {
        self.bytes.len()
    }
}

/// Reads the response to the handshake, which must be the one to a WebSocket; gives it, and what came after it.
async fn read_response(stream: &mut Stream, target: &Resolved) -> Result<(String, Vec<u8>), Failure> {
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
    let text = String::from_utf8_lossy(&received).into_owned();
    let status = text.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok());
    match status {
        Some(101) => Ok((text, body)),
        Some(status) => {
            let body = rest_of_body(stream, body).await;
            Err(Failure::of_status(&target.url, "WebSocket", status, &body))
        }
        None => Err(Failure::Protocol("the response to the WebSocket request is not HTTP".to_owned())),
    }
}

/// Checks the headers of a response; what was agreed on, if permessage-deflate was asked for.
fn check_response(response: &str, key: &str, deflate: bool) -> Result<Option<Agreed>, Failure> {
    let header = |wanted: &str| {
        let mut headers = response.lines().filter_map(|line| line.split_once(':'));
        headers.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim())
    };
    if header("sec-websocket-accept") != accept_key(key).as_deref() {
        return Err(Failure::Protocol("Sec-WebSocket-Accept does not answer the key".to_owned()));
    }
    match header("sec-websocket-extensions") {
        None if deflate => Err(Failure::NoDeflate),
        Some(answer) if deflate => accept_response(answer, &DeflateConfig::default())
            .map(Some)
            .map_err(|error| Failure::Protocol(error.to_string())),
        _ => Ok(None),
    }
}

/// What a refusal says, as far as it comes soon.
async fn rest_of_body(stream: &mut Stream, mut body: Vec<u8>) -> Vec<u8> {
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
