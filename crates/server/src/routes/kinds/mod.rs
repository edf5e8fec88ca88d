//! The kinds of routes: each is a table of the configuration, and the route that it becomes, in a file of its own.

mod ack;
mod broadcast;
mod join;
mod kind;
mod leave;
mod members;
mod refuse;
mod room;

pub(crate) use kind::{Kind, Place};

use crate::config::section::kinds;

use ack::AckSection;
use broadcast::BroadcastSection;
use join::JoinSection;
use leave::LeaveSection;
use members::MembersSection;
use refuse::RefuseSection;
use room::RoomSection;

kinds! {
    /// Where an event goes.
    enum RouteTable: Kind {
        /// "broadcast": the event goes to all in the namespace.
        Broadcast(BroadcastSection) = "broadcast",
        /// "room": the event goes to those in a room.
        Room(RoomSection) = "room",
        /// "join": the client joins a room.
        Join(JoinSection) = "join",
        /// "leave": the client leaves a room.
        Leave(LeaveSection) = "leave",
        /// "members": the acknowledgement lists who is in a room, on whatever server, as `[{ id, data }]`.
        Members(MembersSection) = "members",
        /// "ack": the event is acknowledged, no more.
        Ack(AckSection) = "ack",
        /// "refuse": the event is refused.
        Refuse(RefuseSection) = "refuse",
    }
}
