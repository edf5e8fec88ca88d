//! Reads the streams, on a connection of its own, which waits in Redis for what comes.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use redis::{RedisError, RedisResult, Value, cmd};

use crate::connection::{Backoff, Connection, connect};
use crate::dispatcher::Incoming;
use crate::link::Link;
use crate::wire;

/// Runs for as long as the adapter.
pub(crate) async fn run(link: Arc<Link>) {
    let mut backoff = Backoff::new(&link.options);
    let mut position = None;
    loop {
        let Err(error) = link.read_streams(&mut position).await;
        link.note_lost("reading streams", &error);
        backoff.wait().await;
    }
}

/// A stream, and the id of its last entry that was read.
type Position = Vec<(String, String)>;

impl Link {
    /// Reads until the connection ends. A position that is kept from one connection to the next misses nothing.
    async fn read_streams(&self, position: &mut Option<Position>) -> RedisResult<Infallible> {
        let timeout = self.options.timeout;
        let mut connection = connect(&self.client, timeout, BLOCK + timeout, |_| {}).await?;
        let position = match position {
            Some(position) => position,
            None => position.insert(self.ends_of_streams(&mut connection).await?),
        };
        let _working = self.working();
        loop {
            let mut read = cmd("XREAD");
            read.arg("COUNT").arg(self.options.stream.read_count).arg("BLOCK").arg(BLOCK_MILLIS);
            read.arg("STREAMS");
            for (name, _) in &*position {
                read.arg(name);
            }
            for (_, id) in &*position {
                read.arg(id);
            }
            let Value::Map(streams) = connection.commands.send_packed_command(&read).await?.extract_error()? else {
                continue; // nothing came in time
            };
            for (name, entries) in streams {
                self.take_entries(&name, entries, position).await;
            }
        }
    }

    /// Where the streams end now.
    async fn ends_of_streams(&self, connection: &mut Connection) -> RedisResult<Position> {
        let mut ends = Vec::new();
        for name in wire::streams(&self.options.stream) {
            let last = cmd("XREVRANGE").arg(&name).arg("+").arg("-").arg("COUNT").arg(1).clone();
            let Value::Array(entries) = connection.commands.send_packed_command(&last).await?.extract_error()? else {
                return Err(unexpected());
            };
            let id = entries.into_iter().next().and_then(entry).map_or_else(|| "0-0".to_owned(), |(id, _)| id);
            ends.push((name, id));
        }
        Ok(ends)
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
                tokio::time::sleep(PAUSE).await;
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

/// How long Redis waits for an entry before it answers that there is none.
const BLOCK: Duration = Duration::from_millis(BLOCK_MILLIS);
const BLOCK_MILLIS: u64 = 5_000;

/// How long to wait for room in the queue.
const PAUSE: Duration = Duration::from_millis(5);
