//! Sends to the clients of a cluster from outside, without being a node of it.

mod line;

use std::fmt;
use std::sync::Arc;

use bytestring::ByteString;
use redis::Value;
use sockeye::adapter::{Packet, Room};
use sockeye::adapter::{check_event, check_server_event};
use sockeye::{EmitError, IntoArgs, IntoRooms, Target};
use sockeye_cluster::codec::CodecError;
use sockeye_cluster::codec::parts::EMITTER;
use sockeye_cluster::{Destination, Message, NodeId};
use thiserror::Error;

use self::line::Line;
use crate::bus::wire::{Outgoing, Wire};
use crate::codec::emitter;
use crate::connection::servers::Servers;
use crate::options::{Mode, RedisOptions, UrlError};

/// Sends events to the clients of a cluster from a program that is no node of it: a job, a worker, another service.
///
/// Its options must be those of the nodes: the mode, with its prefix or stream. What it sends, every node takes for its clients, Sockeye or
/// Node.js; in the modes of the official adapters it is what the official emitters send.
///
/// A clone shares the connection, which is made by the first emit, and anew by the next one after it was lost. Each emit waits until
/// Redis has taken it and is tried once: nothing waits in a queue, and nothing is sent twice.
///
/// # Example
///
/// ```no_run
/// use sockeye_redis::{Mode, RedisEmitter, RedisOptions};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let emitter = RedisEmitter::new(RedisOptions::new("redis://127.0.0.1/", Mode::Native))?;
/// emitter.emit("maintenance", "in ten minutes").await?;
/// emitter.of("/chat").to("lobby").except("muted").emit("news", ("title", 1)).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RedisEmitter {
    line: Arc<Line>,
    wire: Arc<Wire>,
}

/// What Redis has said of a message that it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// How many connections Redis passed it on to: one for each node that heard it. None in the streams mode, where nodes fetch it.
    ///
    /// With 0 nobody got it: no node runs, or the mode, the prefix or the namespace is another than theirs; or, in the sharded modes and
    /// the native one, nobody is in the one room that it was for. A Redis Cluster counts only the connections to one of its servers.
    pub listeners: Option<u64>,
}

/// Why an emit has failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EmitterError {
    /// A mistake of the program. Nothing was sent.
    #[error(transparent)]
    Emit(#[from] EmitError),
    /// The mode's format cannot say it. Nothing was sent.
    #[error("the message cannot be written: {0}")]
    Unwritable(#[from] CodecError),
    /// There is no connection to Redis, or it does not accept the credentials. Nothing was sent: try again.
    #[error("Redis is not reached: {0}")]
    Unreachable(String),
    /// The connection was lost, or Redis has not answered in time. It may have taken the message: sent again, it may arrive twice.
    #[error("the connection to Redis was lost, and the message may have arrived or not: {0}")]
    Lost(String),
    /// Redis does not take it: the user may not publish, it has no memory left, it is too old for the mode. Nothing was sent.
    #[error("Redis has refused the message: {0}")]
    Refused(String),
}

impl fmt::Debug for RedisEmitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisEmitter").field("namespace", self.wire.namespace()).finish_non_exhaustive()
    }
}

impl RedisEmitter {
    /// Makes one, for the main namespace. Of the options it uses the url, the mode, the prefix, the stream, and the timeout, which each of
    /// connecting and sending may take.
    ///
    /// With `rediss://` and a program that has not chosen a provider for rustls, it chooses `aws_lc_rs`.
    ///
    /// # Errors
    ///
    /// The url cannot be used.
    pub fn new(options: RedisOptions) -> Result<Self, UrlError> {
        let servers = Servers::new(&options)?;
        let wire = wire(&options, "/");
        Ok(Self { line: Arc::new(Line::new(options, servers)), wire })
    }

    /// The emitter of another namespace, over the same connection. A slash at the beginning may be left out.
    pub fn of(&self, namespace: &str) -> Self {
        let wire = match namespace.starts_with('/') {
            true => wire(&self.line.options, namespace),
            false => wire(&self.line.options, &format!("/{namespace}")),
        };
        Self { line: self.line.clone(), wire }
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        self.wire.namespace()
    }

