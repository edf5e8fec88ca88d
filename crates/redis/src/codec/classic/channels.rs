//! The names of the channels of the classic adapter.

use sockeye_cluster::{Destination, Message, NodeId};

/// The channels of one namespace.
#[derive(Clone, Debug)]
pub struct Channels {
    broadcast: String,
    request: String,
    response: String,
    answers_apart: bool,
}

/// What a channel is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel<'a> {
    /// Broadcasts; with a room, for its members alone: a node without any need not read them.
    Broadcast(Option<&'a str>),
    /// Questions, and orders to sockets.
    Request,
    /// Answers.
    Response,
}

impl Channels {
    /// The channels of a namespace. All nodes have the same `key`: `socket.io`, unless they say otherwise.
    pub fn new(key: &str, namespace: &str) -> Self {
        Self {
            broadcast: format!("{key}#{namespace}#"),
            request: format!("{key}-request#{namespace}#"),
            response: format!("{key}-response#{namespace}#"),
            answers_apart: false,
        }
    }

    /// Whether answers go to the node that asks and not to all, as the option `publishOnSpecificResponseChannel` has it. Every
    /// node since version 7.1 listens to both.
    pub fn answers_apart(mut self, apart: bool) -> Self {
        self.answers_apart = apart;
        self
    }

    /// What to subscribe to by pattern: all broadcasts.
    pub fn pattern(&self) -> String {
        let mut pattern = String::with_capacity(self.broadcast.len() + 1);
        for c in self.broadcast.chars() {
            if matches!(c, '*' | '?' | '[' | ']' | '\\') {
                pattern.push('\\');
            }
            pattern.push(c);
        }
        pattern.push('*');
        pattern
    }

    /// What to subscribe to by name: questions and answers, those for this node alone among them.
    pub fn names(&self, me: &NodeId) -> [String; 3] {
        [self.request.clone(), self.response.clone(), self.response_to(me)]
    }

    /// The channel that every node subscribes to once, by which they are counted.
    pub fn counted(&self) -> &str {
        &self.request
    }

    /// Where a message goes.
    pub fn of(&self, message: &Message, to: &Destination) -> String {
        match message {
            Message::Broadcast { request: None, .. } => match message.room() {
                Some(room) => format!("{}{room}#", self.broadcast),
                None => self.broadcast.clone(),
            },
            Message::FetchSocketsResponse { .. } | Message::ClientCount { .. } | Message::Acknowledgement { .. } => {
                self.answer(to)
            }
            // Never apart, with the official nodes neither.
            Message::ServerSideEmitResponse { .. } => self.response.clone(),
            _ => self.request.clone(),
        }
    }

    /// Where an answer goes that is no [`Message`].
    pub fn answer(&self, to: &Destination) -> String {
        match to {
            Destination::Node(node) if self.answers_apart => self.response_to(node),
            _ => self.response.clone(),
        }
    }

    /// Which channel has this name; none if it belongs to another namespace.
    pub fn find<'a>(&self, name: &'a str) -> Option<Channel<'a>> {
        if let Some(room) = name.strip_prefix(&self.broadcast) {
            return match room {
                "" => Some(Channel::Broadcast(None)),
                room => room.strip_suffix('#').map(|room| Channel::Broadcast(Some(room))),
            };
        }
        if name == self.request {
            return Some(Channel::Request);
        }
        name.starts_with(&self.response).then_some(Channel::Response)
    }

    fn response_to(&self, node: &NodeId) -> String {
        format!("{}{node}#", self.response)
    }
}
