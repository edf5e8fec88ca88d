//! The arguments of handlers, and how each is taken from the occurrence.

use std::convert::Infallible;

use serde::de::DeserializeOwned;
use sockeye_protocol::CloseReason;
use sockeye_protocol::socket::{Args, EventName};
use thiserror::Error;

use super::EventContext;
use crate::ack::Ack;
use crate::namespace::Namespace;
use crate::server::Server;
use crate::socket::Socket;

/// An argument of a handler.
pub trait FromEvent: Sized {
    /// Takes the argument from the occurrence.
    ///
    /// # Errors
    ///
    /// The occurrence has nothing that fits; the handler is not called then.
    fn from_event(context: &mut EventContext) -> Result<Self, Rejection>;

    /// Takes the last argument of the handler: nobody needs the occurrence any more, so it can be moved out of it.
    ///
    /// # Errors
    ///
    /// As of [`from_event`](Self::from_event).
    fn from_last(mut context: EventContext) -> Result<Self, Rejection> {
        Self::from_event(&mut context)
    }

    /// Whether it may read the event's arguments. A parameter that no such parameter follows may move them out.
    #[doc(hidden)]
    const READS_ARGS: bool = true;

    /// Takes the argument from the occurrence, whose own arguments nobody needs any more.
    #[doc(hidden)]
    fn from_last_args(context: &mut EventContext) -> Result<Self, Rejection> {
        Self::from_event(context)
    }
}

/// Why a handler's argument could not be taken from an event: what the client sent does not fit.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct Rejection(String);

impl Rejection {
    /// A rejection with a text for the log.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl From<Infallible> for Rejection {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// What came with the event: a tuple takes all arguments in order, anything else takes the first.
///
/// Missing arguments count as `null`, so an `Option` takes them; further ones are ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Data<T>(pub T);

impl<T: DeserializeOwned> FromEvent for Data<T> {
    fn from_event(context: &mut EventContext) -> Result<Self, Rejection> {
        context.args.deserialize().map(Self).map_err(|error| Rejection::new(error.to_string()))
    }
}

/// What the client gave as `auth` when it connected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Auth<T>(pub T);

impl<T: DeserializeOwned> FromEvent for Auth<T> {
    const READS_ARGS: bool = false;

    fn from_event(context: &mut EventContext) -> Result<Self, Rejection> {
        context.socket.auth().map(Self).map_err(|error| Rejection::new(format!("auth: {error}")))
    }
}

/// The name of the event.
#[derive(Clone, Debug)]
pub struct Event(pub EventName);

impl FromEvent for Event {
    const READS_ARGS: bool = false;

    fn from_event(context: &mut EventContext) -> Result<Self, Rejection> {
        Ok(Self(context.event.clone()))
    }

    fn from_last(context: EventContext) -> Result<Self, Rejection> {
        Ok(Self(context.event))
    }
}

/// Why the socket was disconnected. Only handlers of `disconnect` and `disconnecting` can take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason(pub CloseReason);

impl FromEvent for Reason {
    const READS_ARGS: bool = false;

    fn from_event(context: &mut EventContext) -> Result<Self, Rejection> {
        context.reason.map(Self).ok_or_else(|| Rejection::new("only a disconnect has a reason"))
    }
}

impl FromEvent for EventContext {
    fn from_event(context: &mut EventContext) -> Result<Self, Rejection> {
        Ok(context.clone())
    }

    fn from_last(context: EventContext) -> Result<Self, Rejection> {
        Ok(context)
    }
}

impl FromEvent for Args {
    fn from_event(context: &mut EventContext) -> Result<Self, Rejection> {
        Ok(context.args.clone())
    }

    fn from_last(context: EventContext) -> Result<Self, Rejection> {
        Ok(context.args)
    }

    fn from_last_args(context: &mut EventContext) -> Result<Self, Rejection> {
        Ok(std::mem::take(&mut context.args))
    }
}

impl FromEvent for Ack {
    const READS_ARGS: bool = false;

    fn from_event(context: &mut EventContext) -> Result<Self, Rejection> {
        Ok(context.ack.clone())
    }

    fn from_last(context: EventContext) -> Result<Self, Rejection> {
        Ok(context.ack)
    }
}

impl FromEvent for Socket {
    const READS_ARGS: bool = false;

    fn from_event(context: &mut EventContext) -> Result<Self, Rejection> {
        Ok(context.socket.clone())
    }

    fn from_last(context: EventContext) -> Result<Self, Rejection> {
        Ok(context.socket)
    }
}

impl FromEvent for Namespace {
    const READS_ARGS: bool = false;

    fn from_event(context: &mut EventContext) -> Result<Self, Rejection> {
        Ok(context.socket.namespace().clone())
    }
}

impl FromEvent for Server {
    const READS_ARGS: bool = false;

    fn from_event(context: &mut EventContext) -> Result<Self, Rejection> {
        Ok(context.socket.server())
    }
}
