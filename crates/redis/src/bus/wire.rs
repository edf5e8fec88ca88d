//! What a namespace says to Redis: which channels it has, where a message goes, and in which form.

use std::borrow::Cow;

use bytes::Bytes;
use bytestring::ByteString;
use redis::Cmd;
use sockeye::Target;
use sockeye::adapter::{Packet, PacketBody, Room};
use sockeye_cluster::codec::cluster::{self, Form};
use sockeye_cluster::codec::{CodecError, native};
use sockeye_cluster::{Destination, Message, NodeId, Sender};

use crate::codec::classic::{self, Channels};

use crate::options::{Mode, RedisOptions, StreamOptions, Subscription};

/// The name of a channel. A clone shares it.
pub(crate) type Channel = std::sync::Arc<[u8]>;

/// The commands of pub/sub. Sharded channels have their own, which see nothing of the others.
#[derive(Debug)]
pub(crate) struct Verbs {
    pub(crate) publish: &'static str,
    pub(crate) subscribe: &'static str,
    pub(crate) unsubscribe: &'static str,
    /// Counts the subscribers of a channel, after `PUBSUB`.
    pub(crate) count: &'static str,
}

impl Verbs {
    /// The commands of a mode.
    pub(crate) fn of(options: &RedisOptions) -> &'static Self {
        if options.is_sharded() { &SHARDED } else { &PLAIN }
    }

    /// The commands for a channel, or for a pattern: the classic mode has one, and no other channel of it ends so.
    pub(crate) fn for_channel(options: &RedisOptions, channel: &[u8]) -> &'static Self {
        if options.mode == Mode::Classic && channel.ends_with(b"*") {
            return &Self { subscribe: "PSUBSCRIBE", unsubscribe: "PUNSUBSCRIBE", ..PLAIN };
        }
        Self::of(options)
    }
}

/// The commands for sharded channels.
const SHARDED: Verbs =
    Verbs { publish: "SPUBLISH", subscribe: "SSUBSCRIBE", unsubscribe: "SUNSUBSCRIBE", count: "SHARDNUMSUB" };

/// The commands for channels that are not sharded.
const PLAIN: Verbs = Verbs { publish: "PUBLISH", subscribe: "SUBSCRIBE", unsubscribe: "UNSUBSCRIBE", count: "NUMSUB" };

/// The wire format of one namespace.
#[derive(Debug)]
pub(crate) struct Wire {
    mode: Mode,
    verbs: &'static Verbs,
    node: NodeId,
    namespace: ByteString,
    /// What the names of all its channels begin with: the name of the main one.
    prefix: String,
    stream: StreamOptions,
    /// The channels of the classic mode.
    classic: Channels,
    /// How own messages end, in JSON and in MessagePack.
    endings: [Vec<u8>; 2],
}

/// A command that is to be sent, and about how many bytes it has.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) command: Cmd,
    pub(crate) bytes: usize,
}

impl Wire {
    pub(crate) fn new(options: &RedisOptions, node: &NodeId, namespace: &str) -> Self {
        Self {
            mode: options.mode,
            verbs: Verbs::of(options),
            node: node.clone(),
            namespace: namespace.into(),
            prefix: match options.mode {
                // No name of a namespace or of a room makes a channel that is another's.
                Mode::Native => format!("{}#{}#{namespace}#", options.channel_prefix, namespace.len()),
                _ => format!("{}#{namespace}#", options.channel_prefix),
            },
            stream: options.stream.clone(),
            classic: Channels::new(&options.channel_prefix, namespace).answers_apart(true),
            endings: [Form::Smallest, Form::MsgPack].map(|form| cluster::ending(node, namespace, form)),
        }
    }

    /// The name of this node.
    pub(crate) fn node(&self) -> &NodeId {
        &self.node
    }

    /// The stream of the namespace.
    pub(crate) fn stream(&self) -> String {
        stream_of(&self.stream, &self.namespace)
    }

    /// The number of that stream among [all](streams).
    pub(crate) fn stream_number(&self) -> Option<usize> {
        let name = self.stream();
        streams(&self.stream).iter().position(|each| *each == name)
    }

    /// Gives an entry its number, which only this node looks at.
    pub(crate) fn number(&self, entry: &mut Outgoing, number: u64) {
        entry.command.arg("n").arg(number);
    }

