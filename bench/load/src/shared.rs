//! What all clients of a run share: the clock, when to send and when to end.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::stats::Stats;

/// The state of a run. Times are nanoseconds since it began.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) stats: Stats,
    origin: Instant,
    begin: OnceLock<(u64, u64)>,
    end: AtomicU64,
    closing: AtomicBool,
    /// One for each client.
    wakes: Vec<Notify>,
}

/// When messages are sent and measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    /// From when messages are sent.
    pub(crate) start: u64,
    /// From when they are measured.
    pub(crate) measure: u64,
    /// From when on none is to be sent.
    pub(crate) end: u64,
}

impl Window {
    pub(crate) fn measures(&self, time: u64) -> bool {
        (self.measure..self.end).contains(&time)
    }
}

impl Shared {
    pub(crate) fn new(clients: u32, shards: u32) -> Self {
        Self {
            stats: Stats::new(shards),
            origin: Instant::now(),
            begin: OnceLock::new(),
            end: AtomicU64::new(0),
            closing: AtomicBool::new(false),
            wakes: (0..clients).map(|_| Notify::new()).collect(),
        }
    }

    pub(crate) fn now(&self) -> u64 {
        nanoseconds(self.origin.elapsed())
    }

    /// When to send; `None` before [`start`](Self::start).
    pub(crate) fn window(&self) -> Option<Window> {
        let &(start, measure) = self.begin.get()?;
        Some(Window { start, measure, end: self.end.load(Ordering::Relaxed) })
    }

    /// Lets the clients send from now on. May be called once.
    pub(crate) fn start(&self, warmup: Duration, duration: Duration) {
        let start = self.now();
        let measure = start.saturating_add(nanoseconds(warmup));
        self.end.store(measure.saturating_add(nanoseconds(duration)), Ordering::Relaxed);
        self.begin.get_or_init(|| (start, measure));
        self.wake_all();
    }

    /// Brings the end forward to now.
    pub(crate) fn end_now(&self) {
        self.end.fetch_min(self.now(), Ordering::Relaxed);
    }

    /// Lets the clients leave.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
        self.wake_all();
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    pub(crate) fn wake(&self, client: usize) {
        if let Some(wake) = self.wakes.get(client) {
            wake.notify_one();
        }
    }

    /// Ends when the client has been woken.
    pub(crate) async fn woken(&self, client: u32) {
        if let Some(wake) = self.wakes.get(client as usize) {
            wake.notified().await;
        }
    }

    fn wake_all(&self) {
        for wake in &self.wakes {
            wake.notify_one();
        }
    }
}

pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
