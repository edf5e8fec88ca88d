//! Reads the streams, on connections of their own, which wait in Redis for what comes.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Pipeline, RedisError, Value, cmd};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::connection::{Backoff, Connection};
use crate::dispatcher::Incoming;
use crate::health::Role;
use crate::link::Link;
use crate::map::{Address, Redirect};
use crate::publisher::RETRY;
use crate::wire;

/// Runs for as long as the adapter: a task for each group of streams that are read together.
pub(crate) async fn run(link: Arc<Link>) {
    let mut tasks = JoinSet::new();
    for group in groups(&link) {
        tasks.spawn(serve(link.clone(), group));
    }
    while let Some(_ended) = tasks.join_next().await {}
}

/// The streams that are read together: in a Redis Cluster each has an owner of its own.
pub(crate) fn groups(link: &Link) -> Vec<Vec<String>> {
    let streams = wire::streams(&link.options.stream);
    match link.servers.is_cluster() {
        true => streams.into_iter().map(|stream| vec![stream]).collect(),
        false => vec![streams],
    }
}

/// Reads one group, from whoever has it.
async fn serve(link: Arc<Link>, names: Vec<String>) {
    let mut backoff = Backoff::new(&link.options);
    let mut position = None;
    let mut asked = None;
    loop {
        let is_asked = asked.is_some();
        let server = match asked.take() {
            Some(asked) => asked,
            None => link.owner_of(&names).await,
        };
        let reading = Reading { link: &link, names: &names, server: &server, is_asked };
        let Err(end) = reading.run(&mut position).await;
        match end {
            End::Lost(error) => {
                link.note_lost(Role::Reading, Some(&server), &error);
                backoff.wait().await;
                continue;
            }
            End::Redirected(Redirect::Moved { slot, to }) => link.slot_moved(slot, &to),
            End::Redirected(Redirect::Ask { to }) => asked = Some(to),
            End::Redirected(Redirect::Later | Redirect::Demoted) => link.doubt(None),
            End::Left => {}
        }
        sleep(RETRY).await;
    }
}

/// A stream, and the id of its last entry that was read.
type Position = Vec<(String, String)>;

/// Why reading has ended.
enum End {
    /// The connection is lost, or the server has refused.
    Lost(RedisError),
    /// The streams are elsewhere, or cannot be read now.
    Redirected(Redirect),
    /// Others own the streams now.
    Left,
}

impl From<RedisError> for End {
    fn from(error: RedisError) -> Self {
        Self::Lost(error)
    }
}

/// A group of streams as one server has it.
struct Reading<'a> {
    link: &'a Link,
    names: &'a [String],
    server: &'a Address,
    /// Whether another server has sent us here, while the slot of the streams moves.
    is_asked: bool,
}

