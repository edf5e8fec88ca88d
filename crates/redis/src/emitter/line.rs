//! An emitter's connections, to each server that it has something for: made when they are first needed, and anew when they were lost.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use redis::{Cmd, ErrorKind, RedisResult, Value, cmd};
use tokio::sync::{Mutex, Notify};
use tokio::time::{Instant, sleep, timeout};

use super::EmitterError;
use crate::connection::Connection;
use crate::connection::RETRY;
use crate::connection::commands::{Commands, Form};
use crate::connection::map::{Address, Map, Redirect};
use crate::connection::servers::Servers;
use crate::options::RedisOptions;

/// The connections that all clones of an emitter share.
pub(super) struct Line {
    pub(super) options: RedisOptions,
    servers: Servers,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Who owns what. None: it is to be asked for.
    map: Option<Map>,
    live: HashMap<Address, Live>,
}

struct Live {
    connection: Connection,
    used: Instant,
}

/// A connection to use now.
struct Connected {
    address: Address,
    commands: Commands,
    lost: Arc<Notify>,
}

impl Line {
    pub(super) fn new(options: RedisOptions, servers: Servers) -> Self {
        Self { options, servers, state: Mutex::default() }
    }

    /// Sends a command, and gives the answer. One that is for another server is sent there: it was not carried out.
    pub(super) async fn send(&self, command: &Cmd) -> Result<Value, EmitterError> {
        let mut asked = None;
        for _ in 0..REDIRECTIONS {
            let is_asked = asked.is_some();
            let to = self.connected(command, asked.take()).await?;
            let error = match to.commands.ask(command, is_asked, Form::Value).await {
                Ok(Value::ServerError(error)) => error,
                Ok(answer) => return Ok(answer),
                Err(error) => {
                    self.forget(&to).await;
                    let is_refusal = matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension);
                    return Err(match is_refusal {
                        true => EmitterError::Refused(error.to_string()),
                        false => EmitterError::Lost(error.to_string()),
                    });
                }
            };
            let redirect = Redirect::read(&error, &to.address).filter(|_| self.servers.fixed().is_none());
            match redirect {
                Some(Redirect::Moved { slot, to }) => {
                    let mut state = self.state.lock().await;
                    state.map = state.map.take().map(|map| map.with_moved(slot, &to));
                }
                Some(Redirect::Ask { to }) => asked = Some(to),
                Some(Redirect::Later) => sleep(RETRY).await,
                Some(Redirect::Demoted) => {
                    self.forget(&to).await;
                    sleep(RETRY).await;
                }
                None => {
                    // A primary that has become a replica refuses: the next emit looks for the primary anew.
                    if error.code() == "READONLY" {
                        self.forget(&to).await;
                    }
                    return Err(EmitterError::Refused(self.servers.refused(error).to_string()));
                }
            }
        }
        Err(EmitterError::Refused("one server of Redis says that another has the key, again and again".to_owned()))
    }

    /// A connection for this command, or to this server.
    async fn connected(&self, command: &Cmd, to: Option<Address>) -> Result<Connected, EmitterError> {
        let within = self.options.timeout;
        match timeout(within, self.connection(command, to)).await {
            Ok(Ok(connected)) => Ok(connected),
            // What it refuses already then, such as the password, is told by the text.
            Ok(Err(error)) => Err(EmitterError::Unreachable(error.to_string())),
            Err(_) => Err(EmitterError::Unreachable(format!("no connection within {} s", within.as_secs_f64()))),
        }
    }

    /// The connection, made anew if need be.
    async fn connection(&self, command: &Cmd, to: Option<Address>) -> RedisResult<Connected> {
        let state = &mut *self.state.lock().await;
        let address = match (to, &mut state.map) {
            (Some(to), _) => to,
            (None, Some(map)) => map.target(command).clone(),
            (None, map) => map.insert(self.servers.resolve(None, None).await?).target(command).clone(),
        };
        if let Some(there) = state.live.get_mut(&address)
            && !there.works(&self.options).await
        {
            state.live.remove(&address);
        }
        let there = match state.live.entry(address.clone()) {
            Entry::Occupied(there) => there.into_mut(),
            Entry::Vacant(free) => match self.servers.connect(&address, self.options.timeout, |_| {}).await {
                Ok(connection) => free.insert(Live { connection, used: Instant::now() }),
                Err(error) => {
                    // Another one may have its keys now.
                    state.map = None;
                    return Err(error);
                }
            },
        };
        there.used = Instant::now();
        Ok(Connected { address, commands: there.connection.commands.clone(), lost: there.connection.lost.clone() })
    }

    /// Lets the connection go, unless there is another already, and what is known of who owns what.
    async fn forget(&self, connected: &Connected) {
        let mut state = self.state.lock().await;
        if state.live.get(&connected.address).is_some_and(|there| Arc::ptr_eq(&there.connection.lost, &connected.lost))
        {
            state.live.remove(&connected.address);
            state.map = None;
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
        let answer = timeout(options.timeout / 2, self.connection.commands.send(&ping)).await;
        matches!(answer, Ok(Ok(_)))
    }
}

/// How often one command is sent on, or sent again after a pause.
const REDIRECTIONS: usize = 20;
