//! An emitter's connection: made when it is first needed, and anew when it was lost.

use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::{Client, Cmd, ErrorKind, RedisResult, Value, cmd};
use tokio::sync::{Mutex, Notify};
use tokio::time::{Instant, timeout};

use super::EmitterError;
use crate::connection::{Connection, connect};
use crate::options::RedisOptions;

/// A connection that all clones of an emitter share.
pub(super) struct Line {
    pub(super) options: RedisOptions,
    client: Client,
    live: Mutex<Option<Live>>,
}

struct Live {
    connection: Connection,
    used: Instant,
}

impl Line {
    pub(super) fn new(options: RedisOptions, client: Client) -> Self {
        Self { options, client, live: Mutex::default() }
    }

    /// Sends a command, and gives the answer.
    pub(super) async fn send(&self, command: &Cmd) -> Result<Value, EmitterError> {
        let within = self.options.timeout;
        let (mut commands, lost) = match timeout(within, self.connection()).await {
            Ok(Ok(connected)) => connected,
            // What it refuses already then, such as the password, is told by the text.
            Ok(Err(error)) => return Err(EmitterError::Unreachable(error.to_string())),
            Err(_) => {
                return Err(EmitterError::Unreachable(format!("no connection within {} s", within.as_secs_f64())));
            }
        };
        let error = match commands.send_packed_command(command).await.and_then(Value::extract_error) {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let is_refusal = matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension);
        // A primary that has become a replica refuses: the next emit looks for the primary anew.
        if !is_refusal || error.code() == Some("READONLY") {
            self.forget(&lost).await;
        }
        Err(match is_refusal {
            true => EmitterError::Refused(error.to_string()),
            false => EmitterError::Lost(error.to_string()),
        })
    }

    /// The connection, made anew if need be.
    async fn connection(&self) -> RedisResult<(MultiplexedConnection, Arc<Notify>)> {
        let mut live = self.live.lock().await;
        if let Some(there) = &mut *live
            && !there.works(&self.options).await
        {
            *live = None;
        }
        let there = match &mut *live {
            Some(there) => there,
            None => {
                let time = self.options.timeout;
                let connection = connect(&self.client, time, time, |_| {}).await?;
                live.insert(Live { connection, used: Instant::now() })
            }
        };
        there.used = Instant::now();
        Ok((there.connection.commands.clone(), there.connection.lost.clone()))
    }

    /// Lets the connection go, unless there is another already.
    async fn forget(&self, lost: &Arc<Notify>) {
        let mut live = self.live.lock().await;
        if live.as_ref().is_some_and(|there| Arc::ptr_eq(&there.connection.lost, lost)) {
            *live = None;
        }
    }
}

impl Live {
    /// Whether it is still there. One that was idle for long is asked: a connection can be cut without a word.
    async fn works(&mut self, options: &RedisOptions) -> bool {
        let is_lost = tokio::select! {
            biased;
            () = self.connection.lost.notified() => true,
            () = std::future::ready(()) => false,
        };
        if is_lost || self.used.elapsed() < options.timeout {
            return !is_lost;
        }
        let ping = cmd("PING");
        // Half of the time is left for connecting anew.
        let answer = timeout(options.timeout / 2, self.connection.commands.send_packed_command(&ping)).await;
        matches!(answer, Ok(Ok(_)))
    }
}
