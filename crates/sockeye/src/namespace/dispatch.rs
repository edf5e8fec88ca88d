//! An event's way from the packet to the handlers: catch-all listeners, middlewares, then its own handlers.

use std::sync::Arc;

use arc_swap::Guard;
use smallvec::SmallVec;

use crate::handler::{Erased, EventContext, Kind, Table, Tables, Waiting, finish_all, run_all, start};
use crate::server::Conn;
use crate::socket::Socket;

/// Handles an event of a client.
pub(crate) fn dispatch(conn: &Arc<Conn>, context: EventContext) {
    conn.app().metrics.events_received.increment();
    let tables = context.socket.namespace().listeners().tables();
    if tables.iter().any(|table| table.sequential) {
        return in_turn(context);
    }
    if tables.iter().any(|table| !table.any.is_empty()) {
        run_all(tables.iter().flat_map(|table| &table.any), conn, context.clone());
        if !context.socket.is_connected() {
            return;
        }
    }
    if tables.iter().all(|table| table.event_middlewares.is_empty()) {
        return run_own(&tables, conn, context);
    }
    let lent = conn.clone();
    start(conn.app(), conn, context.bytes(), async move {
        if is_allowed(&context).await && context.socket.is_connected() {
            let tables = context.socket.namespace().listeners().tables();
            run_own(&tables, &lent, context);
        }
    });
}

/// Calls the event's own handlers, or those for events that have none.
///
/// They are called where they are: to share them would be to count their users, and all threads would fight over the count.
fn run_own(tables: &Tables, conn: &Arc<Conn>, context: EventContext) {
    // Nearly always there is one table, and it has the event.
    if let [table] = tables.as_slice()
        && let Some(handlers) = table.events.get(context.event())
    {
        return run_all(handlers, conn, context);
    }
    let own: SmallVec<[&[Erased]; 2]> = own(tables, &context).collect();
    run_all(own.into_iter().flatten(), conn, context);
}

fn own<'a>(tables: &'a Tables, context: &EventContext) -> impl Iterator<Item = &'a [Erased]> {
    let of_event = |table: &'a Guard<Arc<Table>>| table.events.get(context.event()).map(Vec::as_slice);
    let has_own = tables.iter().any(|table| of_event(table).is_some());
    if !has_own {
        context.socket.conn().app().metrics.unhandled_events.increment();
    }
    tables.iter().filter_map(move |table| if has_own { of_event(table) } else { Some(table.of(Kind::Fallback)) })
}

/// Asks the middlewares. The program's error listeners hear of an event that one refuses.
async fn is_allowed(context: &EventContext) -> bool {
    let listeners = context.socket.namespace().listeners();
    let middlewares: Vec<_> = listeners.tables().iter().flat_map(|table| table.event_middlewares.clone()).collect();
    for middleware in middlewares {
        if let Err(error) = middleware(context.clone()).await {
            let errors: Vec<_> = listeners.tables().iter().flat_map(|table| table.errors.clone()).collect();
            for listener in errors {
                listener(context, &error);
            }
            tracing::debug!(sid = context.socket.id(), event = context.event(), error, "event refused by a middleware");
            return false;
        }
    }
    true
}

/// Puts the event behind those that the socket sent before, and sees to it that somebody works on them.
fn in_turn(context: EventContext) {
    let conn = context.socket.conn().clone();
    let socket = context.socket.clone();
    // What waits in line counts as a handler that waits: at the bound, the client must wait too.
    let entry = (context.clone(), Waiting::begin(&conn, context.bytes()));
    // The event stays in the line until it is done, so that nobody else starts on the next one.
    let is_first = socket.with_line(|line| {
        line.push_back(entry);
        line.len() == 1
    });
    if !is_first {
        return;
    }
    start(&conn.app().clone(), &conn, 0, async move {
        let mut worker = Worker { socket, is_done: false };
        let mut next = Some(context);
        while let Some(context) = next {
            handle_to_end(&context).await;
            next = worker.next();
        }
    });
}

async fn handle_to_end(context: &EventContext) {
    if !context.socket.is_connected() {
        return;
    }
    let listeners = context.socket.namespace().listeners();
    finish_all(&listeners.of(Kind::Any), context).await;
    if is_allowed(context).await && context.socket.is_connected() {
        let own: Vec<_> = own(&listeners.tables(), context).flatten().cloned().collect();
        finish_all(&own, context).await;
    }
}

/// Who works on the line of a socket. If it ends early, by a panic, the line ends with it: its entries hold the socket.
struct Worker {
    socket: Socket,
    is_done: bool,
}

impl Worker {
    /// Takes out the event that is done, and gives back the one behind it. In one step: a line that is empty is somebody
    /// else's from then on.
    fn next(&mut self) -> Option<EventContext> {
        let (done, next) =
            self.socket.with_line(|line| (line.pop_front(), line.front().map(|(context, _)| context.clone())));
        self.is_done = next.is_none();
        drop(done);
        next
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if !self.is_done {
            drop(self.socket.with_line(std::mem::take));
        }
    }
}
