//! A recipient that cannot follow, as one that others wait for.

use std::sync::Weak;
use std::time::{Duration, Instant};

/// A recipient that was behind when it was last looked at.
pub(crate) struct Recipient {
    conn: Weak<dyn Outlet>,
    /// What waited for it then.
    bytes: usize,
    /// Since when somebody waits for it.
    since: Instant,
    /// When it last read something.
    read: Instant,
}

/// A connection as one that others wait for, whatever its application.
pub(crate) trait Outlet: Send + Sync {
    /// How many bytes wait for it, if it is behind.
    fn behind(&self) -> Option<usize>;

    /// Nobody waits for it any more.
    fn give_up(&self);
}

impl Recipient {
    /// One that is behind, with so many bytes.
    pub(crate) fn new(conn: Weak<dyn Outlet>, bytes: usize, now: Instant) -> Self {
        Self { conn, bytes, since: now, read: now }
    }

    /// Whether it is still worth waiting for.
    pub(crate) fn is_waited_for(&mut self, now: Instant) -> bool {
        let Some(conn) = self.conn.upgrade() else { return false };
        let Some(bytes) = conn.behind() else { return false };
        if bytes < self.bytes {
            self.read = now;
        }
        self.bytes = bytes;
        let is_over = now.duration_since(self.read) >= PATIENCE || now.duration_since(self.since) >= 2 * PATIENCE;
        if is_over {
            conn.give_up();
        }
        !is_over
    }
}

/// How long senders wait for a recipient that reads nothing; for one that reads slowly, twice as long.
const PATIENCE: Duration = Duration::from_secs(5);
