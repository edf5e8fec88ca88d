//! Reads the streams, on connections of their own, which wait in Redis for what comes.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, RedisError, Value, cmd};
use sockeye_cluster::link::supervised;
use sockeye_cluster::recovery::Position;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::bus::inbox::Incoming;
use crate::bus::wire;
use crate::connection::RETRY;
use crate::connection::Role;
use crate::connection::commands::Form;
use crate::connection::map::{Address, Redirect};
use crate::connection::{Backoff, Connection};
use crate::link::Link;
use crate::recovery::entries::Entries;
use crate::recovery::flow::{Flow, nothing};

/// Runs for as long as the adapter: a task for each group of streams that are read together.
pub(crate) async fn run(link: Arc<Link>) {
    let mut tasks = JoinSet::new();
    for group in link.stream_groups() {
        let link = link.clone();
        tasks.spawn(async move { supervised(&*link, Role::Reading, || serve(link.clone(), group.clone())).await });
    }
    while let Some(_ended) = tasks.join_next().await {}
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
            End::Redirected(Redirect::Later | Redirect::Demoted) => link.refresh_map(None),
            End::Left => {}
        }
        sleep(RETRY).await;
    }
}

/// A stream, and the id of its last entry that was read.
type Cursors = Vec<(String, Position)>;

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
    async fn run(&self, position: &mut Option<Cursors>) -> Result<Infallible, End> {
        let timeout = self.link.options.timeout;
        let connection = self.link.servers.connect(self.server, BLOCK + timeout, |_| {}).await?;
        let ends = self.ends_of_streams(&connection).await?;
        // Where each stream began when its last gap was reported: until something is read of it, that is no other gap.
        let mut reported = vec![None; self.names.len()];
        let position = match position {
            Some(position) => {
                self.find_gaps(&connection, position, &ends, &mut reported).await?;
                step_back(position, &ends);
                position
            }
            None => {
                for (name, id) in &ends {
                    if let Some(cursor) = self.link.recovery.cursor(self.link.number_of(name)) {
                        cursor.begin(*id);
                    }
                }
                position.insert(ends)
            }
        };
        let _working = self.link.working(Role::Reading);
        let flow = Flow::new(position);
        let mut stopped = pin!(flow.watch(self.link));
        loop {
            let read = self.read(position);
            // Both are sent at once, and carried out in this order.
            let asked = async { tokio::join!(self.ask(&connection, &read), self.starts_of_streams(&connection)) };
            let (answer, starts) = tokio::select! {
                (answer, starts) = asked => (answer?, starts?),
                () = self.has_left() => return Err(End::Left),
                error = &mut stopped => return Err(error.into()),
            };
            for (((name, last), first), reported) in position.iter().zip(starts).zip(&mut reported) {
                // What was read last is still there, or what came after it may be gone as well: the process stood still for long.
                if first.is_none_or(|first| first > *last) && *reported != Some(first) {
                    self.report_gap(name, first, true);
                    *reported = Some(first);
                }
            }
            self.link.take_entries(&answer, position, &flow).await;
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

    fn read(&self, position: &Cursors) -> Cmd {
        let mut read = cmd("XREAD");
        read.arg("COUNT").arg(self.link.options.stream.read_count).arg("BLOCK").arg(BLOCK_MILLIS);
        read.arg("STREAMS");
        for (name, _) in position {
            read.arg(name);
        }
        for (_, id) in position {
            read.arg(id.to_string());
        }
        read
    }

    /// Asks for something; the answer is as Redis has sent it.
    async fn ask(&self, connection: &Connection, command: &Cmd) -> Result<Vec<u8>, End> {
        match connection.commands.ask(command, self.is_asked, Form::Raw).await? {
            Value::BulkString(answer) => Ok(answer),
            Value::ServerError(error) => Err(match self.link.redirect(&error, self.server) {
                Some(redirect) => End::Redirected(redirect),
                None => End::Lost(self.link.servers.refused(error)),
            }),
            _ => Err(unexpected().into()),
        }
    }

    /// Where the streams end now.
    async fn ends_of_streams(&self, connection: &Connection) -> Result<Cursors, End> {
        let mut ends = Vec::new();
        for name in self.names {
            let mut last = self.edge(connection, "XREVRANGE", name, "+", "-").await?;
            if last.is_none() && self.link.recovery.is_used() {
                // A place in a stream is an entry of it, by which it can be told whether the stream was trimmed since.
                last = Some(self.begin_stream(connection, name).await?);
            }
            ends.push((name.clone(), last.unwrap_or_default()));
        }
        Ok(ends)
    }

    /// The id of the first entry, from one end or the other.
    async fn edge(
        &self,
        connection: &Connection,
        command: &str,
        name: &str,
        from: &str,
        to: &str,
    ) -> Result<Option<Position>, End> {
        let first = cmd(command).arg(name).arg(from).arg(to).arg("COUNT").arg(1).take();
        let answer = self.ask(connection, &first).await?;
        Ok(Entries::of_range(&answer).ok_or_else(unexpected)?.next().map(|(_, id, _)| id))
    }

    /// Writes an entry that does nothing: nobody is in a room of this name.
    async fn begin_stream(&self, connection: &Connection, name: &str) -> Result<Position, End> {
        let answer = redis::parse_redis_value(&self.ask(connection, &nothing(self.link, name)).await?)?;
        let Value::BulkString(id) = answer else { return Err(unexpected().into()) };
        let id = std::str::from_utf8(&id).ok().and_then(|id| id.parse().ok());
        id.ok_or_else(|| unexpected().into())
    }

    /// Entries may have been trimmed, or lost with their server. That matters to who counts on them.
    async fn find_gaps(
        &self,
        connection: &Connection,
        position: &Cursors,
        ends: &Cursors,
        reported: &mut [Option<Option<Position>>],
    ) -> Result<(), End> {
        if !self.link.recovery.is_used() {
            return Ok(());
        }
        for (((name, last), (_, end)), reported) in position.iter().zip(ends).zip(reported) {
            let first = self.edge(connection, "XRANGE", name, "-", "+").await?;
            let is_unread = first.is_none_or(|first| first > *last);
            if *last != Position::default() && (is_unread || end < last) {
                self.report_gap(name, first, is_unread);
                *reported = Some(first);
            }
        }
        Ok(())
    }

    /// Where the streams begin; nothing where nobody counts on it.
    async fn starts_of_streams(&self, connection: &Connection) -> Result<Vec<Option<Position>>, End> {
        let mut starts = Vec::new();
        if self.link.recovery.is_used() {
            for name in self.names {
                starts.push(self.edge(connection, "XRANGE", name, "-", "+").await?);
            }
        }
        Ok(starts)
    }

    /// Entries are gone; this is the first that is there.
    fn report_gap(&self, name: &str, first: Option<Position>, is_unread: bool) {
        self.link.metrics.recovery.gaps.increment();
        tracing::warn!(stream = name, "entries of the stream were lost; clients that may have missed some begin anew");
        if let Some(cursor) = self.link.recovery.cursor(self.link.number_of(name)) {
            self.link.recovery.driver.handle_gap(cursor, first.unwrap_or_default(), is_unread);
        }
    }
}

/// Where a stream ends before the entry that was read last, the server has lost some: what comes next has an id that may be less
/// than those.
fn step_back(position: &mut Cursors, ends: &Cursors) {
    for ((_, id), (_, end)) in position.iter_mut().zip(ends) {
        *id = (*id).min(*end);
    }
}

impl Link {
    /// Who has these streams, once that is known.
    async fn owner_of(&self, names: &[String]) -> Address {
        let name = names.first().map(String::as_bytes).unwrap_or_default();
        loop {
            if let Some(map) = &*self.map.lock() {
                return map.owner(name).clone();
            }
            self.health.wait_until(|| self.map.lock().is_some()).await;
        }
    }

    /// The number of a stream among all.
    fn number_of(&self, name: &str) -> usize {
        match self.options.stream.count {
            ..=1 => 0,
            _ => wire::streams(&self.options.stream).iter().position(|each| each == name).unwrap_or_default(),
        }
    }

    async fn take_entries(&self, answer: &[u8], position: &mut Cursors, flow: &Flow) {
        let mut is_any = false;
        for (name, id, fields) in Entries::of_read(answer) {
            is_any = true;
            let Some(at) = position.iter().position(|(each, _)| each.as_bytes() == name) else { continue };
            let Some((name, last)) = position.get_mut(at) else { continue };
            self.metrics.received.increment();
            *last = id;
            let is_own = fields.begin_with("uid", &self.node);
            flow.note(at, id, is_own);
            // Redis brings back what this node writes, and writes with its name first. Nobody wants it unless sessions are recovered.
            if !self.recovery.is_used() && is_own {
                continue;
            }
            let mut incoming = Incoming::Entry { stream: self.number_of(name), id, fields };
            let bytes = incoming.len();
            // The stream keeps what comes meanwhile.
            while let Err(back) = self.incoming.push(incoming, bytes) {
                incoming = back;
                sleep(PAUSE).await;
            }
        }
        if is_any {
            flow.note_progress();
        }
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