    /// Reads the event that an entry is, whoever wrote it; none if it is something else.
    pub(crate) fn read_kept(&self, fields: &[(&str, &str)]) -> Option<(Packet, Target)> {
        match cluster::decode_entry(fields.iter().copied(), &self.namespace) {
            Ok((_, Message::Broadcast { packet, target, request: None })) => {
                self.is_event(&packet).then_some((packet, target))
            }
            _ => None,
        }
    }

    /// Whether it is an event of the namespace.
    pub(crate) fn is_event(&self, packet: &Packet) -> bool {
        packet.namespace == self.namespace && matches!(packet.body, PacketBody::Event { .. })
    }

    pub(crate) fn namespace(&self) -> &ByteString {
        &self.namespace
    }

    /// The channels of the classic mode.
    pub(crate) fn classic(&self) -> &Channels {
        &self.classic
    }

    /// The channels that a node must hear: the main one and its own. In the classic mode one of them is a pattern.
    pub(crate) fn own_channels(&self) -> Vec<Channel> {
        match self.mode {
            Mode::Classic => {
                let names = self.classic.names(&self.node).into_iter().chain([self.classic.pattern()]);
                names.map(|name| name.into_bytes().into()).collect()
            }
            _ => vec![self.main_channel(), self.node_name(&self.node).into()],
        }
    }

    /// The channel whose subscribers are the nodes.
    pub(crate) fn counted_channel(&self) -> Channel {
        match self.mode {
            Mode::Classic => self.classic.counted().as_bytes().into(),
            _ => self.main_channel(),
        }
    }

    /// The channel that reaches all nodes.
    pub(crate) fn main_channel(&self) -> Channel {
        self.prefix.as_bytes().into()
    }

    /// The channel of a room, if it has one.
    pub(crate) fn room_channel(&self, room: &Room) -> Option<Channel> {
        self.has_channel(room).then(|| self.room_name(room).into())
    }

    /// Whether a room has a channel.
    fn has_channel(&self, room: &Room) -> bool {
        match self.mode {
            Mode::Native => true,
            // It would be the node's own channel.
            _ if **room == *self.node => false,
            Mode::Sharded { subscription: Subscription::Dynamic } => !looks_like_id(room),
            Mode::Sharded { subscription: Subscription::DynamicPrivate } => true,
            Mode::Sharded { subscription: Subscription::Static } | Mode::Classic | Mode::Streams => false,
        }
    }

    /// The name of a room's channel.
    fn room_name(&self, room: &str) -> Vec<u8> {
        self.name(b'r', room)
    }

    /// The name of a node's channel, for answers.
    fn node_name(&self, node: &NodeId) -> Vec<u8> {
        self.name(b'n', node)
    }

    /// The name of a channel besides the main one. Only the native mode says of which kind.
    fn name(&self, kind: u8, name: &str) -> Vec<u8> {
        let mut channel = Vec::with_capacity(self.prefix.len() + name.len() + 1);
        channel.extend_from_slice(self.prefix.as_bytes());
        match self.mode {
            Mode::Native => {
                channel.push(kind);
                channel.extend_from_slice(name.as_bytes());
            }
            _ => {
                channel.extend_from_slice(name.as_bytes());
                channel.push(b'#');
            }
        }
        channel
    }

    /// Whether rooms have channels.
    pub(crate) fn routes_by_interest(&self) -> bool {
        !matches!(self.mode, Mode::Sharded { subscription: Subscription::Static } | Mode::Classic | Mode::Streams)
    }

    /// Whether the subscribers of a channel are counted; else nodes tell one another that they are there.
    pub(crate) fn counts_nodes(&self) -> bool {
        self.mode != Mode::Native
    }

    /// What is to be sent for a message; nothing, if the mode does not have it.
    pub(crate) fn command(&self, message: Message, to: &Destination) -> Result<Option<Outgoing>, CodecError> {
        if self.counts_nodes() && matches!(message, Message::Close) {
            // Whoever leaves is not counted any more.
            return Ok(None);
        }
        if self.mode == Mode::Streams && is_durable(&message) {
            return self.entry(message).map(Some);
        }
        let channel = match to {
            _ if self.mode == Mode::Classic => self.classic.of(&message, to).into_bytes().into(),
            Destination::Node(node) => self.node_name(node).into(),
            Destination::AllNodes => self.prefix.as_bytes().into(),
            Destination::All => match message.room().filter(|room| self.has_channel(room)) {
                Some(room) => Cow::from(self.room_name(room)),
                None => self.prefix.as_bytes().into(),
            },
        };
        let payload = match self.mode {
            Mode::Sharded { .. } => cluster::encode(message, &self.node, &self.namespace, Form::Smallest)?,
            Mode::Classic => classic::encode(message, &self.node)?,
            Mode::Streams => cluster::encode(message, &self.node, &self.namespace, Form::MsgPack)?,
            Mode::Native => native::encode(message, &self.node, &self.namespace)?,
        };
        Ok(Some(self.publication(&channel, &payload)))
    }

