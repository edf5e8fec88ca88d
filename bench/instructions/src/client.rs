//! A WebSocket client of raw bytes, with as little code as can be: what it costs is counted with the server's part.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::SockRef;
use sockeye_websocket::{OpCode, header_len, write_masked_frame};

/// A client that has joined the main namespace. It lives in the runtime of the server, and waits by letting the
/// server's tasks run; so the order of everything is the same in each run.
#[derive(Debug)]
pub struct Client(TcpStream);

impl Client {
    /// Connects and joins.
    pub async fn join(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_nonblocking(true).expect("a socket that does not block");
        // A benchmark opens many in turn: no port is to wait after the end of its connection.
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("an option of TCP");
        let mut client = Self(stream);
        client.send(UPGRADE);
        // The open packet and the reply to CONNECT are objects, and nothing before them ends like one.
        client.receive_until(b"}").await;
        client.send(&frame("40"));
        client.receive_until(b"\"}").await;
        client
    }

    /// Sends bytes, of which the kernel must have room for all.
    pub fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).expect("the server reads");
    }

    /// Waits for exactly this many bytes.
    pub async fn receive(&mut self, mut count: usize) {
        let mut buffer = [0; 256];
        while count > 0 {
            let room = count.min(buffer.len());
            count -= self.read(&mut buffer[..room]).await;
        }
    }

    /// The socket, for those who want to block on it.
    pub fn into_blocking(self) -> TcpStream {
        self.0.set_nonblocking(false).expect("a socket that blocks");
        self.0
    }

    async fn receive_until(&mut self, end: &[u8]) {
        let mut buffer = [0; 1024];
        let mut filled = 0;
        while !buffer[..filled].ends_with(end) {
            filled += self.read(&mut buffer[filled..]).await;
        }
    }

    async fn read(&mut self, buffer: &mut [u8]) -> usize {
        loop {
            match self.0.read(buffer) {
                Ok(count) if count > 0 => return count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => tokio::task::yield_now().await,
                ended => panic!("the server ended the connection: {ended:?}"),
            }
        }
    }
}

/// A text frame as clients send it.
pub(crate) fn frame(text: &str) -> Vec<u8> {
    let mut frame = Vec::new();
    write_masked_frame(&mut frame, OpCode::Text, false, text.as_bytes(), [1, 2, 3, 4]);
    frame
}

/// The length of a text frame as the server sends it.
pub fn frame_len(text: &str) -> usize {
    header_len(text.len()) + text.len()
}

const UPGRADE: &[u8] = b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: localhost\r\n\
    Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
