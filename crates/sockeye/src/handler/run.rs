//! Runs handlers: at once as far as they go without waiting, then beside the connection; panics stay inside.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use sockeye_protocol::CloseReason;

use super::listeners::Erased;
use super::{EventContext, HandlerError, HandlerFuture, Step};
use crate::namespace::Namespace;
use crate::server::Conn;
use crate::server::ServerInner;
use sockeye_engine::Ending;
use sockeye_engine::internal::{panic_text, pressure};

/// Counts a waiting handler, and the bytes that it holds, against the bounds of its connection.
pub(crate) struct Waiting {
    conn: Arc<Conn>,
    bytes: usize,
}

impl Waiting {
    pub(crate) fn begin(conn: &Arc<Conn>, bytes: usize) -> Self {
        conn.session().handler_waits(conn, bytes);
        Self { conn: conn.clone(), bytes }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.conn.session().handler_done(&self.conn, self.bytes);
    }
}

/// Calls each handler with the occurrence. One that waits goes on in a task of its own.
pub(crate) fn run_all<'a>(handlers: impl IntoIterator<Item = &'a Erased>, conn: &Arc<Conn>, context: EventContext) {
    let mut handlers = handlers.into_iter();
    let Some(mut handler) = handlers.next() else { return };
    for next in handlers {
        run(handler, conn, context.clone());
        handler = next;
    }
    // The last one may have the occurrence for itself.
    run(handler, conn, context);
}

fn run(handler: &Erased, conn: &Arc<Conn>, context: EventContext) {
    let event = context.event.clone();
    let bytes = context.bytes();
    match step(handler, context) {
        Ok(Step::Done(result)) => settle(conn, event.as_str(), result),
        Ok(Step::Future(future)) => {
            let conn = conn.clone();
            let waiting = Waiting::begin(&conn, bytes);
            conn.app().clone().spawn(async move {
                let _waiting = waiting;
                match (CatchUnwind { future, sender: conn.clone() }).await {
                    Ok(result) => settle(&conn, event.as_str(), result.map_err(HandlerError::Failed)),
                    Err(panic) => panicked(&conn, event.as_str(), &panic),
                }
            });
        }
        Err(panic) => panicked(conn, event.as_str(), &panic),
    }
}

/// Calls each handler with the occurrence, one after the other, each to its end.
pub(crate) async fn finish_all(handlers: &[Erased], context: &EventContext) {
    let conn = context.socket.conn();
    for handler in handlers {
        let result = match step(handler, context.clone()) {
            Ok(Step::Done(result)) => Ok(result),
            Ok(Step::Future(future)) => {
                let future = CatchUnwind { future, sender: conn.clone() };
                future.await.map(|result| result.map_err(HandlerError::Failed))
            }
            Err(panic) => Err(panic),
        };
        match result {
            Ok(result) => settle(conn, context.event(), result),
            Err(panic) => panicked(conn, context.event(), &panic),
        }
    }
}

/// Calls a handler and polls its future once. The panic's text, if there was one.
fn step(handler: &Erased, context: EventContext) -> Result<Step, String> {
    catch_unwind(AssertUnwindSafe(|| match handler(context) {
        Step::Done(result) => Step::Done(result),
        Step::Future(mut future) => match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => Step::Done(result.map_err(HandlerError::Failed)),
            // The task that takes it over polls it again first thing, with its own waker.
            Poll::Pending => Step::Future(future),
        },
    }))
    .map_err(|panic| panic_text(&*panic))
}

/// Runs work for a client at once as far as it goes, then in a task. `bytes` is what it holds of the client's.
pub(crate) fn start(
    server: &Arc<ServerInner>,
    conn: &Arc<Conn>,
    bytes: usize,
    future: impl Future<Output = ()> + Send + 'static,
) {
    let mut future = Box::pin(future);
    let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut Context::from_waker(Waker::noop()))));
    match polled {
        Ok(Poll::Ready(())) => {}
        Ok(Poll::Pending) => {
            let waiting = Waiting::begin(conn, bytes);
            let conn = conn.clone();
            server.spawn(async move {
                let _waiting = waiting;
                let future: HandlerFuture = Box::pin(async move {
                    future.await;
                    Ok(())
                });
                if let Err(panic) = (CatchUnwind { future, sender: conn.clone() }).await {
                    panicked(&conn, "connection", &panic);
                }
            });
        }
        Err(panic) => panicked(conn, "connection", &panic_text(&*panic)),
    }
}

fn settle(conn: &Arc<Conn>, event: &str, result: Result<(), HandlerError>) {
    let metrics = &conn.app().metrics;
    match result {
        Ok(()) => {}
        Err(HandlerError::Rejected(rejection)) => metrics.event_rejected(conn.id(), event, &rejection),
        Err(HandlerError::Failed(error)) => metrics.handler_failed(conn.id(), event, &error),
    }
}

fn panicked(conn: &Arc<Conn>, event: &str, panic: &str) {
    conn.app().metrics.handler_panicked(conn.id(), event, panic);
    conn.close(CloseReason::HandlerPanic, Ending::Graceful, "a handler panicked");
}

/// A future whose panic is a value. What it sends counts as sent by its client.
struct CatchUnwind {
    future: HandlerFuture,
    sender: Arc<Conn>,
}

impl Future for CatchUnwind {
    type Output = Result<Result<(), String>, String>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { future, sender } = &mut *self;
        let poll = || catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
        match pressure::watch(sender, poll) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(result)) => Poll::Ready(Ok(result)),
            Err(panic) => Poll::Ready(Err(panic_text(&*panic))),
        }
    }
}

/// Calls a listener of the program in a task that others depend on too: its panic is counted, and goes no further.
pub(crate) fn call_listener(namespace: &Namespace, listener: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(listener)) {
        namespace.metrics().listener_panicked(namespace.name(), &panic_text(&*panic));
    }
}