    /// What is to be sent for a message that is written already.
    pub(crate) fn publication(&self, channel: &[u8], payload: &[u8]) -> Outgoing {
        let bytes = channel.len() + payload.len();
        let mut command = Cmd::with_capacity(3, bytes + 8);
        command.arg(self.verbs.publish).arg(channel).arg(payload);
        Outgoing { command, bytes }
    }

    /// The entry of the stream that a message is.
    fn entry(&self, message: Message) -> Result<Outgoing, CodecError> {
        Ok(self.append(cluster::encode_entry(message, &self.node, &self.namespace)?))
    }

    /// What appends an entry with these fields to the stream.
    pub(crate) fn append(&self, fields: Vec<(&'static str, String)>) -> Outgoing {
        let bytes = fields.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        let mut command = Cmd::with_capacity(6 + 2 * fields.len(), bytes + 64);
        command.arg("XADD").arg(stream_of(&self.stream, &self.namespace));
        command.arg("MAXLEN").arg("~").arg(self.stream.max_len).arg("*");
        for (name, value) in fields {
            command.arg(name).arg(value);
        }
        Outgoing { command, bytes }
    }

    /// Whether a message of pub/sub is an own one, which Redis brings back. This is told without reading it; what it says no to may
    /// still be one.
    pub(crate) fn is_own(&self, data: &[u8]) -> bool {
        match self.mode {
            Mode::Classic => classic::is_own(data, &self.node),
            Mode::Native if native::is_own(data, &self.node) => true,
            _ => self.endings.iter().any(|ending| data.ends_with(ending)),
        }
    }

    /// Reads a message of pub/sub.
    pub(crate) fn read(&self, data: &Bytes) -> Result<(Sender, Message), CodecError> {
        match self.mode {
            Mode::Native => native::decode(data, &self.namespace),
            _ => cluster::decode(data, &self.namespace),
        }
    }

    /// Reads an entry of a stream.
    pub(crate) fn read_entry(&self, fields: &[(&str, &str)]) -> Result<(Sender, Message), CodecError> {
        cluster::decode_entry(fields.iter().copied(), &self.namespace)
    }
}

/// The namespace that a channel is of, where its name says so: in the native mode. Then no table of all channels need be searched.
pub(crate) fn namespace_of<'a>(options: &RedisOptions, channel: &'a [u8]) -> Option<&'a str> {
    if options.mode != Mode::Native {
        return None;
    }
    let rest = channel.strip_prefix(options.channel_prefix.as_bytes())?.strip_prefix(b"#")?;
    let end = rest.iter().position(|byte| *byte == b'#')?;
    let (len, rest) = rest.split_at_checked(end)?;
    let len: usize = std::str::from_utf8(len).ok()?.parse().ok()?;
    std::str::from_utf8(rest.get(1..)?.get(..len)?).ok()
}

/// Whether it goes into the stream: what asks for no answer.
fn is_durable(message: &Message) -> bool {
    matches!(
        message,
        Message::Broadcast { request: None, .. }
            | Message::JoinSockets { .. }
            | Message::LeaveSockets { .. }
            | Message::DisconnectSockets { .. }
    )
}

/// Whether the official adapter takes the name of a room for the id of a socket: 20 units of UTF-16.
fn looks_like_id(room: &str) -> bool {
    room.len() >= 20 && room.encode_utf16().count() == 20
}

/// All streams that namespaces may be in.
pub(crate) fn streams(options: &StreamOptions) -> Vec<String> {
    let count = i32::from(options.count.max(1));
    match count {
        1 => vec![options.name.clone()],
        _ => (1 - count..count).map(|number| format!("{}-{number}", options.name)).collect(),
    }
}

/// The stream of a namespace. The official adapter's remainder keeps the sign of the hash: its nodes write into streams such as
/// `socket.io--2`, which they do not read; those of Sockeye do.
fn stream_of(options: &StreamOptions, namespace: &str) -> String {
    let count = i32::from(options.count.max(1));
    if count == 1 {
        return options.name.clone();
    }
    let hash = namespace.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(unit.into()));
    format!("{}-{}", options.name, hash % count)
}

#[cfg(test)]
mod tests;
