//! An event's way from the packet to the handlers: catch-all listeners, middlewares, then its own handlers.

use std::sync::Arc;

use crate::engine::Conn;
use crate::handler::{Budget, EventContext, Handlers, Kind, finish_all, run_all, start};
use crate::socket::Socket;

/// Handles an event of a client.
pub(crate) fn dispatch(conn: &Arc<Conn>, context: EventContext) {
    conn.server().metrics.events_received.increment();
    let plan = Plan::of(&context);
    if plan.is_sequential {
        return in_turn(context);
    }
    if !plan.any.is_empty() {
        run_all(&plan.any, conn, context.clone());
        if !context.socket.is_connected() {
            return;
        }
    }
    if !plan.has_middlewares {
        return run_all(&plan.own_or_fallback(&context), conn, context);
    }
    let lent = conn.clone();
    start(conn.server(), conn, async move {
        if is_allowed(&context).await && context.socket.is_connected() {
            run_all(&plan.own_or_fallback(&context), &lent, context);
        }
    });
}

/// Who is to be called for an event.
struct Plan {
    /// Events of a socket are handled one at a time.
    is_sequential: bool,
    has_middlewares: bool,
    any: Handlers,
    own: Handlers,
}

impl Plan {
    fn of(context: &EventContext) -> Self {
        let mut plan =
            Self { is_sequential: false, has_middlewares: false, any: Handlers::new(), own: Handlers::new() };
        for table in context.socket.namespace().listeners().tables() {
            plan.is_sequential |= table.sequential;
            plan.has_middlewares |= !table.event_middlewares.is_empty();
            plan.any.extend(table.any.iter().cloned());
            if let Some(own) = table.events.get(context.event()) {
                plan.own.extend(own.iter().cloned());
            }
        }
        plan
    }

    /// The event's own handlers, or those for events that have none.
    fn own_or_fallback(self, context: &EventContext) -> Handlers {
        if self.own.is_empty() {
            context.socket.conn().server().metrics.unhandled_events.increment();
            return context.socket.namespace().listeners().of(Kind::Fallback);
        }
        self.own
    }
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
    let plan = Plan::of(context);
    finish_all(&plan.any, context).await;
    if is_allowed(context).await && context.socket.is_connected() {
        finish_all(&plan.own_or_fallback(context), context).await;
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
