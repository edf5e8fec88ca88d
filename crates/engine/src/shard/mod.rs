//! A shard: gives its connections their turns and writes what is to go out, a slice of each after the other.
//!
//! One driver does both, so that a shard that is busy writing also reads. What comes while a broadcast is written then goes out
//! with it, and who asks for little is not kept waiting by who gets much.
//!
//! It is a task of the runtime, or, if the options say so and the runtime has several threads, a thread of its own. That one blocks
//! in the poll of its sockets, and learns of what has come with one system call, where a task needs two. But what passes between it
//! and the tasks of the program wakes a thread each time.

mod driven;
mod entered;
mod flusher;
#[cfg(all(test, sockeye_loom))]
mod models;
mod poller;
mod quantum;
mod readable;
mod waker;
mod wheel;

use std::io;
use std::sync::{Arc, mpsc};
use std::thread;

use tokio::runtime::{Handle, RuntimeFlavor};

use self::flusher::Writer;
use self::poller::Turns;
use self::waker::ShardWaker;

pub use self::driven::{Driven, Queue};
pub(crate) use self::driven::{Entry, Next, Owes, Ready, Turn};
pub(crate) use self::entered::Entered;
pub use self::flusher::AHEAD;
pub(crate) use self::flusher::Flusher;
pub(crate) use self::poller::Poller;
pub(crate) use self::quantum::{Quantum, Rest, Undecoded};
pub(crate) use self::wheel::Wheel;

pub(crate) struct Shard<C> {
    number: usize,
    /// None where the system refuses a poll: each socket is then read by a task of its own.
    turns: Option<Turns<C>>,
    writer: Writer<C>,
    waker: Arc<ShardWaker>,
}

/// All shards of a server, to be [`run`](Shard::run) in the runtime of the caller.
pub(crate) fn all<C: Driven>(flusher: &Arc<Flusher<C>>, poller: &Poller<C>) -> Vec<Shard<C>> {
    let writers = flusher.writers();
    let turns = poller.start(writers.iter().map(|(_, waker)| waker)).unwrap_or_else(|error| {
        tracing::warn!(%error, "each plain socket is read by a task of its own");
        Vec::new()
    });
    let turns = turns.into_iter().map(Some).chain(std::iter::repeat_with(|| None));
    let shard = |(number, ((writer, waker), turns))| Shard { number, turns, writer, waker };
    writers.into_iter().zip(turns).enumerate().map(shard).collect()
}

impl<C: Driven> Shard<C> {
    /// Runs for as long as it is polled, on a thread of its own if it can.
    pub(crate) async fn run(self, on_thread: bool) {
        let runtime = Handle::current();
        if !on_thread || runtime.runtime_flavor() == RuntimeFlavor::CurrentThread || self.turns.is_none() {
            return self.poll_all().await;
        }
        match self.start_thread(runtime) {
            Ok(thread) => {
                let _stop = Stop(self.waker.clone());
                let _taken = thread.send(self);
                std::future::pending::<()>().await;
            }
            Err(error) => {
                tracing::warn!(%error, "a shard has no thread of its own, and is a task");
                self.poll_all().await;
            }
        }
    }

    /// Starts a thread for the shard that will be sent to it.
    fn start_thread(&self, runtime: Handle) -> io::Result<mpsc::SyncSender<Self>> {
        let (hand_over, taken) = mpsc::sync_channel::<Self>(1);
        let work = move || {
            // Handlers may spawn tasks and make timers.
            let _entered = runtime.enter();
            if let Ok(shard) = taken.recv() {
                shard.block_on_all();
            }
        };
        let _detached = thread::Builder::new().name(format!("sockeye-shard-{}", self.number)).spawn(work)?;
        self.turns.as_ref().map_or(Ok(()), Turns::wake_with_poll)?;
        Ok(hand_over)
    }

    /// The shard as a task.
    async fn poll_all(mut self) {
        let mut readable = self.turns.as_ref().and_then(|turns| {
            let readable = turns.readable();
            readable.inspect_err(|error| tracing::error!(%error, "no plain socket can be read")).ok()
        });
        loop {
            match (&mut self.turns, &mut readable) {
                (Some(turns), Some(_)) if turns.has_more() => turns.look(),
                (Some(turns), Some(readable)) => tokio::select! {
                    biased;
                    () = readable.wait() => turns.look(),
                    () = self.waker.woken() => turns.take_again(),
                },
                _ => self.waker.woken().await,
            }
            while self.round() {
                tokio::task::yield_now().await;
                self.look_again();
            }
        }
    }

    /// The shard as a thread.
    fn block_on_all(mut self) {
        while !self.waker.is_stopped() {
            if let Some(turns) = &mut self.turns {
                turns.block();
            }
            while self.round() && !self.waker.is_stopped() {
                self.look_again();
            }
        }
    }

    /// Gives a slice of turns and writes a slice; whether there is more to do.
    fn round(&mut self) -> bool {
        let unread = self.turns.as_mut().is_some_and(Turns::give);
        let unwritten = self.writer.write();
        unread || unwritten
    }

    /// Between two rounds: what has come meanwhile.
    fn look_again(&mut self) {
        if let Some(turns) = &mut self.turns
            && turns.are_given()
        {
            turns.look();
        }
    }
}

/// Ends a shard's thread when it is dropped: the server is gone, or its runtime.
struct Stop(Arc<ShardWaker>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.stop();
    }
}
