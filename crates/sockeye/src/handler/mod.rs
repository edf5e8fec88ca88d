//! Handlers: what the program does on an event, and how it is run.
//!
//! Handlers of one socket start in arrival order and run at once up to their first real wait, as in JavaScript. One that
//! waits goes on beside the connection; how many may is bounded ([`Limits::max_handlers`](crate::Limits::max_handlers)).

mod context;
mod extract;
mod listeners;
mod run;

use std::fmt;
use std::future::Future;
use std::pin::Pin;

pub use context::EventContext;
pub use extract::{Auth, Data, Event, FromEvent, Reason, Rejection};
pub(crate) use listeners::{
    Erased, ErrorListener, EventMiddleware, Kind, Listeners, Middleware, OutgoingListener, Table, Tables,
};
pub(crate) use run::{Waiting, call_listener, finish_all, run_all, start};

/// A future of a handler. `Err` is the text of what went wrong.
pub(crate) type HandlerFuture = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// How far a handler has come.
#[doc(hidden)]
#[allow(missing_debug_implementations, reason = "a future has none")]
pub enum Step {
    /// It is done.
    Done(Result<(), HandlerError>),
    /// The rest of its work: `Err` is the text of what went wrong.
    Future(Pin<Box<dyn Future<Output = Result<(), String>> + Send>>),
}

/// Why a handler did not do its work.
#[doc(hidden)]
#[derive(Debug)]
pub enum HandlerError {
    /// The event is not what it takes: the client's fault.
    Rejected(Rejection),
    /// It gave back an error.
    Failed(String),
}

/// What a handler may give back: nothing, or a `Result` whose error is logged.
pub trait HandlerOutput {
    #[doc(hidden)]
    fn into_result(self) -> Result<(), String>;
}

impl HandlerOutput for () {
    fn into_result(self) -> Result<(), String> {
        Ok(())
    }
}

impl<E: fmt::Display> HandlerOutput for Result<(), E> {
    fn into_result(self) -> Result<(), String> {
        self.map_err(|error| error.to_string())
    }
}

/// A function that handles an event: sync or async, with up to six arguments that are taken from the event.
///
/// The arguments are [`Socket`](crate::Socket), [`Data`], [`Ack`](crate::Ack), [`Event`], [`Args`](crate::Args),
/// [`Server`](crate::Server), [`Namespace`](crate::Namespace), [`Reason`], [`Auth`], or whatever implements [`FromEvent`].
/// An event whose arguments do not fit is not handled; it is counted, and a warning says why, once a minute for each event.
///
/// # Example
///
/// ```
/// use sockeye::{Ack, Data, Server, Socket};
///
/// let io = Server::new();
/// io.on("add", |Data((a, b)): Data<(i64, i64)>, ack: Ack| ack.send(a + b));
/// io.on("later", |socket: Socket, Data(text): Data<String>| async move {
///     tokio::time::sleep(std::time::Duration::from_secs(1)).await;
///     socket.emit("later", text);
/// });
/// ```
pub trait Handler<M>: Send + Sync + 'static {
    #[doc(hidden)]
    fn call(&self, context: EventContext) -> Step;
}

/// Tells the two implementations of [`Handler`] apart.
#[doc(hidden)]
#[derive(Debug)]
pub struct SyncFn<T>(std::marker::PhantomData<T>);

/// Tells the two implementations of [`Handler`] apart.
#[doc(hidden)]
#[derive(Debug)]
pub struct AsyncFn<T>(std::marker::PhantomData<T>);

/// Takes the arguments of a handler out of the occurrence, or ends the call that lacks one.
macro_rules! take {
    ($context:ident) => {};
    ($context:ident, $last:ident) => {
        let $last = take!(@ $last::from_last($context));
    };
    ($context:ident, $name:ident, $($rest:ident),+) => {
        let $name = take!(@ if const { $($rest::READS_ARGS)||+ } {
            $name::from_event(&mut $context)
        } else {
            $name::from_last_args(&mut $context)
        });
        take!($context, $($rest),+);
    };
    (@ $taken:expr) => {
        match $taken {
            Ok(value) => value,
            Err(rejection) => return Step::Done(Err(HandlerError::Rejected(rejection))),
        }
    };
}

macro_rules! handlers {
    ($($name:ident),*) => {
        impl<F, O, $($name,)*> Handler<SyncFn<($($name,)*)>> for F
        where
            F: Fn($($name),*) -> O + Send + Sync + 'static,
            O: HandlerOutput,
            $($name: FromEvent,)*
        {
            #[allow(non_snake_case, unused_mut, unused_variables)]
            fn call(&self, mut context: EventContext) -> Step {
                take!(context $(, $name)*);
                Step::Done(self($($name),*).into_result().map_err(HandlerError::Failed))
            }
        }

        impl<F, Fut, $($name,)*> Handler<AsyncFn<($($name,)*)>> for F
        where
            F: Fn($($name),*) -> Fut + Send + Sync + 'static,
            Fut: Future + Send + 'static,
            Fut::Output: HandlerOutput,
            $($name: FromEvent,)*
        {
            #[allow(non_snake_case, unused_mut, unused_variables)]
            fn call(&self, mut context: EventContext) -> Step {
                take!(context $(, $name)*);
                let future = self($($name),*);
                Step::Future(Box::pin(async move { future.await.into_result() }))
            }
        }
    };
}

handlers!();
handlers!(A);
handlers!(A, B);
handlers!(A, B, C);
handlers!(A, B, C, D);
handlers!(A, B, C, D, E);
handlers!(A, B, C, D, E, G);
