//! The connection under a client: TCP, with or without TLS.

use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::error::Failure;
use crate::target::Resolved;

/// A connection.
///
/// A WebSocket uses it without waiting ([`try_read`](Self::try_read), [`try_write`](Self::try_write)), so that it needs no
/// buffer while it waits for [`ready`](Self::ready).
#[derive(Debug)]
pub(super) enum Stream {
    Plain(TcpStream),
    Encrypted(Box<TlsStream<TcpStream>>),
}

impl Stream {
    pub(super) async fn open(target: &Resolved) -> Result<Self, Failure> {
        let connected = TcpStream::connect(target.address).await;
        let stream = connected.map_err(|error| Failure::of_connect(&target.url, error))?;
        stream.set_nodelay(true).map_err(|error| Failure::of_io(&error))?;
        let Some((connector, name)) = &target.tls else { return Ok(Self::Plain(stream)) };
        match connector.connect(name.clone(), stream).await {
            Ok(stream) => Ok(Self::Encrypted(Box::new(stream))),
            Err(source) => Err(Failure::Tls { url: target.url.clone(), source }),
        }
    }

    /// Waits until there is something to read, or, if `wants_write`, room to write.
    pub(super) async fn ready(&self, wants_write: bool) -> io::Result<Ready> {
        let (socket, wants_write) = match self {
            Self::Plain(socket) => (socket, wants_write),
            Self::Encrypted(stream) => {
                let (socket, session) = stream.get_ref();
                (socket, wants_write || session.wants_write())
            }
        };
        let interest = if wants_write { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        socket.ready(interest).await
    }

    /// Reads what is there. If that is less than `buffer` takes, it was all.
    pub(super) fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (socket, session) = match self {
            Self::Plain(socket) => return socket.try_read(buffer),
            Self::Encrypted(stream) => stream.get_mut(),
        };
        loop {
            match session.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
            if session.read_tls(&mut Socket(socket))? == 0 {
                return Ok(0);
            }
            session.process_new_packets().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        }
    }

    /// Takes what it can of `bytes`, which may be none, and writes what waits.
    pub(super) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (socket, session) = match self {
            Self::Plain(socket) if bytes.is_empty() => return Ok(0),
            Self::Plain(socket) => return socket.try_write(bytes),
            Self::Encrypted(stream) => stream.get_mut(),
        };
        let taken = session.writer().write(bytes)?;
        while session.wants_write() {
            match session.write_tls(&mut Socket(socket)) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        if taken == 0 && !bytes.is_empty() { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(taken) }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Encrypted(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Encrypted(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Encrypted(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Encrypted(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

/// A socket as rustls wants it.
struct Socket<'a>(&'a TcpStream);

impl Read for Socket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
