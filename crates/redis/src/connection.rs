//! Connections to Redis: how they are made, how their end is noticed, and how long to wait before the next.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::{MultiplexedConnection, SendError};
use redis::{AsyncConnectionConfig, Client, PushInfo, PushKind, RedisResult};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::options::RedisOptions;

/// A connection.
pub(crate) struct Connection {
    pub(crate) commands: MultiplexedConnection,
    /// Is notified when the connection is lost.
    pub(crate) lost: Arc<Notify>,
}

/// Connects. `handle` gets what is pushed: the messages of channels, and which channels are heard; it must not wait.
pub(crate) async fn connect(
    client: &Client,
    timeout: Duration,
    response_timeout: Duration,
    handle: impl Fn(PushInfo) + Send + Sync + 'static,
) -> RedisResult<Connection> {
    let lost = Arc::new(Notify::new());
    let is_lost = lost.clone();
    let on_push = move |info: PushInfo| -> Result<(), SendError> {
        match info.kind {
            PushKind::Disconnection => is_lost.notify_one(),
            _ => handle(info),
        }
        Ok(())
    };
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(timeout))
        .set_response_timeout(Some(response_timeout))
        .set_push_sender(on_push);
    let commands = client.get_multiplexed_async_connection_with_config(&config).await?;
    Ok(Connection { commands, lost })
}

/// How long to wait before the next try: twice as long each time, and not again so long once a connection has lasted.
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
    tried: Instant,
}

impl Backoff {
    pub(crate) fn new(options: &RedisOptions) -> Self {
        let RedisOptions { min_backoff, max_backoff, .. } = *options;
        Self { min: min_backoff, max: max_backoff, next: min_backoff, tried: Instant::now() }
    }

    /// Waits; called when a try has failed, or its connection has ended.
    pub(crate) async fn wait(&mut self) {
        if self.tried.elapsed() > self.max {
            self.next = self.min;
        }
        // Half of it is chance, so that the nodes do not come back all at once.
        tokio::time::sleep(self.next.mul_f64(rand::random_range(0.5..1.0))).await;
        self.next = (self.next * 2).min(self.max);
        self.tried = Instant::now();
    }
}
