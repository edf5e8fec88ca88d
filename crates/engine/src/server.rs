//! The handle by which a program serves an application, and stops it.

use std::fmt;
use std::sync::Arc;

use sockeye_protocol::CloseReason;

use crate::application::Application;
use crate::conn::Ending;
use crate::engine;

/// Serves an [`Application`]. A clone is another handle to the same.
pub struct Server<A>(Arc<A>);

impl<A> Clone for Server<A> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<A: Application> fmt::Debug for Server<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("engine", self.0.engine()).finish()
    }
}

impl<A: Application> From<Arc<A>> for Server<A> {
    fn from(app: Arc<A>) -> Self {
        Self(app)
    }
}

/// Ends the accepting when it is dropped.
struct Stop<A: Application>(Arc<A>);

impl<A: Application> Drop for Stop<A> {
    fn drop(&mut self) {
        self.0.engine().stopping.send_replace(true);
    }
}

/// Tells that the close is over when it is dropped.
struct End<A: Application>(Arc<A>);

impl<A: Application> Drop for End<A> {
    fn drop(&mut self) {
        self.0.engine().ended.send_replace(true);
    }
}

impl<A: Application> Server<A> {
    /// A server for the application.
    pub fn new(app: A) -> Self {
        Self(Arc::new(app))
    }

    /// The application.
    pub fn app(&self) -> &Arc<A> {
        &self.0
    }

    /// Starts the timers, if that has not been done. [`listen`](Self::listen) and [`serve`](Self::serve) do it, and so does the first
    /// request.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn start(&self) {
        start(&self.0);
    }

    /// Stops the server: no new sessions; every client is told, in a way that makes it reconnect; what was sent to them
    /// is still delivered, for as long as [`Limits::close_timeout`](crate::Limits::close_timeout) says. A long-polling client has to
    /// come for it: until all have, requests are accepted.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not take the stop back.
    pub async fn close(&self) {
        let engine = self.0.engine();
        engine.closing.send_replace(true);
        // Also if this future is dropped.
        let _end = End(self.0.clone());
        let stop = Stop(self.0.clone());
        for conn in engine.registry.all() {
            conn.close(CloseReason::ServerShuttingDown, Ending::Graceful, "the server stops");
        }
        let limit = engine.limits.close_timeout;
        let all_ended = async {
            engine.farewells.done().await;
            drop(stop);
            engine.work.done().await;
        };
        if tokio::time::timeout(limit, all_ended).await.is_err() {
            tracing::warn!("some connections did not end in time");
        }
        // The application comes last: it may still send elsewhere what the end of a connection brought about.
        if tokio::time::timeout(limit, self.0.handle_stop()).await.is_err() {
            tracing::warn!("the application did not stop in time");
        }
    }

    /// Waits until [`close`](Self::close) was called.
    ///
    /// # Cancel safety
    ///
    /// It can be dropped and called again.
    pub async fn closing(&self) {
        self.0.engine().closed().await;
    }

    /// Waits until the server accepts nothing any more: [`close`](Self::close) was called, and all long-polling clients were told of
    /// it, or had their time. Until then what has begun, a TLS handshake for example, may go on.
    ///
    /// # Cancel safety
    ///
    /// It can be dropped and called again.
    pub async fn stopped(&self) {
        self.0.engine().stopped().await;
    }
}

/// Starts the server of an application, if that has not been done.
pub(crate) fn start<A: Application>(app: &Arc<A>) {
    if engine::start(app.engine(), &Arc::downgrade(app)) {
        app.handle_start();
    }
}
