//! Our codec against that of `tungstenite`: what one writes, the other reads, and both refuse the same frames.

use std::{
    cell::RefCell,
    io::{self, Read, Write},
    rc::Rc,
};

use proptest::prelude::*;
use sockeye_websocket::{
    Decoder, Event, Input, Limits, OpCode, Role, write_close, write_frame, write_masked_close, write_masked_frame,
};
use tungstenite::{
    Message, WebSocket,
    protocol::{CloseFrame, Role as TheirRole, WebSocketConfig, frame::coding::CloseCode},
};

/// A connection in memory: `incoming` is read until it is used up, what is written is kept in `outgoing`.
#[derive(Debug, Clone, Default)]
struct Wire {
    incoming: Rc<RefCell<Vec<u8>>>,
    outgoing: Rc<RefCell<Vec<u8>>>,
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut incoming = self.incoming.borrow_mut();
        if incoming.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = buffer.len().min(incoming.len());
        buffer[..count].copy_from_slice(&incoming[..count]);
        incoming.drain(..count);
        Ok(count)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.outgoing.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A message of either side.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Common {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
}

impl From<Event<'_>> for Common {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Text(text) => Self::Text(text.to_owned()),
            Event::Binary(bytes) => Self::Binary(bytes.to_vec()),
            Event::Ping(bytes) => Self::Ping(bytes.to_vec()),
            Event::Pong(bytes) => Self::Pong(bytes.to_vec()),
            Event::Close { code, reason } => Self::Close(code, reason.to_owned()),
        }
    }
}

impl From<Message> for Common {
    fn from(message: Message) -> Self {
        match message {
            Message::Text(text) => Self::Text(text.as_str().to_owned()),
            Message::Binary(bytes) => Self::Binary(bytes.to_vec()),
            Message::Ping(bytes) => Self::Ping(bytes.to_vec()),
            Message::Pong(bytes) => Self::Pong(bytes.to_vec()),
            Message::Close(None) => Self::Close(None, String::new()),
            Message::Close(Some(frame)) => Self::Close(Some(frame.code.into()), frame.reason.as_str().to_owned()),
            Message::Frame(_) => panic!("a raw frame is never read"),
        }
    }
}

impl From<&Common> for Message {
    fn from(common: &Common) -> Self {
        match common.clone() {
            Common::Text(text) => Self::Text(text.into()),
            Common::Binary(bytes) => Self::Binary(bytes.into()),
            Common::Ping(bytes) => Self::Ping(bytes.into()),
            Common::Pong(bytes) => Self::Pong(bytes.into()),
            Common::Close(code, reason) => {
                Self::Close(code.map(|code| CloseFrame { code: CloseCode::from(code), reason: reason.into() }))
            }
        }
    }
}

const LIMITS: Limits = Limits { max_message: 100_000, max_fragments: 1000 };

/// What we read, and whether all of it was well-formed.
fn read_ours(role: Role, wire: &[u8], chunk: usize) -> (Vec<Common>, bool) {
    let mut decoder = Decoder::new(role, LIMITS);
    let mut found = Vec::new();
    for chunk in wire.to_vec().chunks_mut(chunk) {
        let mut input = Input::new(chunk);
        loop {
            match decoder.decode(&mut input) {
                Ok(Some(event)) => found.push(event.into()),
                Ok(None) => break,
                Err(_) => return (found, false),
            }
        }
    }
    (found, true)
}

/// The same for tungstenite.
fn read_theirs(role: TheirRole, wire: &[u8]) -> (Vec<Common>, bool) {
    let config = WebSocketConfig::default().max_message_size(Some(LIMITS.max_message)).max_frame_size(None);
    let connection = Wire::default();
    connection.incoming.borrow_mut().extend_from_slice(wire);
    let mut socket = WebSocket::from_raw_socket(connection, role, Some(config));
    let mut found = Vec::new();
    loop {
        match socket.read() {
            // A close code that must not be sent is given out as if it were this one.
            Ok(Message::Close(Some(CloseFrame { code: CloseCode::Protocol, reason })))
                if reason == "Protocol violation" =>
            {
                return (found, false);
            }
            Ok(message) => found.push(message.into()),
            Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return (found, true),
            Err(tungstenite::Error::ConnectionClosed) => return (found, true),
            Err(_) => return (found, false),
        }
    }
}

