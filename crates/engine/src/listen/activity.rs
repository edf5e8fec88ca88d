//! What the stream, the requests and the watch of one connection know of each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use tokio::time::Instant;

/// What goes on on a connection. The stream and the requests write it, the watch reads it.
#[derive(Debug)]
pub(crate) struct Activity {
    pub(crate) started: Instant,
    /// Requests that are being answered, and streams of HTTP/2, WebSockets among them.
    open: AtomicUsize,
    /// Requests that have begun since the start.
    pub(crate) begun: AtomicUsize,
    /// When `open` last became zero, in milliseconds since the start.
    ended: AtomicU64,
    /// Bytes were written since the watch last looked.
    pub(crate) is_written: AtomicBool,
    /// The stream takes no more for now.
    pub(crate) is_blocked: AtomicBool,
    /// The head of a request has begun and is not complete.
    pub(crate) is_in_head: AtomicBool,
    pub(crate) is_http2: AtomicBool,
    /// The stream is shut down, and what the peer still sends is thrown away.
    pub(crate) is_draining: AtomicBool,
    /// Some of it came since the watch last looked.
    pub(crate) is_drained: AtomicBool,
    /// The stream has failed, or the peer has ended it.
    pub(crate) is_broken: AtomicBool,
    /// The peer does not read: the next write fails, and resets the connection.
    pub(crate) is_cut: AtomicBool,
    /// Nothing is watched any more: the connection has ended, or was upgraded.
    pub(crate) is_released: AtomicBool,
}

impl Activity {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            open: AtomicUsize::new(0),
            begun: AtomicUsize::new(0),
            ended: AtomicU64::new(0),
            is_written: AtomicBool::new(false),
            is_blocked: AtomicBool::new(false),
            is_in_head: AtomicBool::new(false),
            is_http2: AtomicBool::new(false),
            is_draining: AtomicBool::new(false),
            is_drained: AtomicBool::new(false),
            is_broken: AtomicBool::new(false),
            is_cut: AtomicBool::new(false),
            is_released: AtomicBool::new(false),
        })
    }

    /// A request has come.
    pub(crate) fn begin(self: &Arc<Self>) -> Open {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.open()
    }

    /// Something is open on the connection, until the guard is dropped.
    pub(crate) fn open(self: &Arc<Self>) -> Open {
        self.open.fetch_add(1, Ordering::Relaxed);
        Open(self.clone())
    }

    /// Whether a request is being answered, or a stream is open.
    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire) > 0
    }

    /// When the last request, or stream, ended.
    pub(crate) fn ended(&self) -> Instant {
        self.started + std::time::Duration::from_millis(self.ended.load(Ordering::Relaxed))
    }
}

/// Stands for something that is open on a connection.
#[derive(Debug)]
pub(crate) struct Open(Arc<Activity>);

impl Drop for Open {
    fn drop(&mut self) {
        let elapsed = u64::try_from(self.0.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.ended.fetch_max(elapsed, Ordering::Relaxed);
        self.0.open.fetch_sub(1, Ordering::Release);
    }
}
