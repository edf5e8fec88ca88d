//! The messages of the classic adapter, `RedisAdapter` in `@socket.io/redis-adapter` 8.3, and of `@socket.io/redis-emitter` 5.1.
//!
//! | channel | what goes there | form |
//! |---|---|---|
//! | `<key>#<namespace>#` | broadcasts to all, or to several rooms | MessagePack: `[uid, packet, opts]` |
//! | `<key>#<namespace>#<room>#` | broadcasts to one room | the same |
//! | `<key>-request#<namespace>#` | questions, and orders to sockets | JSON or MessagePack: `{uid, requestId, type, …}` |
//! | `<key>-response#<namespace>#` | answers | JSON or MessagePack: `{requestId, …}` |
//! | `<key>-response#<namespace>#<uid>#` | answers for one node alone | the same |
//!
//! Requests and answers are JSON where the official nodes write JSON, and MessagePack where they do. In events between programs, and in
//! their answers, JSON makes objects of binaries, `{"type":"Buffer","data":[…]}`: so it does with the official nodes, and so programs
//! expect it.
//!
//! What a bus over this format has to know:
//!
//! - **Loop-back.** Redis brings a node what it published itself. Official nodes do not join, leave and disconnect their own sockets
//!   (types 2 to 4) until their own order comes back. A Sockeye node has done it by then: it must skip what carries its own name,
//!   as [`Machine`](sockeye_cluster::Machine) does with all messages. Answers carry no name; a node's own answer comes back as one to
//!   a question that it did not ask, which changes nothing.
//! - **Counting.** There are no heartbeats, and an answer does not say whose it is: it is
//!   [nobody's](sockeye_cluster::Sender::Unnamed). How many must come is one less than `PUBSUB NUMSUB` counts for
//!   [`Channels::counted`], over all masters of a Redis Cluster. So a node subscribes to it exactly once, and whatever else subscribes
//!   to it lets every question wait until its time is up. Which node is missing then, nobody can say. An acknowledgement counts after
//!   the count of its node (8 before 9), as one connection keeps their order.
//! - **What there is no message for.** A node neither comes nor goes: heartbeats and [`Message::Close`] cannot be written, and need not be.

mod channels;
mod read;

use sockeye::adapter::{Packet, PacketBody};
use sockeye::{Target, Value};
use sockeye_cluster::{Message, NodeId, RequestId};

pub use self::channels::{Channel, Channels};
pub use self::read::{Incoming, decode};
use sockeye_cluster::codec::parts::{answer, event, object, options, rooms, sockets, write_object};
use sockeye_cluster::codec::{CodecError, json, msgpack};
use sockeye_protocol::socket::msgpack_primitives::write_text;

/// Writes a message of the node `me`. [`Channels::of`] says where it goes.
///
/// # Errors
///
/// It cannot be written.
pub fn encode(message: Message, me: &NodeId) -> Result<Vec<u8>, CodecError> {
    let uid = || ("uid", Value::from(&**me));
    let id = |request: RequestId| ("requestId", Value::from(&*request));
    let kind = |kind: u8| ("type", Value::from(kind));
    let members = match message {
        Message::Broadcast { packet, target, request } => {
            return encode_broadcast(packet, &options(&target), request, me);
        }
        Message::JoinSockets { target, rooms: joined } => {
            vec![uid(), kind(2), ("opts", filter(&target)), ("rooms", rooms(&joined))]
        }
        Message::LeaveSockets { target, rooms: left } => {
            vec![uid(), kind(3), ("opts", filter(&target)), ("rooms", rooms(&left))]
        }
        Message::DisconnectSockets { target, close } => {
            vec![uid(), kind(4), ("opts", filter(&target)), ("close", close.into())]
        }
        Message::FetchSockets { target, request } => {
            vec![uid(), id(request), kind(5), ("opts", filter(&target))]
        }
        Message::FetchSocketsResponse { request, sockets: found } => {
            vec![id(request), ("sockets", sockets(found))]
        }
        Message::ServerSideEmit { event: name, args, request } => {
            let data = ("data", event(&name.into(), &args)?);
            return stringify([Some(uid()), request.map(id), Some(kind(6)), Some(data)].into_iter().flatten());
        }
        Message::ServerSideEmitResponse { request, args } => {
            let data = answer(&args)?.map(|data| ("data", data));
            return stringify([kind(6), id(request)].into_iter().chain(data));
        }
        Message::ClientCount { request, clients } => {
            vec![kind(8), id(request), ("clientCount", clients.into())]
        }
        Message::Acknowledgement { request, args } => {
            let packet = answer(&args)?.map(|packet| ("packet", packet));
            return Ok(msgpack::to_vec(&[kind(9), id(request)].into_iter().chain(packet).collect()));
        }
        _ => return Err(CodecError::Unwritable),
    };
    write_object(&members.into_iter().collect())
}

