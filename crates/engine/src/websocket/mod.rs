//! The WebSocket transport: reads frames for one connection, and probes for one that wants to upgrade.
//!
//! An idle connection owns no buffer: bytes are read into a scratch buffer of the thread once the socket is readable, and
//! only the rest of a cut frame is kept, by the decoder.

mod probe;
mod reader;
mod stream;
mod tcp;

use std::pin::Pin;
use std::sync::Arc;

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use sockeye_websocket::Decoder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

pub(crate) use self::probe::{refuse, run_probe};
pub(crate) use self::reader::Reader;
pub(crate) use self::reader::{Flow, TURNS, TcpReader, tail, with_scratch};
use self::stream::StreamTask;
use super::conn::{Conn, Handover};
use crate::application::Application;
use crate::listen::Guarded;

/// The stream of a connection after the HTTP library let go of it.
pub(crate) enum Io {
    /// A plain socket: any thread may write to it.
    Tcp(TcpStream),
    /// Anything else: TLS, a stream within HTTP/2.
    Other(Pin<Box<dyn Stream>>),
}

/// A stream of bytes in both directions.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Stream for T {}

impl Io {
    /// Takes the stream back from the HTTP library, with a copy of what it has read already: its buffer of 8 KiB must go.
    pub(crate) fn from_upgraded(upgraded: Upgraded) -> (Self, Vec<u8>) {
        use hyper_util::server::conn::auto::upgrade::downcast;
        // The server's own listener, then those of others.
        let upgraded = match downcast::<TokioIo<Guarded<TcpStream>>>(upgraded) {
            Ok(parts) => return (Self::Tcp(parts.io.into_inner().into_inner()), parts.read_buf.to_vec()),
            Err(upgraded) => upgraded,
        };
        let upgraded = match downcast::<TokioIo<TcpStream>>(upgraded) {
            Ok(parts) => return (Self::Tcp(parts.io.into_inner()), parts.read_buf.to_vec()),
            Err(upgraded) => upgraded,
        };
        match upgraded.downcast::<TokioIo<TcpStream>>() {
            Ok(parts) => (Self::Tcp(parts.io.into_inner()), parts.read_buf.to_vec()),
            Err(upgraded) => (Self::Other(Box::pin(TokioIo::new(upgraded))), Vec::new()),
        }
    }

    /// The stream, whatever it is.
    pub(crate) fn into_stream(self) -> Pin<Box<dyn Stream>> {
        match self {
            Self::Tcp(stream) => Box::pin(stream),
            Self::Other(stream) => stream,
        }
    }
}

/// The WebSocket of a new session.
pub(crate) fn run<A: Application>(
    conn: &Arc<Conn<A>>,
    io: Io,
    first: Vec<u8>,
    decoder: Decoder,
    deflate: Option<usize>,
) {
    serve(conn, io, first, decoder, Handover { is_upgrade: false, deflate });
}

/// Lets a WebSocket carry a session from now on.
fn serve<A: Application>(conn: &Arc<Conn<A>>, io: Io, rest: Vec<u8>, decoder: Decoder, handover: Handover) {
    let reader = Reader::new(decoder, conn.revision());
    let stream: Pin<Box<dyn Stream>> = match io {
        Io::Tcp(stream) => match conn.engine().poller.enter(conn) {
            Some(entry) => return tcp::serve(conn, entry, stream, reader, rest, handover),
            None => Box::pin(stream),
        },
        Io::Other(stream) => stream,
    };
    StreamTask::serve(conn, stream, reader, rest, handover);
}
