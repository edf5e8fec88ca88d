//! How a task waits until a poll has something to tell.

use std::io;

use mio::Poll;

/// A poll is a file descriptor that is readable when one of its sockets is, so the runtime can wait for it as for any other. It
/// must be dropped before the poll.
#[cfg(unix)]
pub(crate) struct Readable(tokio::io::unix::AsyncFd<std::os::fd::RawFd>);

#[cfg(unix)]
impl Readable {
    pub(crate) fn new(poll: &Poll) -> io::Result<Self> {
        use std::os::fd::AsRawFd as _;
        #[allow(
            deprecated,
            reason = "its successor is unsafe, since a type may lie about its descriptor; a poll does not"
        )]
        let readable = tokio::io::unix::AsyncFd::with_interest(poll.as_raw_fd(), tokio::io::Interest::READABLE)?;
        Ok(Self(readable))
    }

    /// Waits until the poll is to be asked. Cancel safe.
    pub(crate) async fn wait(&mut self) {
        // First cleared, then asked: what becomes ready in between makes the poll readable anew.
        match self.0.readable_mut().await {
            Ok(mut ready) => ready.clear_ready(),
            // The runtime ends, and this task with it.
            Err(_) => std::future::pending().await,
        }
    }
}

/// Where a poll cannot be waited for with the runtime, it is asked every millisecond.
#[cfg(not(unix))]
pub(crate) struct Readable(());

#[cfg(not(unix))]
impl Readable {
    pub(crate) fn new(_: &Poll) -> io::Result<Self> {
        Ok(Self(()))
    }

    pub(crate) async fn wait(&mut self) {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}
