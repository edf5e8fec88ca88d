//! The time limits of a connection on which HTTP is spoken, all kept by one timer.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::activity::Activity;

/// What a connection has run out of time for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expired {
    /// The head of a request, or the first request, did not come.
    Head,
    /// The peer does not read.
    Write,
    /// No request came for so long: the connection is to end in an orderly way.
    Idle,
    /// It was to end, or is shut down, and the peer does not let go.
    End,
}

/// How long each may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) head: Duration,
    pub(crate) write: Duration,
    pub(crate) idle: Duration,
    /// After the end: without a byte of the peer, and six times as long in all.
    pub(crate) end: Duration,
}

/// Tells when a connection has run out of time. It is asked whenever the connection's task has run, so that what happened
/// since needs no clock where it happens.
pub(crate) struct Watch {
    activity: Arc<Activity>,
    times: Times,
    timer: Pin<Box<Sleep>>,
    begun: usize,
    written: Instant,
    head_since: Option<Instant>,
    blocked_since: Option<Instant>,
    draining_since: Option<Instant>,
    drained: Instant,
    ending_since: Option<Instant>,
}

impl Watch {
    pub(crate) fn new(activity: Arc<Activity>, times: Times) -> Self {
        let now = activity.started;
        let timer = Box::pin(tokio::time::sleep_until(now + times.head));
        Self {
            activity,
            times,
            timer,
            begun: 0,
            written: now,
            head_since: None,
            blocked_since: None,
            draining_since: None,
            drained: now,
            ending_since: None,
        }
    }

    /// The connection has been told to end.
    pub(crate) fn begin_end(&mut self) {
        self.ending_since.get_or_insert_with(Instant::now);
    }

    /// Waits until there is no more time.
    pub(crate) fn poll_expired(&mut self, context: &mut Context<'_>) -> Poll<Expired> {
        loop {
            let now = Instant::now();
            let (due, expired) = self.due(now);
            if let Some(expired) = expired.filter(|_| due <= now) {
                return Poll::Ready(expired);
            }
            // A timer that is early costs one more look; to set it anew for each request would cost more.
            if due < self.timer.deadline() || self.timer.is_elapsed() {
                self.timer.as_mut().reset(due);
            }
            if self.timer.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// What is due next, and when. Without a reason: to look again.
    fn due(&mut self, now: Instant) -> (Instant, Option<Expired>) {
        let Times { head, write, idle, end } = self.times;
        let activity = &*self.activity;
        let is_written = activity.is_written.swap(false, Ordering::Relaxed);
        if is_written {
            self.written = now;
        }
        let is_blocked = activity.is_blocked.load(Ordering::Relaxed);
        self.blocked_since = is_blocked.then(|| self.blocked_since.filter(|_| !is_written).unwrap_or(now));
        let begun = activity.begun.load(Ordering::Relaxed);
        let is_open = activity.is_open();
        if begun != self.begun || is_open || !activity.is_in_head.load(Ordering::Relaxed) {
            self.head_since = None;
        }
        self.begun = begun;

        if activity.is_draining.load(Ordering::Relaxed) {
            let since = *self.draining_since.get_or_insert(now);
            if activity.is_drained.swap(false, Ordering::Relaxed) {
                self.drained = now;
            }
            return ((self.drained.max(since) + end).min(since + 6 * end), Some(Expired::End));
        }
        if let Some(since) = self.blocked_since {
            return (since + write, Some(Expired::Write));
        }
        if is_open {
            return (now + idle, None);
        }
        if let Some(since) = self.ending_since {
            return (since.max(activity.ended()) + end, Some(Expired::End));
        }
        if begun == 0 {
            return (activity.started + head, Some(Expired::Head));
        }
        if activity.is_in_head.load(Ordering::Relaxed) {
            return (*self.head_since.get_or_insert(now) + head, Some(Expired::Head));
        }
        // Pings of HTTP/2 do not count.
        let last = if activity.is_http2.load(Ordering::Relaxed) { activity.started } else { self.written };
        (last.max(activity.ended()) + idle, Some(Expired::Idle))
    }
}
