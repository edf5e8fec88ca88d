//! Sends what waits: as one pipeline, and what has come meanwhile as the next.

use std::sync::Arc;

use redis::{Pipeline, RedisError, RedisResult, Value, cmd};
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::connection::{Backoff, Connection, connect};
use crate::health::Role;
use crate::link::{Link, Sending};

/// Runs for as long as the adapter.
pub(crate) async fn run(link: Arc<Link>) {
    let mut backoff = Backoff::new(&link.options);
    loop {
        let error = match link.connect_publisher().await {
            Ok(mut connection) => {
                let _working = link.health.works(Role::Publishing);
                let error = link.publish(&mut connection).await;
                *link.commands.lock() = None;
                error
            }
            Err(error) => error,
        };
        link.note_lost(Role::Publishing, &error);
        backoff.wait().await;
    }
}

impl Link {
    async fn connect_publisher(&self) -> RedisResult<Connection> {
        let timeout = self.options.timeout;
        let connection = connect(&self.client, timeout, timeout, |_| {}).await?;
        *self.commands.lock() = Some(connection.commands.clone());
        Ok(connection)
    }

    /// Publishes until the connection ends; gives the reason.
    async fn publish(&self, connection: &mut Connection) -> RedisError {
        loop {
            let batch = tokio::select! {
                biased;
                () = connection.lost.notified() => return lost(),
                batch = self.outgoing.take(BATCH) => batch,
                // A connection that was cut without a word is found out before something is lost.
                () = sleep(self.options.probe_interval) => {
                    match connection.commands.send_packed_command(&cmd("PING")).await {
                        Ok(_) => continue,
                        Err(error) => return error,
                    }
                }
            };
            self.note_room();
            let mut pipeline = Pipeline::with_capacity(batch.len());
            let mut marks = Vec::new();
            for sending in batch {
                match sending {
                    Sending::Message(command) => drop(pipeline.add_command(command)),
                    Sending::Mark(mark) => marks.push(mark),
                }
            }
            let count = pipeline.len();
            if count > 0 {
                match connection.commands.send_packed_commands(&pipeline, 0, count).await {
                    Ok(replies) => self.note_replies(&replies),
                    Err(error) => {
                        // What Redis has done of it is not known: sent again, some of it would arrive twice.
                        self.metrics.lost.add(count as u64);
                        return error;
                    }
                }
            }
            for mark in marks {
                // Who waits for it may have given up.
                let _gone: Result<(), ()> = mark.send(());
            }
        }
    }

    fn note_replies(&self, replies: &[Value]) {
        for reply in replies {
            if let Value::ServerError(error) = reply {
                self.metrics.refused.increment();
                tracing::warn!(code = error.code(), details = error.details(), "Redis has refused a message");
            } else {
                self.metrics.published.increment();
            }
        }
    }

    /// Waits until all that waits now has been sent.
    pub(crate) async fn flush(&self) {
        let (mark, is_sent) = oneshot::channel();
        if self.commands.lock().is_some() && self.outgoing.push(Sending::Mark(mark), 0).is_ok() {
            // What has not been sent by then will not be.
            let _late = tokio::time::timeout(self.options.timeout, is_sent).await;
        }
    }
}

/// The reason when a connection has just ended.
pub(crate) fn lost() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::ConnectionReset).into()
}

/// About how many bytes one pipeline has.
const BATCH: usize = 1024 * 1024;
