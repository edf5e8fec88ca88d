//! Passes events on to other clients.
//!
//! An event goes on as it came: its arguments are not read, and the sender is appended to the text.

use serde_json::{Value, json};
use sockeye::{Emit, EventContext, Socket};

use super::refusal::Refusal;

/// What the server's own events begin with. No client can send one.
pub(crate) const OWN_EVENTS: &str = "sockeye:";

/// How an event is passed on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Relay {
    pub(super) exclude_sender: bool,
    pub(super) volatile: bool,
    pub(super) append_sender: bool,
}

impl Relay {
    pub(super) fn pass_on(self, context: &EventContext, to: Emit) -> Result<Value, Refusal> {
        let mut args = context.args().clone();
        if self.append_sender {
            // Plain JSON can always be written.
            args.push(&describe(context.socket())).map_err(|_| Refusal::NotAllowed)?;
        }
        let to = if self.volatile { to.volatile() } else { to };
        to.try_emit(context.event(), args).map_err(|_| Refusal::Name)?;
        Ok(json!({ "ok": true }))
    }
}

/// Passes on an event that the rules do not list.
pub(super) fn broadcast_unknown(context: &EventContext) -> Result<Value, Refusal> {
    if context.event().starts_with(OWN_EVENTS) {
        return Err(Refusal::NotAllowed);
    }
    context.socket().broadcast().try_emit(context.event(), context.args()).map_err(|_| Refusal::Name)?;
    Ok(json!({ "ok": true }))
}

/// A client as the others see it.
pub(super) fn describe(socket: &Socket) -> Value {
    json!({ "id": socket.id(), "data": socket.all_data() })
}
