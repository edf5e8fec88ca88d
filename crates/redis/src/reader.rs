//! Reads the streams, on a connection of its own, which waits in Redis for what comes.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use redis::{RedisError, RedisResult, Value, cmd};

use crate::connection::{Backoff, Connection, connect};
use crate::dispatcher::Incoming;
use crate::health::Role;
use crate::link::Link;
use crate::wire;

/// Runs for as long as the adapter.
pub(crate) async fn run(link: Arc<Link>) {
    let mut backoff = Backoff::new(&link.options);
    let mut position = None;
    loop {
        let Err(error) = link.read_streams(&mut position).await;
        link.note_lost(Role::Reading, &error);
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
        let ends = self.ends_of_streams(&mut connection).await?;
        let position = match position {
            Some(position) => {
                go_back(position, &ends);
                position
            }
            None => position.insert(ends),
        };
        let _working = self.health.works(Role::Reading);
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

/// Where a stream ends before what was read last, Redis has lost a part of it, and its clock may be behind: it would be long until
/// new entries come after that position. They are read from the end that there is now.
fn go_back(position: &mut Position, ends: &Position) {
    for (name, last) in position {
        if let Some((_, end)) = ends.iter().find(|(each, end)| each == name && order(end) < order(last)) {
            tracing::warn!(stream = *name, "entries of a stream that were read are gone from it");
            last.clone_from(end);
        }
    }
}

/// The milliseconds and the number that an id consists of.
fn order(id: &str) -> Option<(u64, u64)> {
    let (millis, number) = id.split_once('-')?;
    Some((millis.parse().ok()?, number.parse().ok()?))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_has_lost_its_end_is_read_from_there() {
        let at =
            |first: &str, second: &str| vec![("a".to_owned(), first.to_owned()), ("b".to_owned(), second.to_owned())];
        let mut position = at("90-3", "100-9");
        go_back(&mut position, &at("90-4", "100-10"));
        assert_eq!(position, at("90-3", "100-9"));
        go_back(&mut position, &at("90-2", "0-0"));
        assert_eq!(position, at("90-2", "0-0"));
    }
}
