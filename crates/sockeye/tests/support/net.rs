//! How the clients of a test reach its server: a test says what happens, and runs over each `Net`.

use std::net::SocketAddr;
use std::ops::Deref;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use sockeye::{NotFound, RemoteAddr, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket};
use tower_service::Service as _;

use super::Stream;

/// How long what must happen may take, in real time.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Between a server and its clients.
#[derive(Clone, Copy, Debug)]
pub enum Net {
    /// Pipes in memory, for streams that the runtime drives. Time is virtual.
    Pipe,
    /// The server's own listener on the loopback interface, for sockets that the pollers of its shards drive. Time is real.
    Tcp,
}

impl Net {
    /// Serves `server` to the clients that are given what comes back.
    pub fn serve(self, server: Server) -> Served {
        let way = match self {
            Self::Pipe => Way::Pipe,
            Self::Tcp => {
                let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
                let address = listener.local_addr().expect("it is bound");
                listener.set_nonblocking(true).expect("it is a socket");
                let listener = TcpListener::from_std(listener).expect("it does not block");
                tokio::spawn({
                    let server = server.clone();
                    async move { server.serve(listener, NotFound).await }
                });
                Way::Tcp(address)
            }
        };
        Served { server, way }
    }
}

/// A server, and the way to it.
#[derive(Clone, Debug)]
pub struct Served {
    server: Server,
    way: Way,
}

#[derive(Clone, Copy, Debug)]
enum Way {
    Pipe,
    Tcp(SocketAddr),
}

impl Served {
    /// Whether its clients come by TCP.
    pub fn is_tcp(&self) -> bool {
        matches!(self.way, Way::Tcp(_))
    }

    /// A connection; the way to the client holds about `buffer` bytes.
    pub async fn connect(&self, buffer: usize) -> Box<dyn Stream> {
        match self.way {
            Way::Pipe => {
                let (stream, theirs) = tokio::io::duplex(buffer);
                tokio::spawn(self.server.clone().serve_connection(theirs, None, false, NotFound));
                Box::new(stream)
            }
            Way::Tcp(address) => {
                let socket = TcpSocket::new_v4().expect("a socket");
                socket.set_nodelay(true).expect("it is a TCP socket");
                if buffer < 1 << 20 {
                    let bytes = u32::try_from(buffer).expect("it is small");
                    socket.set_recv_buffer_size(bytes).expect("the kernel rounds it");
                }
                Box::new(socket.connect(address).await.expect("the server listens"))
            }
        }
    }

    /// One request, over TCP on a connection of its own; the status, head and body of its response.
    pub async fn request(
        &self,
        method: Method,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (u16, Response<()>, String) {
        let (head, body) = match self.way {
            Way::Pipe => {
                let mut request = Request::builder().method(method).uri(target);
                for (name, value) in headers {
                    request = request.header(*name, *value);
                }
                let body = Full::new(Bytes::copy_from_slice(body.as_bytes()));
                let mut request = request.body(body).expect("a valid request");
                request.extensions_mut().insert(RemoteAddr(([127, 0, 0, 1], 4000).into()));
                let response = self.server.service(NotFound).call(request).await.expect("infallible");
                let (head, body) = response.into_parts();
                let body = body.collect().await.expect("the body is in memory").to_bytes();
                (Response::from_parts(head, ()), String::from_utf8_lossy(&body).into_owned())
            }
            Way::Tcp(_) => {
                let mut text = format!("{method} {target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n");
                for (name, value) in headers {
                    text += &format!("{name}: {value}\r\n");
                }
                text += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
                let mut stream = self.connect(1 << 20).await;
                let mut response = Vec::new();
                let exchange = async {
                    stream.write_all(text.as_bytes()).await?;
                    stream.read_to_end(&mut response).await
                };
                tokio::time::timeout(LIMIT, exchange).await.expect("a response in time").expect("a whole response");
                parse(&String::from_utf8_lossy(&response))
            }
        };
        (head.status().as_u16(), head, body)
    }
}

/// The head and the body of a response, which is all there is.
fn parse(response: &str) -> (Response<()>, String) {
    let (head, body) = response.split_once("\r\n\r\n").expect(response);
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect(head);
    let mut response = Response::builder().status(status);
    for line in lines {
        let (name, value) = line.split_once(": ").expect(head);
        assert_ne!(name, "transfer-encoding", "{head}");
        response = response.header(name, value);
    }
    (response.body(()).expect(head), body.to_owned())
}

impl Deref for Served {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

/// Over a pipe.
impl From<&Server> for Served {
    fn from(server: &Server) -> Self {
        Net::Pipe.serve(server.clone())
    }
}

impl From<&Self> for Served {
    fn from(served: &Self) -> Self {
        served.clone()
    }
}

/// Waits until something is so.
pub async fn until(mut is_so: impl FnMut() -> bool) {
    let started = tokio::time::Instant::now();
    while !is_so() {
        assert!(started.elapsed() < LIMIT, "it does not come to this");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Makes two tests of each function that is named: `pipe::name`, in virtual time, and `tcp::name`, in real time and with several
/// threads, as in production.
macro_rules! over_both {
    ($($name:ident),+ $(,)?) => {
        mod pipe {
            use super::support::net::Net;
            $(#[tokio::test(start_paused = true)]
            async fn $name() {
                super::$name(Net::Pipe).await;
            })+
        }
        mod tcp {
            use super::support::net::{LIMIT, Net};
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                tokio::time::timeout(2 * LIMIT, super::$name(Net::Tcp)).await.expect("the test ends");
            })+
        }
    };
}

/// The same with several threads, and in real time, over a pipe too: `threads::pipe::name` and `threads::tcp::name`.
macro_rules! over_both_with_threads {
    ($($name:ident),+ $(,)?) => {
        mod threads {
            mod pipe {
                use super::super::support::net::{LIMIT, Net};
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $name() {
                    tokio::time::timeout(2 * LIMIT, super::super::$name(Net::Pipe)).await.expect("the test ends");
                })+
            }
            mod tcp {
                use super::super::support::net::{LIMIT, Net};
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $name() {
                    tokio::time::timeout(2 * LIMIT, super::super::$name(Net::Tcp)).await.expect("the test ends");
                })+
            }
        }
    };
}

pub(crate) use over_both;
pub(crate) use over_both_with_threads;
