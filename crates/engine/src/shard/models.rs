//! Models of the flusher and the waker: threads that send to connections, and the shard's thread that writes and sleeps.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::driven::{Driven, Next, Owes, Queue, Ready, Turn};
use super::entered::Entered;
use super::flusher::{Flusher, Writer};
use super::waker::ShardWaker;
use crate::sync::{Mutex, PollWaker, check, thread};

/// A connection as far as the flusher goes: its outbox and where it is entered.
struct Conn {
    entered: Entered,
    outbox: Mutex<Vec<u8>>,
    written: Mutex<Vec<u8>>,
    /// How often it is in each queue. These are no steps of the model.
    places: [AtomicUsize; 2],
}

impl Conn {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            entered: Entered::default(),
            outbox: Mutex::default(),
            written: Mutex::default(),
            places: Default::default(),
        })
    }

    fn send(self: &Arc<Self>, flusher: &Flusher<Self>, message: u8, queue: Queue) {
        self.outbox.lock().push(message);
        if self.entered.enter(queue) {
            assert_eq!(self.places(queue).fetch_add(1, Ordering::Relaxed), 0, "it is in no queue twice");
            flusher.push(self.clone(), queue);
        }
    }

    fn places(&self, queue: Queue) -> &AtomicUsize {
        &self.places[usize::from(queue == Queue::Bulk)]
    }

    /// All that was sent is written, in the order of each sender, and each entry was flushed.
    fn assert_written(&self, senders: &[&[u8]]) {
        let written = self.written.lock().clone();
        assert_eq!(written.len(), senders.iter().map(|sent| sent.len()).sum::<usize>(), "all is written, once");
        for sent in senders {
            let of_sender: Vec<u8> = written.iter().filter(|message| sent.contains(message)).copied().collect();
            assert_eq!(of_sender, *sent, "in the order of its sender");
        }
        assert_eq!(self.entered.prefetch(), 0, "it is in no queue");
        assert!(self.places.iter().all(|places| places.load(Ordering::Relaxed) == 0), "each entry was flushed");
    }
}

impl Driven for Conn {
    fn shard(&self) -> usize {
        0
    }

    fn want_turn(&self, ready: Ready) -> bool {
        self.entered.want_turn(ready)
    }

    fn begin_turn(&self) -> Ready {
        self.entered.begin_turn()
    }

    fn turn(self: &Arc<Self>, _: Ready, _: Instant) -> Turn {
        Turn { next: Next::Wait, owes: Owes::Nothing }
    }

    fn fail(self: &Arc<Self>) {}

    fn write(self: &Arc<Self>) {}

    fn flush(self: &Arc<Self>, queue: Queue) {
        self.entered.leave(queue);
        assert_eq!(self.places(queue).fetch_sub(1, Ordering::Relaxed), 1, "each entry is flushed once");
        let messages = std::mem::take(&mut *self.outbox.lock());
        self.written.lock().extend(messages);
    }

    fn prefetch(self: &Arc<Self>) {}

    fn handle_timeout(self: &Arc<Self>, _: Instant) {}
}

/// A shard's thread: as `Shard::block_on_all` with `Turns::block`.
struct ShardThread {
    writer: Writer<Conn>,
    waker: Arc<ShardWaker>,
    poll: PollWaker,
}

impl ShardThread {
    /// Of a flusher with one shard.
    fn new(flusher: &Arc<Flusher<Conn>>) -> Self {
        let (writer, waker) = flusher.writers().pop().expect("there is one shard");
        Self { writer, waker, poll: PollWaker::default() }
    }

    fn run_until(&mut self, is_done: impl Fn() -> bool) {
        while !is_done() {
            let is_idle = self.waker.may_wait();
            self.poll.wait(is_idle);
            self.waker.awake();
            while self.writer.write() {}
        }
    }
}

#[test]
fn a_push_always_wakes_the_thread_and_is_written_once() {
    check(3, || {
        let (flusher, conn) = (Arc::new(Flusher::default()), Conn::new());
        let mut shard = ShardThread::new(&flusher);
        shard.waker.set_thread(shard.poll.clone());
        let senders: [&'static [u8]; 2] = [&[1, 2], &[11]];
        let threads = senders.map(|sent| {
            let (flusher, conn) = (flusher.clone(), conn.clone());
            thread::spawn(move || sent.iter().for_each(|message| conn.send(&flusher, *message, Queue::Prompt)))
        });
        // If a wake-up is lost it waits for ever, which Loom reports.
        shard.run_until(|| conn.written.lock().len() == 3);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        while shard.writer.write() {}
        conn.assert_written(&senders);
    });
}

#[test]
fn a_connection_is_in_each_queue_once() {
    check(3, || {
        let (flusher, conn) = (Arc::new(Flusher::default()), Conn::new());
        let mut shard = ShardThread::new(&flusher);
        shard.waker.set_thread(shard.poll.clone());
        let sends = |queue, sent: &'static [u8]| {
            let (flusher, conn) = (flusher.clone(), conn.clone());
            thread::spawn(move || sent.iter().for_each(|message| conn.send(&flusher, *message, queue)))
        };
        let threads = [sends(Queue::Bulk, &[1, 2]), sends(Queue::Prompt, &[11])];
        shard.run_until(|| conn.written.lock().len() == 3);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        // One queue's flush may have written what the other was entered for.
        while shard.writer.write() {}
        conn.assert_written(&[&[1, 2], &[11]]);
    });
}

#[test]
fn a_thread_takes_over_from_a_task_and_misses_nothing() {
    check(3, || {
        let (flusher, conn) = (Arc::new(Flusher::default()), Conn::new());
        let mut shard = ShardThread::new(&flusher);
        let sender = {
            let conn = conn.clone();
            thread::spawn(move || [1, 2].iter().for_each(|message| conn.send(&flusher, *message, Queue::Prompt)))
        };
        // Sends before this tell the task, which is gone.
        shard.waker.set_thread(shard.poll.clone());
        shard.run_until(|| conn.written.lock().len() == 2);
        sender.join().unwrap();
        while shard.writer.write() {}
        conn.assert_written(&[&[1, 2]]);
    });
}

#[test]
fn a_thread_that_is_stopped_ends() {
    check(3, || {
        let waker = Arc::new(ShardWaker::default());
        let poll = PollWaker::default();
        waker.set_thread(poll.clone());
        let stopper = {
            let waker = waker.clone();
            thread::spawn(move || waker.stop())
        };
        while !waker.is_stopped() {
            poll.wait(waker.may_wait());
            waker.awake();
        }
        stopper.join().unwrap();
    });
}