    /// An emit to the clients in a room, or in several. A client's id is the name of a room that it alone is in.
    pub fn to(&self, rooms: impl IntoRooms) -> RedisEmit {
        self.all().to(rooms)
    }

    /// The same as [`to`](Self::to).
    pub fn within(&self, rooms: impl IntoRooms) -> RedisEmit {
        self.to(rooms)
    }

    /// An emit to everybody but the clients in this room, or in one of several.
    pub fn except(&self, rooms: impl IntoRooms) -> RedisEmit {
        self.all().except(rooms)
    }

    /// An emit that clients which are not ready to take it do without.
    pub fn volatile(&self) -> RedisEmit {
        self.all().volatile()
    }

    /// An emit that may, or may not, be compressed.
    pub fn compress(&self, compress: bool) -> RedisEmit {
        self.all().compress(compress)
    }

    /// Sends an event to everybody, see [`RedisEmit::emit`].
    ///
    /// # Errors
    ///
    /// It was not sent, or perhaps not.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the event may have been sent or not.
    pub async fn emit(&self, event: &str, args: impl IntoArgs) -> Result<Receipt, EmitterError> {
        self.all().emit(event, args).await
    }

    /// Makes all sockets join a room, or several, see [`RedisEmit::sockets_join`].
    ///
    /// # Errors
    ///
    /// It was not sent, or perhaps not.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the order may have been sent or not.
    pub async fn sockets_join(&self, rooms: impl IntoRooms) -> Result<Receipt, EmitterError> {
        self.all().sockets_join(rooms).await
    }

    /// Makes all sockets leave a room, or several.
    ///
    /// # Errors
    ///
    /// It was not sent, or perhaps not.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the order may have been sent or not.
    pub async fn sockets_leave(&self, rooms: impl IntoRooms) -> Result<Receipt, EmitterError> {
        self.all().sockets_leave(rooms).await
    }

    /// Disconnects all sockets: from the namespace, or closing their connections.
    ///
    /// # Errors
    ///
    /// It was not sent, or perhaps not.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the order may have been sent or not.
    pub async fn disconnect_sockets(&self, close: bool) -> Result<Receipt, EmitterError> {
        self.all().disconnect_sockets(close).await
    }

    /// Sends an event to the programs of all nodes: to
    /// [`on_server_event`](sockeye::Namespace::on_server_event) of Sockeye, and to `io.on` of Node.js. They cannot answer.
    ///
    /// In the classic mode binaries arrive as objects, `{"type":"Buffer","data":[…]}`, as they do between Node.js servers.
    ///
    /// # Errors
    ///
    /// It was not sent, or perhaps not.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the event may have been sent or not.
    pub async fn server_side_emit(&self, event: &str, args: impl IntoArgs) -> Result<Receipt, EmitterError> {
        check_server_event(event)?;
        let args = args.into_args().map_err(EmitError::from)?;
        self.send(Message::ServerSideEmit { event: event.to_owned(), args, request: None }).await
    }

    fn all(&self) -> RedisEmit {
        RedisEmit { emitter: self.clone(), target: Target::default() }
    }

    async fn send(&self, message: Message) -> Result<Receipt, EmitterError> {
        let outgoing = self.write(message)?;
        let listeners = match self.line.send(&outgoing.command).await? {
            Value::Int(listeners) => u64::try_from(listeners).ok(),
            _ => None,
        };
        Ok(Receipt { listeners })
    }

    fn write(&self, message: Message) -> Result<Outgoing, CodecError> {
        match self.line.options.mode {
            Mode::Classic => {
                let channel = self.wire.classic().of(&message, &Destination::All);
                Ok(self.wire.publication(channel.as_bytes(), &emitter::encode_classic(message)?))
            }
            Mode::Streams => Ok(self.wire.append(emitter::encode_entry(message, self.wire.namespace())?)),
            _ => self.wire.command(message, &Destination::All)?.ok_or(CodecError::Unwritable),
        }
    }
}

