//! Who has how many turns, and how much fits into one.

use std::io::{ErrorKind, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};

use sockeye_protocol::engine::{Data, Revision, TransportKind};
use sockeye_websocket::{Decoder, OpCode, Role, write_masked_frame};
use tokio::net::TcpListener;

use super::*;
use sockeye_protocol::CloseReason;

use crate::application::Application;
use crate::conn::Conn;
use crate::engine::Engine;
use crate::id::generate;
use crate::options::{Limits, Options};
use crate::request::RequestInfo;
use crate::websocket::{Io, run};

/// An application that counts the messages of each connection.
struct Counting(Engine<Conn<Self>>);

impl Application for Counting {
    type Session = AtomicUsize;

    fn engine(&self) -> &Engine<Conn<Self>> {
        &self.0
    }

    fn new_session(&self) -> AtomicUsize {
        AtomicUsize::new(0)
    }

    fn handle_open(conn: &Arc<Conn<Self>>) {
        conn.joined();
    }

    fn handle_message(conn: &Arc<Conn<Self>>, _: Data<'_>) {
        conn.session().fetch_add(1, Ordering::Relaxed);
    }

    fn handle_close(_: &Arc<Conn<Self>>, _: CloseReason) {}
}

/// A server whose only shard the test drives.
struct Bench {
    app: Arc<Counting>,
    turns: Turns<Conn<Counting>>,
    listener: TcpListener,
}

impl Bench {
    async fn new() -> Self {
        let app = Arc::new(Counting(Engine::new(Options::default(), Limits::default())));
        let waker = Arc::default();
        let turns = app.0.poller.start([&waker].into_iter()).unwrap().pop().unwrap();
        Self { app, turns, listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    /// A client: the connection, and the other end of its socket, which does not block.
    async fn connect(&self) -> (Arc<Conn<Counting>>, std::net::TcpStream) {
        let client = std::net::TcpStream::connect(self.listener.local_addr().unwrap()).unwrap();
        client.set_nonblocking(true).unwrap();
        let (stream, _) = self.listener.accept().await.unwrap();
        let engine = &self.app.0;
        let (parts, ()) = http::Request::new(()).into_parts();
        let request = RequestInfo::new(&parts, &engine.interner, &engine.accounts).unwrap();
        let conn = Conn::open(&self.app, generate(), request, Revision::V4, TransportKind::WebSocket);
        Counting::handle_open(&conn);
        run(&conn, Io::Tcp(stream), Vec::new(), Decoder::new(Role::Server, sockeye_websocket::Limits::default()), None);
        (conn, client)
    }

    /// Who is to have a turn, after a look at what has come.
    fn due(&mut self, conn: &Arc<Conn<Counting>>) -> usize {
        self.turns.look();
        self.turns.due.iter().filter(|each| Arc::ptr_eq(each, conn)).count()
    }
}

/// How many messages of a connection were handled.
fn handled(conn: &Conn<Counting>) -> usize {
    conn.session().load(Ordering::Relaxed)
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
    let mut bench = Bench::new().await;
    let (flooder, mut flooding) = bench.connect().await;
    let (neighbour, mut calling) = bench.connect().await;
    let flood = frame("4flood").repeat(1_000);
    let mut at = 0;
    for round in 1..=30 {
        fill(&mut flooding, &flood, &mut at);
        calling.write_all(&frame("4call")).unwrap();
        // Told of by its event, by its last turn, and by whoever else likes.
        bench.app.0.poller.again(&flooder);
        bench.app.0.poller.again(&flooder);
        while bench.due(&neighbour) == 0 {}
        assert_eq!(bench.due(&flooder), 1, "in round {round}");
        let before = handled(&flooder);
        bench.turns.give();
        let in_turn = handled(&flooder) - before;
        assert!((1..=crate::shard::quantum::MOST as usize).contains(&in_turn), "{in_turn} messages in a turn");
        assert_eq!(handled(&neighbour), round);
    }
}

#[tokio::test]
async fn all_that_was_read_is_handled_in_the_end() {
    const MESSAGES: usize = 20_000;
    let mut bench = Bench::new().await;
    let (conn, mut client) = bench.connect().await;
    let bytes = frame("4flood").repeat(MESSAGES);
    let mut written = 0;
    while handled(&conn) < MESSAGES {
        match client.write(&bytes[written..]) {
            Ok(count) => written += count,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        bench.due(&conn);
        bench.turns.give();
    }
    assert!(!conn.is_ended());
}
