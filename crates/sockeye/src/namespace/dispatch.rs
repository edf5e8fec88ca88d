//! An event's way from the packet to the handlers: catch-all listeners, middlewares, then its own handlers.

use crate::handler::{Budget, EventContext, Kind, finish_all, run_all, start};
use crate::socket::Socket;

/// Handles an event of a client.
pub(crate) fn dispatch(context: EventContext) {
    let listeners = context.socket.namespace().listeners().clone();
    context.socket.conn().server().metrics.events_received.increment();
    if listeners.tables().any(|table| table.sequential) {
        return in_turn(context);
    }
    run_all(&listeners.of(Kind::Any), &context);
    if !context.socket.is_connected() {
        return;
    }
    if listeners.tables().all(|table| table.event_middlewares.is_empty()) {
        return run_all(&handlers(&context), &context);
    }
    let conn = context.socket.conn().clone();
    start(&conn.server().clone(), &conn, async move {
        if is_allowed(&context).await && context.socket.is_connected() {
            run_all(&handlers(&context), &context);
        }
    });
}

/// Asks the middlewares. The program's error listeners hear of an event that one refuses.
async fn is_allowed(context: &EventContext) -> bool {
    let listeners = context.socket.namespace().listeners();
    let middlewares: Vec<_> = listeners.tables().flat_map(|table| table.event_middlewares.clone()).collect();
    for middleware in middlewares {
        if let Err(error) = middleware(context.clone()).await {
            let errors: Vec<_> = listeners.tables().flat_map(|table| table.errors.clone()).collect();
            for listener in errors {
                listener(context, &error);
            }
            tracing::debug!(sid = context.socket.id(), event = context.event(), error, "event refused by a middleware");
            return false;
        }
    }
    true
}

/// The event's own handlers, or those for events that have none.
fn handlers(context: &EventContext) -> Vec<crate::handler::Erased> {
    let listeners = context.socket.namespace().listeners();
    let mut own = Vec::new();
    for table in listeners.tables() {
        if let Some(handlers) = table.events.get(context.event()) {
            own.extend_from_slice(handlers);
        }
    }
    if own.is_empty() {
        context.socket.conn().server().metrics.unhandled_events.increment();
        return listeners.of(Kind::Fallback);
    }
    own
}

/// Puts the event behind those that the socket sent before, and sees to it that somebody works on them.
fn in_turn(context: EventContext) {
    let conn = context.socket.conn().clone();
    let socket = context.socket.clone();
    // What waits in line counts as a handler that waits: at the bound, the client must wait too.
    let entry = (context.clone(), Budget::take(&conn));
    // The event stays in the line until it is done, so that nobody else starts on the next one.
    let is_first = socket.with_line(|line| {
        line.push_back(entry);
        line.len() == 1
    });
    if !is_first {
        return;
    }
    start(&conn.server().clone(), &conn, async move {
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
    finish_all(&context.socket.namespace().listeners().of(Kind::Any), context).await;
    if is_allowed(context).await && context.socket.is_connected() {
        finish_all(&handlers(context), context).await;
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