fn write_theirs(role: TheirRole, messages: &[Common]) -> Vec<u8> {
    let connection = Wire::default();
    let mut socket = WebSocket::from_raw_socket(connection.clone(), role, None);
    for message in messages {
        socket.send(message.into()).expect("written");
    }
    connection.outgoing.take()
}

fn write_ours(role: Role, messages: &[Common]) -> Vec<u8> {
    let mut out = Vec::new();
    for (i, message) in messages.iter().enumerate() {
        let key = (i as u32).wrapping_mul(0x9e37_79b9).to_le_bytes();
        let (opcode, payload) = match message {
            Common::Text(text) => (OpCode::Text, text.as_bytes()),
            Common::Binary(bytes) => (OpCode::Binary, &bytes[..]),
            Common::Ping(bytes) => (OpCode::Ping, &bytes[..]),
            Common::Pong(bytes) => (OpCode::Pong, &bytes[..]),
            Common::Close(code, reason) => {
                match role {
                    Role::Server => write_close(&mut out, *code, reason),
                    Role::Client => write_masked_close(&mut out, *code, reason, key),
                }
                continue;
            }
        };
        match role {
            Role::Server => write_frame(&mut out, opcode, payload),
            Role::Client => write_masked_frame(&mut out, opcode, false, payload, key),
        }
    }
    out
}

fn messages() -> impl Strategy<Value = Vec<Common>> {
    let length = prop_oneof![0usize..130, 60_000usize..70_000];
    let control = || prop::collection::vec(any::<u8>(), 0..=125);
    let message = prop_oneof![
        "\\PC{0,100}".prop_map(Common::Text),
        (any::<u8>(), length).prop_map(|(byte, length)| Common::Binary(vec![byte; length])),
        control().prop_map(Common::Ping),
        control().prop_map(Common::Pong),
    ];
    let close = prop::option::of((prop::option::of(3000u16..5000), "[a-zü]{0,50}"));
    (prop::collection::vec(message, 0..6), close).prop_map(|(mut messages, close)| {
        if let Some((code, reason)) = close {
            messages.push(Common::Close(code, if code.is_some() { reason } else { String::new() }));
        }
        messages
    })
}

/// Bytes of frames with any bits set, masked as from a client.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        6 => prop::sample::select(&[0x81u8, 0x82, 0x01, 0x02, 0x80, 0x00, 0x88, 0x89, 0x8a][..]),
        1 => any::<u8>(),
    ];
    let payload = prop_oneof!["[a-zü€😀]{0,10}".prop_map(String::into_bytes), prop::collection::vec(any::<u8>(), 0..6)];
    let frame = (first, payload, any::<[u8; 4]>()).prop_map(|(first, payload, key)| {
        let mut out = Vec::new();
        write_masked_frame(&mut out, OpCode::Text, false, &payload, key);
        out[0] = first;
        out
    });
    prop::collection::vec(frame, 0..6).prop_map(|frames| frames.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn we_read_their_client(messages in messages(), chunk in 1usize..5000) {
        let wire = write_theirs(TheirRole::Client, &messages);
        prop_assert_eq!(read_ours(Role::Server, &wire, chunk), (messages, true));
    }

    #[test]
    fn we_read_their_server(messages in messages(), chunk in 1usize..5000) {
        let wire = write_theirs(TheirRole::Server, &messages);
        prop_assert_eq!(read_ours(Role::Client, &wire, chunk), (messages, true));
    }

    #[test]
    fn their_server_reads_our_client(messages in messages()) {
        let wire = write_ours(Role::Client, &messages);
        prop_assert_eq!(read_theirs(TheirRole::Server, &wire), (messages, true));
    }

    #[test]
    fn their_client_reads_our_server(messages in messages()) {
        let wire = write_ours(Role::Server, &messages);
        prop_assert_eq!(read_theirs(TheirRole::Client, &wire), (messages, true));
    }

    #[test]
    fn we_accept_and_refuse_the_same(wire in frames(), chunk in 1usize..50) {
        let ours = read_ours(Role::Server, &wire, chunk);
        let theirs = read_theirs(TheirRole::Server, &wire);
        prop_assert_eq!(ours, theirs);
    }
}
