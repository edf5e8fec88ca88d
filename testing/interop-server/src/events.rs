//! The events of every namespace but the control one.

#![allow(clippy::needless_pass_by_value, reason = "handlers are given their arguments")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use sockeye::adapter::Room;
use sockeye::{
    Ack, AckError, Args, BroadcastError, Data, EventContext, FromEvent, Namespace, Rejection, Socket, Value,
};

use crate::report::{Seen, sorted};

/// Registers the events in a server, a namespace or a pattern of namespaces: their methods have the same names.
macro_rules! serve {
    ($nsp:expr, $report:expr) => {{
        use $crate::events as e;
        let report: &$crate::report::Report = $report;

        let connects = report.clone();
        $nsp.on_connection(move |socket: sockeye::Socket| connects.connected(&socket));
        $nsp.on_disconnecting(|socket: sockeye::Socket| $crate::report::Report::disconnecting(&socket));
        let disconnects = report.clone();
        $nsp.on_disconnect(move |socket: sockeye::Socket, sockeye::Reason(reason): sockeye::Reason| {
            disconnects.disconnected(&socket, reason);
        });
        $nsp.on_any(|socket: sockeye::Socket| $crate::report::Seen::incoming(&socket));
        $nsp.on_any_outgoing(|socket, _event, _args| $crate::report::Seen::outgoing(socket));
        $nsp.event_middleware(|context| std::future::ready(e::check(&context)));
        $nsp.on_error(|context, error| context.socket().emit("refused", error));

        $nsp.on("echo", e::echo);
        $nsp.on("message", e::message);
        $nsp.on("1", e::numeric);
        $nsp.on("ack", e::ack);
        $nsp.on("noack", || {});
        $nsp.on("slow", e::slow);
        $nsp.on("many", e::many);
        $nsp.on("many-mixed", e::many_mixed);
        $nsp.on("bin", e::bin);
        $nsp.on("volatile", e::volatile);
        $nsp.on("compress", e::compress);
        $nsp.on("emit-with-ack", e::emit_with_ack);
        $nsp.on("timeout-ack", e::timeout_ack);
        $nsp.on("reserved", e::reserved);

        $nsp.on("join", e::join);
        $nsp.on("leave", e::leave);
        $nsp.on("rooms", e::rooms);
        $nsp.on("broadcast", e::broadcast);
        $nsp.on("all", e::all);
        $nsp.on("volatile-all", e::volatile_all);
        $nsp.on("to-room", e::to_room);
        $nsp.on("in-room", e::in_room);
        $nsp.on("except", e::except);
        $nsp.on("to-except", e::to_except);
        $nsp.on("broadcast-ack", e::broadcast_ack);
        $nsp.on("fetch", e::fetch);
        $nsp.on("sockets-join", e::sockets_join);
        $nsp.on("sockets-leave", e::sockets_leave);
        $nsp.on("disconnect-room", e::disconnect_room);
        $nsp.on("disconnect-me", e::disconnect_me);

        $nsp.on("server-emit", e::server_emit);
        $nsp.on("server-question", e::server_question);
        $nsp.on("server-count", e::server_count);

        $nsp.on("set-data", e::set_data);
        $nsp.on("get-data", e::own_data);
        $nsp.on("recovered", e::recovered);
        $nsp.on("counts", e::counts);
        $nsp.on("handshake", e::handshake);
        let sequences = report.clone();
        $nsp.on("seq", move |sockeye::Data((key, n)): sockeye::Data<(String, sockeye::Value)>, ack: sockeye::Ack| {
            sequences.append(&key, n.clone());
            ack.send((n,));
        });
    }};
}
pub(crate) use serve;

/// The middleware of events.
pub(crate) fn check(context: &EventContext) -> Result<(), String> {
    if context.event() == "forbidden" { Err("forbidden event".to_owned()) } else { Ok(()) }
}

/// One name of a room, or an array of names.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Rooms {
    One(String),
    Many(Vec<String>),
}

impl From<Rooms> for Vec<Room> {
    fn from(rooms: Rooms) -> Self {
        match rooms {
            Rooms::One(room) => vec![room.into()],
            Rooms::Many(rooms) => rooms.into_iter().map(Room::from).collect(),
        }
    }
}

/// The first argument, or a tuple of the first few, and the arguments behind.
pub(crate) struct Split<T, const N: usize>(T, Args);

impl<T: serde::de::DeserializeOwned, const N: usize> FromEvent for Split<T, N> {
    fn from_event(context: &mut EventContext) -> Result<Self, Rejection> {
        let reject = |error: sockeye::ArgsError| Rejection::new(error.to_string());
        let first = context.args().deserialize().map_err(reject)?;
        let values = context.args().to_values().map_err(reject)?;
        Ok(Self(first, Args::from_values(values.into_iter().skip(N).collect())))
    }
}

