//! Models of the backlog: two readers of one session, a POST from before the upgrade and the WebSocket, and handlers that end.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use sockeye_engine::Readiness;
use sockeye_engine::internal::sync::atomic::{AtomicBool, Ordering};
use sockeye_engine::internal::sync::{Mutex, PollWaker, Wakers, block_on, check, thread};

use super::protocol::{Backlog, Load, Owner};

/// A client of which one handler at a time may wait.
#[derive(Default)]
struct Client {
    load: Load,
    backlog: Mutex<Backlog<Packet>>,
    session: Mutex<Session>,
    is_closed: AtomicBool,
    handled: Mutex<Vec<u8>>,
    began_to_wait: PollWaker,
}

#[derive(Default)]
struct Session {
    resume: Wakers,
    is_closed: bool,
}

type Packet = u8;

/// From this packet on, handlers wait until [`Client::end_handler`].
const WAITS: Packet = 10;

impl Client {
    /// One whose handler waits, with a full backlog.
    fn new(packets: &[Packet]) -> Arc<Self> {
        let client = Self::default();
        client.load.add(0);
        for packet in packets {
            client.receive(*packet);
        }
        assert_eq!(client.load.readiness(), Readiness::Full);
        Arc::new(client)
    }

    /// As `Client::handle_or_defer`.
    fn receive(&self, packet: Packet) {
        if !self.load.has_backlog() && !self.is_saturated() {
            return self.handle(packet);
        }
        self.backlog.lock().push(packet, 1, 1, usize::MAX, &self.load);
    }

    fn end_handler(&self) {
        self.load.subtract(0);
        self.handler_done();
    }

    /// A reader: waits until it may read on, and reads a packet.
    fn read(&self, packet: Packet) {
        block_on(poll_fn(|context| self.poll_ready(context)));
        self.receive(packet);
    }

    /// As `Conn::leave_backlog` leaves it to a task: works off all there is.
    fn drain(&self) {
        block_on(poll_fn(|context| self.poll_drained(context)));
    }

    fn poll_drained(&self, context: &mut Context<'_>) -> Poll<()> {
        let is_open = self.wake_on_resume(context.waker());
        let _more = self.poll_ready(context);
        if !is_open || self.load.readiness() == Readiness::Ready { Poll::Ready(()) } else { Poll::Pending }
    }

    fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        let wakers = {
            let mut session = self.session.lock();
            session.is_closed = true;
            session.resume.take()
        };
        wakers.wake();
    }

    fn assert_handled(&self, packets: &[Packet]) {
        assert_eq!(*self.handled.lock(), packets, "each is handled once, in order");
        assert_eq!(self.load.readiness(), Readiness::Ready, "nothing is left behind");
        assert_eq!((self.load.handlers(), self.backlog.lock().bytes()), (0, 0));
    }
}

impl Owner for Client {
    type Packet = Packet;

    fn load(&self) -> &Load {
        &self.load
    }

    fn with_backlog<R>(&self, change: impl FnOnce(&mut Backlog<Packet>) -> R) -> R {
        change(&mut self.backlog.lock())
    }

    fn bytes_of(_: &Packet) -> usize {
        1
    }

    fn handle(&self, packet: Packet) {
        self.handled.lock().push(packet);
        if packet >= WAITS {
            self.load.add(0);
            self.began_to_wait.wake().expect("it cannot fail");
        }
    }

    fn is_open(&self) -> bool {
        !self.is_closed.load(Ordering::SeqCst)
    }

    fn is_saturated(&self) -> bool {
        self.load.handlers() >= 1
    }

    fn pause(&self) {}

    fn wake_on_resume(&self, waker: &Waker) -> bool {
        let mut session = self.session.lock();
        if session.is_closed {
            return false;
        }
        session.resume.add(waker);
        true
    }

    fn resume(&self) {
        let wakers = self.session.lock().resume.take();
        wakers.wake();
    }
}

/// Runs what readers do beside what ends handlers. If a wake-up is lost somebody waits for ever, which Loom reports.
fn run<const READERS: usize>(client: &Arc<Client>, readers: [fn(&Client); READERS], handlers: impl FnOnce(&Client)) {
    let threads = readers.map(|reader| {
        let client = client.clone();
        thread::spawn(move || reader(&client))
    });
    handlers(client);
    threads.into_iter().for_each(|thread| thread.join().expect("it does not panic"));
}

#[test]
fn a_reader_that_waits_is_resumed_when_the_handler_ends() {
    check(3, || {
        let client = Client::new(&[1, 2]);
        run(&client, [|client| client.read(3)], Client::end_handler);
        client.drain();
        client.assert_handled(&[1, 2, 3]);
    });
}

#[test]
fn two_readers_are_resumed_and_work_it_off_in_order() {
    check(2, || {
        let client = Client::new(&[1, 2]);
        run(&client, [|client| client.read(3), Client::drain], Client::end_handler);
        client.drain();
        client.assert_handled(&[1, 2, 3]);
    });
}

#[test]
fn both_readers_drain_it() {
    check(2, || {
        let client = Client::new(&[1, 2]);
        run(&client, [Client::drain, Client::drain], Client::end_handler);
        client.assert_handled(&[1, 2]);
    });
}

#[test]
fn a_handler_that_waits_in_turn_holds_up_those_behind() {
    check(2, || {
        let client = Client::new(&[WAITS, 1]);
        run(&client, [Client::drain, Client::drain], |client| {
            client.end_handler();
            client.began_to_wait.wait(true);
            assert_eq!(*client.handled.lock(), [WAITS]);
            client.end_handler();
        });
        client.assert_handled(&[WAITS, 1]);
    });
}

#[test]
fn readers_of_a_session_that_closes_end() {
    check(2, || {
        let client = Client::new(&[1, 2]);
        run(&client, [|client| client.read(3), Client::drain], Client::close);
        assert!(
            client.handled.lock().iter().all(|packet| *packet < 3),
            "what is read after the close waits for the handler"
        );
    });
}