/// Whether the node `me` has written a broadcast itself: Redis brings it back. This is told without reading it; what it says no to may
/// still be one's own.
pub fn is_own(data: &[u8], me: &NodeId) -> bool {
    match data {
        // A short string's length is in its first byte.
        [0x93, len @ 0xa0..=0xbf, rest @ ..] => usize::from(len & 0x1f) == me.len() && rest.starts_with(me.as_bytes()),
        _ => false,
    }
}

/// Answers [`Incoming::Sockets`] with the ids of the sockets.
///
/// # Errors
///
/// It cannot be written.
pub fn encode_sockets<'a>(request: &RequestId, ids: impl IntoIterator<Item = &'a str>) -> Result<Vec<u8>, CodecError> {
    let ids: Vec<&str> = ids.into_iter().collect();
    write_object(&object([("requestId", Value::from(&**request)), ("sockets", ids.into())]))
}

/// Answers [`Incoming::AllRooms`] with the rooms that have members here; each socket has one of its own.
///
/// # Errors
///
/// It cannot be written.
pub fn encode_rooms<'a>(request: &RequestId, names: impl IntoIterator<Item = &'a str>) -> Result<Vec<u8>, CodecError> {
    let names: Vec<&str> = names.into_iter().collect();
    write_object(&object([("requestId", Value::from(&**request)), ("rooms", names.into())]))
}

/// Answers [`Incoming::OneSocket`]: it was done.
///
/// # Errors
///
/// It cannot be written.
pub fn encode_done(request: &RequestId) -> Result<Vec<u8>, CodecError> {
    write_object(&object([("requestId", Value::from(&**request))]))
}

/// JSON, whatever there is in it.
fn stringify(members: impl Iterator<Item = (&'static str, Value)>) -> Result<Vec<u8>, CodecError> {
    json::stringify(&members.collect()).map(String::into_bytes)
}

/// The packet, which is most of it, goes from text to MessagePack at once.
pub(super) fn encode_broadcast(
    mut packet: Packet,
    options: &Value,
    request: Option<RequestId>,
    me: &str,
) -> Result<Vec<u8>, CodecError> {
    let PacketBody::Event { args, .. } = &packet.body else { return Err(CodecError::Unwritable) };
    let len = args.bytes();
    let mut out = Vec::with_capacity(len + 128);
    // Every node numbers for its own clients.
    packet.id = None;
    match request {
        None => {
            out.push(0x93);
            write_text(&mut out, me);
            packet.encode_msgpack_into(&mut out);
        }
        Some(request) => {
            out.push(0x85);
            for (key, value) in [("uid", me), ("requestId", &*request)] {
                write_text(&mut out, key);
                write_text(&mut out, value);
            }
            write_text(&mut out, "type");
            out.push(7);
            write_text(&mut out, "packet");
            packet.encode_msgpack_into(&mut out);
            write_text(&mut out, "opts");
        }
    }
    msgpack::write(options, &mut out);
    Ok(out)
}

/// `opts` of all but broadcasts: there are no flags.
pub(super) fn filter(target: &Target) -> Value {
    object([("rooms", rooms(&target.rooms)), ("except", rooms(&target.except))])
}
