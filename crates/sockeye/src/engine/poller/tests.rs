//! Who has how many turns, and how much fits into one.

use std::io::{ErrorKind, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};

use sockeye_protocol::engine::{Revision, TransportKind};
use sockeye_websocket::{Decoder, Limits, OpCode, Role, write_masked_frame};
use tokio::net::TcpListener;

use super::*;
use crate::engine::websocket::{Io, run};
use crate::engine::{generate, turn};
use crate::request::RequestInfo;
use crate::server::Server;
use crate::socket::Socket;

/// A server whose only shard the test drives.
struct Bench {
    server: Server,
    turns: Turns,
    listener: TcpListener,
}

impl Bench {
    async fn new(server: Server) -> Self {
        let waker = Arc::default();
        let turns = server.inner().poller.start([&waker].into_iter()).unwrap().pop().unwrap();
        Self { server, turns, listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    /// A client that has joined: the connection, and the other end of its socket, which does not block.
    async fn join(&mut self) -> (Arc<Conn>, std::net::TcpStream) {
        let mut client = std::net::TcpStream::connect(self.listener.local_addr().unwrap()).unwrap();
        client.set_nonblocking(true).unwrap();
        let (stream, _) = self.listener.accept().await.unwrap();
        let inner = self.server.inner();
        let (parts, ()) = http::Request::new(()).into_parts();
        let request = RequestInfo::new(&parts, &inner.interner, &inner.accounts).unwrap();
        let conn = Conn::open(inner, generate(), request, Revision::V4, TransportKind::WebSocket);
        run(&conn, Io::Tcp(stream), Vec::new(), Decoder::new(Role::Server, Limits::default()), None);
        let sockets = inner.metrics.sockets.value();
        client.write_all(&frame("40")).unwrap();
        while inner.metrics.sockets.value() == sockets {
            self.turns.look();
            self.turns.give();
            tokio::task::yield_now().await;
        }
        (conn, client)
    }

    /// Who is to have a turn, after a look at what has come.
    fn due(&mut self, conn: &Arc<Conn>) -> usize {
        self.turns.look();
        self.turns.due.iter().filter(|each| Arc::ptr_eq(each, conn)).count()
    }
}

fn frame(text: &str) -> Vec<u8> {
    let mut frame = Vec::new();
    write_masked_frame(&mut frame, OpCode::Text, false, text.as_bytes(), [1, 2, 3, 4]);
    frame
}

/// Writes as much of `bytes`, again and again, as the socket takes. A frame may be cut: `at` is where to go on.
fn fill(client: &mut std::net::TcpStream, bytes: &[u8], at: &mut usize) {
    loop {
        match client.write(&bytes[*at..]) {
            Ok(count) => *at = (*at + count) % bytes.len(),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn who_never_runs_dry_has_one_turn_a_round_and_it_ends() {
    let server = Server::new();
    let (floods, calls) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (flood, call) = (floods.clone(), calls.clone());
    server.on("flood", move |_: Socket| {
        flood.fetch_add(1, Ordering::Relaxed);
    });
    server.on("call", move |_: Socket| {
        call.fetch_add(1, Ordering::Relaxed);
    });
    let mut bench = Bench::new(server).await;
    let (flooder, mut flooding) = bench.join().await;
    let (neighbour, mut calling) = bench.join().await;
    let events = frame("42[\"flood\"]").repeat(1_000);
    let mut at = 0;
    for round in 1..=30 {
        fill(&mut flooding, &events, &mut at);
        calling.write_all(&frame("42[\"call\"]")).unwrap();
        // Told of by its event, by its last turn, and by whoever else likes.
        bench.server.inner().poller.again(&flooder);
        bench.server.inner().poller.again(&flooder);
        while bench.due(&neighbour) == 0 {}
        assert_eq!(bench.due(&flooder), 1, "in round {round}");
        let before = floods.load(Ordering::Relaxed);
        bench.turns.give();
        let handled = floods.load(Ordering::Relaxed) - before;
        assert!((1..=turn::MOST as usize).contains(&handled), "{handled} events in a turn");
        assert_eq!(calls.load(Ordering::Relaxed), round);
    }
}

#[tokio::test]
async fn all_that_was_read_is_handled_in_the_end() {
    const EVENTS: usize = 20_000;
    let server = Server::new();
    let events = Arc::new(AtomicUsize::new(0));
    let count = events.clone();
    server.on("flood", move |_: Socket| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    let mut bench = Bench::new(server).await;
    let (conn, mut client) = bench.join().await;
    let bytes = frame("42[\"flood\"]").repeat(EVENTS);
    let mut written = 0;
    while events.load(Ordering::Relaxed) < EVENTS {
        match client.write(&bytes[written..]) {
            Ok(count) => written += count,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        bench.due(&conn);
        bench.turns.give();
    }
    assert!(!conn.is_ended());
}
