//! Passes events on, by the rules of a namespace.
//!
//! What a client sent goes on as it came: only what a template names is read, and the sender is appended to the text.

use std::fmt;

use serde_json::{Value, json};
use sockeye::adapter::Room;
use sockeye::{Args, Emit, EventContext, JoinError, Socket};

use super::Stopping;
use super::room::{BadName, name_of, room_for};
use super::template::{Template, Unfilled};
use crate::config::{EventRule, NamespaceRule, OWN_EVENTS, RelayRule, RouteRule};

/// The rules of a namespace at work.
pub(super) struct Routes {
    rule: NamespaceRule,
    stopping: Stopping,
}

/// Why an event goes nowhere. The client is told, where it asked for an acknowledgement.
#[derive(Debug)]
pub(super) enum Refusal {
    Unknown,
    NotAllowed,
    Arguments(usize),
    TooLarge(usize),
    Unfilled(Unfilled),
    Room(BadName),
    NotAMember,
    Join(JoinError),
    /// It cannot be passed on: its name is one that the protocol keeps for itself.
    Name,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("unknown event"),
            Self::NotAllowed => f.write_str("not allowed"),
            Self::Arguments(1) => f.write_str("the event must have one argument"),
            Self::Arguments(count) => write!(f, "the event must have {count} arguments"),
            Self::TooLarge(bytes) => write!(f, "the event is larger than {bytes} bytes"),
            Self::Unfilled(unfilled) => unfilled.fmt(f),
            Self::Room(bad) => bad.fmt(f),
            Self::NotAMember => f.write_str("not a member of that room"),
            Self::Join(JoinError::TooManyRooms) => f.write_str("in too many rooms"),
            Self::Join(JoinError::OverBudget) => f.write_str("the server is busy; try again later"),
            Self::Join(error) => error.fmt(f),
            Self::Name => f.write_str("the event has a reserved name"),
        }
    }
}

impl From<Unfilled> for Refusal {
    fn from(unfilled: Unfilled) -> Self {
        Self::Unfilled(unfilled)
    }
}

impl From<BadName> for Refusal {
    fn from(bad: BadName) -> Self {
        Self::Room(bad)
    }
}

impl Routes {
    pub(super) fn new(rule: NamespaceRule, stopping: Stopping) -> Self {
        Self { rule, stopping }
    }

    pub(super) fn rule(&self) -> &NamespaceRule {
        &self.rule
    }

    /// Handles an event that the rules list.
    pub(super) fn handle(&self, rule: &EventRule, context: &EventContext) {
        let allowed = check(rule, context.args());
        let result = allowed.and_then(|()| match &rule.route {
            RouteRule::Join { room } => self.join(room, context),
            RouteRule::Leave { room } => self.leave(room, context),
            RouteRule::Room { room, require_membership, relay } => {
                let room = self.room(room, *require_membership, context)?;
                let socket = context.socket();
                let to = if relay.exclude_sender { socket.to(&room) } else { socket.namespace().to(&room) };
                pass_on(context, to, *relay)
            }
            RouteRule::Broadcast(relay) => {
                let socket = context.socket();
                let to = if relay.exclude_sender { socket.broadcast() } else { socket.namespace().compress(true) };
                pass_on(context, to, *relay)
            }
            RouteRule::Members { room, require_membership, max_members } => {
                let room = self.room(room, *require_membership, context)?;
                // Only this node has members to tell of; the description of sockets that other nodes get is far larger.
                let mut target = sockeye::Target::default();
                target.rooms.push(room);
                let sockets = context.socket().namespace().sockets().sockets(&target);
                let members: Vec<_> = sockets.iter().take(*max_members).map(describe).collect();
                Ok(members.into())
            }
            RouteRule::Ack { reply } => Ok(reply.clone()),
            RouteRule::Refuse => Err(Refusal::NotAllowed),
        });
        answer(context, result);
    }

    /// The room that a template leads to; the sender must be in it if `as_member`.
    fn room(&self, template: &Template, as_member: bool, context: &EventContext) -> Result<Room, Refusal> {
        let room = Room::from(room_for(&template.fill(context)?, self.rule.max_room_bytes)?);
        if as_member && !context.socket().is_in(&room) {
            return Err(Refusal::NotAMember);
        }
        Ok(room)
    }