impl Reading<'_> {
    /// Reads until the connection ends. A position that is kept from one connection to the next misses nothing.
    async fn run(&self, position: &mut Option<Position>) -> Result<Infallible, End> {
        let timeout = self.link.options.timeout;
        let mut connection = self.link.servers.connect(self.server, BLOCK + timeout, |_| {}).await?;
        let ends = self.ends_of_streams(&mut connection).await?;
        let position = match position {
            Some(position) => {
                step_back(position, &ends);
                position
            }
            None => position.insert(ends),
        };
        let _working = self.link.working(Role::Reading);
        loop {
            let read = self.read(position);
            let answer = tokio::select! {
                answer = self.ask(&mut connection, &read) => answer?,
                () = self.has_left() => return Err(End::Left),
            };
            let Value::Map(streams) = answer else {
                continue; // nothing came in time
            };
            for (name, entries) in streams {
                self.link.take_entries(&name, entries, position).await;
            }
        }
    }

    /// Waits until another server has the streams. Who was sent here by one knows that already.
    async fn has_left(&self) {
        let mut changes = self.link.outgoing.changed.subscribe();
        while self.is_asked || self.link.owner_of(self.names).await == *self.server {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    fn read(&self, position: &Position) -> Cmd {
        let mut read = cmd("XREAD");
        read.arg("COUNT").arg(self.link.options.stream.read_count).arg("BLOCK").arg(BLOCK_MILLIS);
        read.arg("STREAMS");
        for (name, _) in position {
            read.arg(name);
        }
        for (_, id) in position {
            read.arg(id);
        }
        read
    }

    async fn ask(&self, connection: &mut Connection, command: &Cmd) -> Result<Value, End> {
        let answer = if self.is_asked {
            let mut asking = Pipeline::new();
            asking.add_command(cmd("ASKING")).add_command(command.clone());
            connection.commands.send_packed_commands(&asking, 1, 1).await?.pop().ok_or_else(unexpected)?
        } else {
            connection.commands.send_packed_command(command).await?
        };
        let Value::ServerError(error) = answer else { return Ok(answer) };
        match self.link.redirect(&error, self.server) {
            Some(redirect) => Err(End::Redirected(redirect)),
            None => Err(End::Lost(error.into())),
        }
    }

    /// Where the streams end now.
    async fn ends_of_streams(&self, connection: &mut Connection) -> Result<Position, End> {
        let mut ends = Vec::new();
        for name in self.names {
            let last = cmd("XREVRANGE").arg(name).arg("+").arg("-").arg("COUNT").arg(1).clone();
            let Value::Array(entries) = self.ask(connection, &last).await? else { return Err(unexpected().into()) };
            let id = entries.into_iter().next().and_then(entry).map_or_else(|| "0-0".to_owned(), |(id, _)| id);
            ends.push((name.clone(), id));
        }
        Ok(ends)
    }
}

/// Where a stream ends before the entry that was read last, the server has lost some: what comes next has an id that may be less
/// than those.
fn step_back(position: &mut Position, ends: &Position) {
    for ((_, id), (_, end)) in position.iter_mut().zip(ends) {
        if parse_id(end) < parse_id(id) {
            id.clone_from(end);
        }
    }
}

/// The two numbers of an entry's id.
fn parse_id(id: &str) -> Option<(u64, u64)> {
    let (millis, number) = id.split_once('-')?;
    Some((millis.parse().ok()?, number.parse().ok()?))
}

impl Link {
    /// Who has these streams, once that is known.
    async fn owner_of(&self, names: &[String]) -> Address {
        let name = names.first().map(String::as_bytes).unwrap_or_default();
        loop {
            if let Some(map) = &*self.map.lock() {
                return map.owner(name).clone();
            }
            self.wait_until(|| self.map.lock().is_some()).await;
        }
    }

    async fn take_entries(&self, name: &Value, entries: Value, position: &mut Position) {
        let (Value::BulkString(name), Value::Array(entries)) = (name, entries) else { return };
        let Some((_, last)) = position.iter_mut().find(|(each, _)| each.as_bytes() == name) else { return };
        for (id, fields) in entries.into_iter().filter_map(entry) {
            self.metrics.received.increment();
            *last = id;
            let mut incoming = Incoming::Entry(fields);
            let bytes = incoming.len();
            // The stream keeps what comes meanwhile.
            while let Err(back) = self.incoming.push(incoming, bytes) {
                incoming = back;
                sleep(PAUSE).await;
            }
        }
    }
}

/// The id and the fields of an entry.
fn entry(value: Value) -> Option<(String, Vec<Value>)> {
    let Value::Array(parts) = value else { return None };
    match <[Value; 2]>::try_from(parts) {
        Ok([Value::BulkString(id), Value::Array(fields)]) => Some((String::from_utf8(id).ok()?, fields)),
        _ => None,
    }
}

fn unexpected() -> RedisError {
    (redis::ErrorKind::UnexpectedReturnType, "an answer that is no list of entries").into()
}

/// How long Redis waits for an entry before it answers that there is none: so often it is seen that the connection works.
const BLOCK: Duration = Duration::from_millis(BLOCK_MILLIS);
const BLOCK_MILLIS: u64 = 3_000;

/// How long to wait for room in the queue.
const PAUSE: Duration = Duration::from_millis(5);