// ---- answers to the sender -------------------------------------------------------------------------------------------

pub(crate) fn echo(socket: Socket, args: Args) {
    socket.emit("echo", args);
}

pub(crate) fn message(socket: Socket, args: Args) {
    socket.send(args);
}

pub(crate) fn numeric(socket: Socket, args: Args) {
    socket.emit("numeric", args);
}

pub(crate) fn ack(args: Args, ack: Ack) {
    ack.send(args);
}

pub(crate) async fn slow(Data((ms, x)): Data<(u64, Value)>, ack: Ack) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    ack.send((x,));
}

pub(crate) fn many(socket: Socket, Data(n): Data<u32>) {
    for i in 0..n {
        socket.emit("many", i);
    }
}

pub(crate) fn many_mixed(socket: Socket, Data(n): Data<u32>) {
    for i in 0..n {
        if i % 2 == 1 {
            socket.emit("many", (i, bytes(i % 50)));
        } else {
            socket.emit("many", i);
        }
    }
}

pub(crate) fn bin(socket: Socket, Data(n): Data<u32>) {
    socket.emit("bin", bytes(n));
}

pub(crate) fn volatile(socket: Socket, args: Args) {
    socket.volatile().emit("volatile", args);
}

pub(crate) fn compress(socket: Socket, Split(flag, args): Split<bool, 1>) {
    socket.compress(flag).emit("compress", args);
}

pub(crate) async fn emit_with_ack(socket: Socket, args: Args) -> Result<(), AckError> {
    let answer: Args = socket.emit_with_ack("question", args).await?;
    socket.emit("answer", answer);
    Ok(())
}

pub(crate) async fn timeout_ack(socket: Socket, Split(ms, args): Split<u64, 1>) -> Result<(), AckError> {
    let question = socket.timeout(Duration::from_millis(ms));
    match question.emit_with_ack::<Args>("question", args).await {
        Ok(answer) => {
            let mut values = vec![Value::from("answered")];
            values.extend(answer.to_values().map_err(AckError::Mismatch)?);
            socket.emit("timeout-result", Args::from_values(values));
        }
        Err(AckError::Timeout) => socket.emit("timeout-result", "timeout"),
        Err(error) => return Err(error),
    }
    Ok(())
}

pub(crate) fn reserved(socket: Socket, ack: Ack) {
    ack.send(if socket.try_emit("connect", ()).is_err() { "refused" } else { "sent" });
}

// ---- rooms -----------------------------------------------------------------------------------------------------------

pub(crate) fn join(socket: Socket, Data(rooms): Data<Rooms>, ack: Ack) -> Result<(), sockeye::JoinError> {
    socket.join(Vec::from(rooms))?;
    ack.send(());
    Ok(())
}

pub(crate) fn leave(socket: Socket, Data(room): Data<String>, ack: Ack) {
    socket.leave(room);
    ack.send(());
}

pub(crate) fn rooms(socket: Socket, ack: Ack) {
    ack.send((sorted(&socket.rooms()),));
}

pub(crate) fn broadcast(socket: Socket, args: Args) {
    socket.broadcast().emit("broadcast", args);
}

pub(crate) fn all(namespace: Namespace, args: Args) {
    namespace.emit("all", args);
}

pub(crate) fn volatile_all(namespace: Namespace, args: Args) {
    namespace.volatile().emit("all", args);
}

pub(crate) fn to_room(socket: Socket, Split(rooms, args): Split<Rooms, 1>) {
    socket.to(Vec::from(rooms)).emit("room", args);
}

pub(crate) fn in_room(namespace: Namespace, Split(rooms, args): Split<Rooms, 1>) {
    namespace.within(Vec::from(rooms)).emit("room", args);
}

pub(crate) fn except(namespace: Namespace, Split(rooms, args): Split<Rooms, 1>) {
    namespace.except(Vec::from(rooms)).emit("except", args);
}

pub(crate) fn to_except(namespace: Namespace, Split((rooms, not), args): Split<(Rooms, Rooms), 2>) {
    namespace.to(Vec::from(rooms)).except(Vec::from(not)).emit("room", args);
}

