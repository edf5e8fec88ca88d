//! The names of the subjects.
//!
//! | subject | what is sent there | who subscribes |
//! |---|---|---|
//! | `PREFIX.to.NAMESPACE.all` | what is for all nodes | all nodes of the namespace: `PREFIX.to.NAMESPACE.>` |
//! | `PREFIX.to.NAMESPACE.room.ROOM` | events for one room | the same |
//! | `PREFIX.node.NODE.NAMESPACE` | answers to a node | this node: `PREFIX.node.NODE.*` |
//! | `PREFIX.log.NAMESPACE` | with JetStream: events, and what must be in order with them | the stream |
//! | `PREFIX.out.NAMESPACE` | the same, by the stream | all nodes: `PREFIX.out.*` |
//! | `PREFIX.node.NODE.log`, `….sessions` | the server's answers to what is to be kept | this node |
//! | `PREFIX.peer.TAG` | questions for a node's address | the node |
//! | `PREFIX.probe` | probes | nobody |
//!
//! Both kinds of a namespace's subjects come by one subscription, for NATS keeps the order of messages only within one: a room's event must not
//! pass the message that lets a socket join it.

use std::borrow::Cow;
use std::fmt;

use async_nats::Subject;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::jetstream::Kept;

/// The subjects of one namespace.
#[derive(Debug)]
pub(crate) struct Subjects {
    prefix: String,
    namespace: String,
    /// Where messages for all go.
    pub(crate) all: Subject,
    /// What the stream keeps.
    pub(crate) log: Subject,
    /// What this node subscribes to.
    pub(crate) subscription: Subject,
    /// What the subjects of rooms begin with.
    rooms: String,
}

impl Subjects {
    pub(crate) fn new(prefix: &str, namespace: &str) -> Self {
        let namespace = token(namespace).to_string();
        Self {
            prefix: prefix.to_owned(),
            all: format!("{prefix}.to.{namespace}.all").into(),
            log: format!("{prefix}.log.{namespace}").into(),
            subscription: format!("{prefix}.to.{namespace}.>").into(),
            rooms: format!("{prefix}.to.{namespace}.room."),
            namespace,
        }
    }

    /// The token that stands for the namespace.
    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Where events for a room go. One whose name is too long for a subject is not named: they go to all.
    pub(crate) fn room(&self, room: &str) -> Subject {
        let name = format!("{}{}", self.rooms, token(room));
        if name.len() > MAX_SUBJECT { self.all.clone() } else { name.into() }
    }

    /// The token of the room that a message with this subject is for, if it is for one.
    pub(crate) fn room_of<'a>(&self, subject: &'a str) -> Option<&'a str> {
        subject.strip_prefix(&self.rooms)
    }

    /// Where answers to a node go.
    pub(crate) fn node(&self, node: &str) -> Subject {
        format!("{}.node.{}.{}", self.prefix, token(node), self.namespace).into()
    }
}

/// What a node subscribes to, to get answers in all namespaces.
pub(crate) fn own(prefix: &str, node: &str) -> Subject {
    format!("{prefix}.node.{}.*", token(node)).into()
}

/// Where the server answers to what is to be kept.
pub(crate) fn kept(prefix: &str, node: &str, kept: Kept) -> Subject {
    format!("{prefix}.node.{}.{}", token(node), kept.name()).into()
}

/// A name as one token of a subject.
fn token(name: &str) -> impl fmt::Display {
    // An empty token is not allowed, and a lone percent sign means nothing else.
    if name.is_empty() { utf8_percent_encode("%", &EMPTY) } else { utf8_percent_encode(name, &ESCAPED) }
}

/// The name that a token stands for.
pub(crate) fn name_of(token: &str) -> Cow<'_, str> {
    if token == "%" { Cow::Borrowed("") } else { percent_decode_str(token).decode_utf8_lossy() }
}

/// What has no meaning in subjects stays, so that they can be read.
const ESCAPED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'~');
const EMPTY: AsciiSet = AsciiSet::EMPTY;

/// The servers take lines of 4,096 bytes.
const MAX_SUBJECT: usize = 2_048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_one_token() {
        let subjects = Subjects::new("sockeye", "/a.b");
        assert_eq!(subjects.all.as_str(), "sockeye.to.%2Fa%2Eb.all");
        for room in ["", "r", "%", "a.b", "*", ">", "a b", "ü", "\r\nPUB x 0\r\n", "_-~"] {
            let subject = subjects.room(room);
            let token = subjects.room_of(&subject).unwrap();
            assert!(!token.is_empty() && !token.contains(['.', '*', '>', ' ', '\r', '\n']), "{token}");
            assert_eq!(name_of(token), room);
        }
        assert_eq!(subjects.room_of(&subjects.all), None);
        assert_eq!(subjects.room(&"x".repeat(5_000)), subjects.all);
        assert_eq!(subjects.node("ab").as_str(), "sockeye.node.ab.%2Fa%2Eb");
        assert_eq!(own("sockeye", "ab").as_str(), "sockeye.node.ab.*");
    }
}