fn wire(options: &RedisOptions, namespace: &str) -> Arc<Wire> {
    Arc::new(Wire::new(options, &NodeId::from(EMITTER), namespace))
}

/// An emit in the making: say who gets it, then [`emit`](Self::emit). Each step gives a new one; it can be kept and used again.
#[derive(Clone)]
#[must_use = "nothing is sent until `emit`"]
pub struct RedisEmit {
    emitter: RedisEmitter,
    target: Target,
}

impl fmt::Debug for RedisEmit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let namespace = self.emitter.namespace();
        f.debug_struct("RedisEmit").field("namespace", &namespace).field("target", &self.target).finish()
    }
}

impl RedisEmit {
    /// To the clients in a room, or in several. Who is in more than one of them gets the event once.
    pub fn to(mut self, rooms: impl IntoRooms) -> Self {
        for room in rooms.into_rooms() {
            // One that is named twice is one room: only such a message goes to its nodes alone.
            if !self.target.rooms.contains(&room) {
                self.target.rooms.push(room);
            }
        }
        self
    }

    /// The same as [`to`](Self::to).
    pub fn within(self, rooms: impl IntoRooms) -> Self {
        self.to(rooms)
    }

    /// But not to the clients in this room, or in one of several.
    pub fn except(mut self, rooms: impl IntoRooms) -> Self {
        for room in rooms.into_rooms() {
            if !self.target.except.contains(&room) {
                self.target.except.push(room);
            }
        }
        self
    }

    /// Clients that are not ready to take it do without.
    pub fn volatile(mut self) -> Self {
        self.target.flags.volatile = true;
        self
    }

    /// Whether it may be compressed. Default: true.
    pub fn compress(mut self, compress: bool) -> Self {
        self.target.flags.compress = compress;
        self
    }

    /// Sends an event, and waits until Redis has taken it. A tuple becomes several arguments, `()` none, anything else one.
    ///
    /// Clients cannot acknowledge it.
    ///
    /// # Errors
    ///
    /// It was not sent; or perhaps not, which is [`EmitterError::Lost`].
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the event may have been sent or not.
    pub async fn emit(&self, event: &str, args: impl IntoArgs) -> Result<Receipt, EmitterError> {
        check_event(event)?;
        let args = args.into_args().map_err(EmitError::from)?;
        let packet = Packet::event(ByteString::from(self.emitter.namespace()), event, args);
        self.send(Message::Broadcast { packet, target: self.target.clone(), request: None }).await
    }

    /// Makes the sockets of the target join a room, or several.
    ///
    /// # Errors
    ///
    /// It was not sent, or perhaps not.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the order may have been sent or not.
    pub async fn sockets_join(&self, rooms: impl IntoRooms) -> Result<Receipt, EmitterError> {
        self.send(Message::JoinSockets { target: self.target.clone(), rooms: list(rooms) }).await
    }

    /// Makes the sockets of the target leave a room, or several.
    ///
    /// # Errors
    ///
    /// It was not sent, or perhaps not.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the order may have been sent or not.
    pub async fn sockets_leave(&self, rooms: impl IntoRooms) -> Result<Receipt, EmitterError> {
        self.send(Message::LeaveSockets { target: self.target.clone(), rooms: list(rooms) }).await
    }

    /// Disconnects the sockets of the target: from the namespace, or closing their connections.
    ///
    /// # Errors
    ///
    /// It was not sent, or perhaps not.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the order may have been sent or not.
    pub async fn disconnect_sockets(&self, close: bool) -> Result<Receipt, EmitterError> {
        self.send(Message::DisconnectSockets { target: self.target.clone(), close }).await
    }

    async fn send(&self, message: Message) -> Result<Receipt, EmitterError> {
        self.emitter.send(message).await
    }
}

fn list(rooms: impl IntoRooms) -> Vec<Room> {
    rooms.into_rooms().into_vec()
}