    fn join(&self, room: &Template, context: &EventContext) -> Result<Value, Refusal> {
        let room = self.room(room, false, context)?;
        let socket = context.socket();
        if !socket.is_in(&room) {
            socket.join(&room).map_err(Refusal::Join)?;
            // The answer goes first, so that the client knows that it is in before it hears of it.
            answer(context, Ok(json!({ "ok": true })));
            self.announce(JOINED, socket, &room);
        }
        Ok(json!({ "ok": true }))
    }

    fn leave(&self, room: &Template, context: &EventContext) -> Result<Value, Refusal> {
        let room = self.room(room, false, context)?;
        let socket = context.socket();
        if socket.is_in(&room) {
            socket.leave(&room);
            self.announce(LEFT, socket, &room);
        }
        Ok(json!({ "ok": true }))
    }

    /// Tells the members of a room who has come or gone.
    fn announce(&self, event: &str, socket: &Socket, room: &Room) {
        if self.rule.presence {
            socket.namespace().to(room).emit(event, presence(socket, room));
        }
    }

    /// A client whose session was recovered is in its rooms without having joined them.
    pub(super) fn announce_recovered(&self, socket: &Socket) {
        if socket.is_recovered() {
            for room in socket.rooms().iter().filter(|room| ***room != *socket.id()) {
                self.announce(JOINED, socket, room);
            }
        }
    }

    pub(super) fn announce_leaving(&self, socket: &Socket) {
        if self.stopping.is_set() {
            return;
        }
        for room in socket.rooms().iter().filter(|room| ***room != *socket.id()) {
            socket.to(room).emit(LEFT, presence(socket, room));
        }
    }
}

const JOINED: &str = "sockeye:joined";
const LEFT: &str = "sockeye:left";

/// Checks what does not depend on the route.
fn check(rule: &EventRule, args: &Args) -> Result<(), Refusal> {
    if let Some(count) = rule.args
        && args.len() != count
    {
        // One more than expected would otherwise take the place of the appended sender.
        return Err(Refusal::Arguments(count));
    }
    match rule.max_bytes {
        Some(max_bytes) if args.bytes() > max_bytes => Err(Refusal::TooLarge(max_bytes)),
        _ => Ok(()),
    }
}

fn pass_on(context: &EventContext, to: Emit, relay: RelayRule) -> Result<Value, Refusal> {
    let mut args = context.args().clone();
    if relay.append_sender {
        // Plain JSON can always be written.
        args.push(&describe(context.socket())).map_err(|_| Refusal::NotAllowed)?;
    }
    let to = if relay.volatile { to.volatile() } else { to };
    to.try_emit(context.event(), args).map_err(|_| Refusal::Name)?;
    Ok(json!({ "ok": true }))
}

/// Passes on an event that the rules do not list.
pub(super) fn broadcast_unknown(context: &EventContext) -> Result<Value, Refusal> {
    if context.event().starts_with(OWN_EVENTS) {
        return Err(Refusal::NotAllowed);
    }
    context.socket().broadcast().try_emit(context.event(), context.args()).map_err(|_| Refusal::Name)?;
    Ok(json!({ "ok": true }))
}

/// Answers an event, where an answer was asked for.
pub(super) fn answer(context: &EventContext, result: Result<Value, Refusal>) {
    match result {
        Ok(reply) if context.ack().is_wanted() => context.ack().send(reply),
        Ok(_) => {}
        Err(refusal) => refuse(context, &refusal),
    }
}

/// Refuses an event.
pub(super) fn refuse(context: &EventContext, refusal: &Refusal) {
    let (sid, event) = (context.socket().id(), context.event());
    tracing::debug!(sid, event, reason = %refusal, "event refused");
    if context.ack().is_wanted() {
        context.ack().send(json!({ "ok": false, "error": refusal.to_string() }));
    }
}

/// A client as the others see it.
fn describe(socket: &Socket) -> Value {
    json!({ "id": socket.id(), "data": socket.all_data() })
}

fn presence(socket: &Socket, room: &str) -> Value {
    json!({ "room": name_of(room), "id": socket.id(), "data": socket.all_data() })
}
