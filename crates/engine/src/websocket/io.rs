//! The stream of a WebSocket, once the HTTP library has let go of it.

use std::pin::Pin;

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

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
