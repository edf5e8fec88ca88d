//! Events that are answered with who is in a room.

use serde_json::{Value, json};
use sockeye::Target;
use sockeye::adapter::Room;

use super::super::chain::{Chain, Check, Outcome, Route};
use super::super::checks::Membership;
use super::super::event::Event;
use super::super::refusal::Refusal;
use super::super::relay::describe;
use super::{Kind, Place};
use crate::config::section::section;

section! {
    /// The acknowledgement lists who is in a room.
    struct MembersSection {
        /// The room. Required.
        room: Option<String> = None, example "\"{data.room}\"";
        /// Whether only members of the room may list it.
        require_membership: bool = true;
        /// How many members are listed. Further ones are left out.
        max_members: usize = 1000;
    }
}

impl Kind for MembersSection {
    fn resolve(&self, place: &mut Place<'_>) -> Option<Chain> {
        let room = place.room(self.room.as_ref())?;
        let mut checks: Vec<Box<dyn Check>> = Vec::new();
        if self.require_membership {
            checks.push(Box::new(Membership));
        }
        let route = Members { max: self.max_members, is_clustered: place.is_clustered };
        Some(Chain::new(Some(room), checks, Box::new(route)))
    }
}

#[derive(Debug)]
struct Members {
    max: usize,
    is_clustered: bool,
}

impl Route for Members {
    fn handle<'a>(&'a self, event: &'a Event<'_>) -> Outcome<'a, Value> {
        match event.room() {
            Err(refusal) => Outcome::Now(Err(refusal)),
            Ok(room) if self.is_clustered => Outcome::Later(Box::pin(self.everywhere(event, room))),
            Ok(room) => Outcome::Now(Ok(self.here(event, room))),
        }
    }

    fn describe(&self, room: &str) -> String {
        format!("lists the members of the room {room}")
    }

    fn may_wait(&self) -> bool {
        self.is_clustered
    }

    fn is_query(&self) -> bool {
        true
    }
}

impl Members {
    /// The members on this node, without the description that other nodes would need.
    fn here(&self, event: &Event<'_>, room: &Room) -> Value {
        let mut target = Target::default();
        target.rooms.push(room.clone());
        let sockets = event.context.socket().namespace().sockets().sockets(&target);
        sockets.iter().take(self.max).map(describe).collect()
    }

    /// The members on all nodes. Not some of them: a client would take the others for gone.
    async fn everywhere(&self, event: &Event<'_>, room: &Room) -> Result<Value, Refusal> {
        let found = event.context.socket().namespace().to(room).fetch_sockets().await;
        let found = found.map_err(|_| Refusal::Incomplete)?;
        if !found.is_complete() {
            return Err(Refusal::Incomplete);
        }
        let listed = found.iter().take(self.max);
        Ok(listed.map(|member| json!({ "id": member.id(), "data": member.data() })).collect())
    }
}