pub(crate) async fn broadcast_ack(
    namespace: Namespace,
    Split((rooms, ms), args): Split<(Rooms, u64), 2>,
    ack: Ack,
) -> Result<(), BroadcastError> {
    let target = namespace.to(Vec::from(rooms)).timeout(Duration::from_millis(ms));
    match target.emit_with_ack::<Value>("poll", args).await {
        Ok(answers) => ack.send((Value::Null, answers)),
        Err(BroadcastError::Incomplete(error)) => {
            let answers: Vec<Value> = error.responses.iter().filter_map(|args| args.deserialize().ok()).collect();
            ack.send(("timeout", answers));
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

pub(crate) async fn fetch(
    namespace: Namespace,
    Data(rooms): Data<Rooms>,
    ack: Ack,
) -> Result<(), sockeye::adapter::AdapterError> {
    let found = namespace.within(Vec::from(rooms)).fetch_sockets().await?;
    let describe = |socket: &sockeye::RemoteSocket| json!({ "id": socket.id(), "rooms": sorted(socket.rooms()), "data": socket.data() });
    ack.send((found.iter().map(describe).collect::<Vec<_>>(),));
    Ok(())
}

pub(crate) fn sockets_join(namespace: Namespace, Data((rooms, added)): Data<(Rooms, Rooms)>, ack: Ack) {
    namespace.within(Vec::from(rooms)).sockets_join(Vec::from(added));
    ack.send(());
}

pub(crate) fn sockets_leave(namespace: Namespace, Data((rooms, removed)): Data<(Rooms, Rooms)>, ack: Ack) {
    namespace.within(Vec::from(rooms)).sockets_leave(Vec::from(removed));
    ack.send(());
}

pub(crate) fn disconnect_room(namespace: Namespace, Data((rooms, close)): Data<(Rooms, Option<bool>)>) {
    namespace.within(Vec::from(rooms)).disconnect_sockets(close.unwrap_or_default());
}

pub(crate) fn disconnect_me(socket: Socket, Data(close): Data<Option<bool>>) {
    if close.unwrap_or_default() {
        socket.disconnect_connection();
    } else {
        socket.disconnect();
    }
}

// ---- the other nodes of a cluster ------------------------------------------------------------------------------------

/// What this node does with the events of the others.
pub(crate) fn serve_nodes(namespace: &Namespace) {
    let here = namespace.clone();
    namespace.on_server_event("server-event", move |args| {
        here.local().emit("server-event", args);
        std::future::ready(None)
    });
    namespace.on_server_event("server-question", |args| std::future::ready(Some(args)));
}

pub(crate) fn server_emit(namespace: Namespace, args: Args) -> Result<(), sockeye::EmitError> {
    namespace.server_side_emit("server-event", args)
}

pub(crate) async fn server_question(
    namespace: Namespace,
    Data(question): Data<Value>,
    ack: Ack,
) -> Result<(), sockeye::ServerSideError> {
    let found = namespace.server_side_emit_with_ack("server-question", (question,), Duration::from_secs(5)).await?;
    let answers: Vec<Value> = found.iter().filter_map(|args| args.deserialize().ok()).collect();
    let verdict = if found.is_complete() { Value::Null } else { "timeout".into() };
    ack.send((verdict, answers));
    Ok(())
}

pub(crate) async fn server_count(namespace: Namespace, ack: Ack) -> Result<(), sockeye::adapter::AdapterError> {
    ack.send(namespace.adapter().server_count().await?);
    Ok(())
}

// ---- state -----------------------------------------------------------------------------------------------------------

pub(crate) fn set_data(socket: Socket, Data(data): Data<serde_json::Map<String, serde_json::Value>>, ack: Ack) {
    socket.replace_data(data);
    ack.send(());
}

pub(crate) fn own_data(socket: Socket, ack: Ack) {
    ack.send(socket.all_data());
}

pub(crate) fn recovered(socket: Socket, ack: Ack) {
    ack.send(socket.is_recovered());
}

pub(crate) fn counts(socket: Socket, ack: Ack) {
    ack.send(Seen::to_json(&socket));
}

pub(crate) fn handshake(socket: Socket, ack: Ack) {
    let request = socket.request();
    let query: serde_json::Map<_, _> =
        request.queries().map(|(name, value)| (name.into_owned(), value.into_owned().into())).collect();
    ack.send(json!({
        "auth": socket.auth::<serde_json::Value>().unwrap_or_default(),
        "query": query,
        "url": request.url(),
        "secure": request.is_secure(),
        "xdomain": request.is_cross_domain(),
        "address": request.address().map(|address| address.ip().to_string()),
        "issued": milliseconds(request.issued()),
        "time": httpdate::fmt_http_date(request.issued()),
        "header": request.header("x-interop"),
    }));
}

fn bytes(n: u32) -> Value {
    // The value of a byte is its place, from 0 to 255 and over again. By whole blocks: one byte after the other takes milliseconds.
    let n = usize::try_from(n).unwrap_or(usize::MAX);
    let mut bytes = Vec::from_iter(0..=u8::MAX).repeat(n.div_ceil(256));
    bytes.truncate(n);
    Value::Binary(Bytes::from(bytes))
}

fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
