//! Asks Redis something, where the answer is.

use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult, Value};
use tokio::time::{sleep, timeout};

use crate::connection::RETRY;
use crate::connection::commands::{Commands, Form};
use crate::connection::map::{Address, Redirect};
use crate::link::Link;

impl Link {
    /// Asks the server that has the key of the command, on the connection that publishes.
    pub(crate) async fn query<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        Ok(T::from_redis_value(self.follow(command, Form::Value).await?)?)
    }

    /// The same for entries of a stream: they are read as Redis has sent them.
    pub(crate) async fn query_entries(&self, command: &Cmd) -> RedisResult<Vec<u8>> {
        Ok(Vec::from_redis_value(self.follow(command, Form::Raw).await?)?)
    }

    /// Waits until there is a connection for the command.
    pub(crate) async fn wait_for_connection(&self, command: &Cmd) {
        self.health.wait_until(|| self.connection(command).is_some()).await;
    }

    fn connection(&self, command: &Cmd) -> Option<(Address, Commands)> {
        let queue = self.outgoing.of(command)?;
        let commands = queue.commands.lock().clone()?;
        Some((queue.address.clone(), commands))
    }

    async fn follow(&self, command: &Cmd, form: Form) -> RedisResult<Value> {
        let late = |_| Err(RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut)));
        timeout(self.options.timeout, self.follow_patiently(command, form)).await.unwrap_or_else(late)
    }

    /// Asks until a server says neither that another one is to be asked nor that it cannot answer now.
    async fn follow_patiently(&self, command: &Cmd, form: Form) -> RedisResult<Value> {
        let mut connected = self.connection(command);
        loop {
            let (address, connection) = connected.take().ok_or_else(not_connected)?;
            let answer = connection.ask(command, false, form).await?;
            let Value::ServerError(error) = answer else { return Ok(answer) };
            match self.redirect(&error, &address) {
                Some(Redirect::Moved { slot, to }) => self.slot_moved(slot, &to),
                Some(Redirect::Ask { to }) => {
                    self.owner_found(&to);
                    self.health.wait_until(|| self.connection_to(&to).is_some()).await;
                    let connection = self.connection_to(&to).ok_or_else(not_connected)?;
                    match connection.ask(command, true, form).await? {
                        // The slot has come or gone meanwhile.
                        Value::ServerError(error) if self.redirect(&error, &to).is_some() => {}
                        answer => return answer.extract_error(),
                    }
                }
                Some(Redirect::Later | Redirect::Demoted) => {
                    self.refresh_map(None);
                    sleep(RETRY).await;
                }
                None => return Err(self.servers.refused(error)),
            }
            self.wait_for_connection(command).await;
            connected = self.connection(command);
        }
    }

    /// The connection that publishes to this server.
    pub(crate) fn connection_to(&self, address: &Address) -> Option<Commands> {
        self.outgoing.to(address)?.commands.lock().clone()
    }
}

fn not_connected() -> RedisError {
    (ErrorKind::Io, "there is no connection to Redis").into()
}
