//! Engine.IO: packets, payloads, requests and the session state machine.
//!
//! One request or WebSocket goes through these parts in turn:
//! 1. [`Query::parse`] and [`Verify`] decide what the request is, or which [`HandshakeError`] it gets;
//! 2. [`Packet`] and [`decode_payload`] read what the client sent, [`PayloadEncoder`] and [`jsonp`] write what it polls;
//! 3. [`Session`] keeps the rules: heartbeat, upgrade, close.

#[cfg(any(test, fuzzing, feature = "fuzz"))]
pub mod fuzz;
pub mod jsonp;

mod base64;
mod error;
mod open;
mod packet;
mod payload;
mod request;
mod session;

pub use error::{BadRequestContext, HandshakeError};
pub use open::OpenPacket;
pub use packet::{Data, Packet, PacketError, PacketKind, Revision, TransportKind};
pub use payload::{Payload, PayloadBody, PayloadEncoder, decode_payload};
pub use request::{EngineRequest, Query, SessionInfo, Verify};
pub use session::{Outcome, ProbeOutcome, ProbeRefused, Session, SessionConfig, Timeout};

pub use self::base64::encode_base64_message;
