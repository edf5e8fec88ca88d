//! The control namespace: what the suites ask about the others.

use serde::Deserialize;
use serde_json::json;
use sockeye::{Ack, Args, Bound, CloseReason, Data, Server, Target, Value};

use crate::report::Report;

/// What `emit` takes.
#[derive(Deserialize)]
struct Emission {
    #[serde(default = "main_namespace")]
    nsp: String,
    #[serde(default)]
    rooms: Vec<String>,
    #[serde(default)]
    except: Vec<String>,
    #[serde(default)]
    volatile: bool,
    event: String,
    #[serde(default)]
    args: Vec<Value>,
}

fn main_namespace() -> String {
    "/".to_owned()
}

/// Registers the events of the control namespace.
pub(crate) fn serve(io: &Server, report: &Report) {
    let control = io.of("/control");

    let from = report.clone();
    control.on("disconnects", move |ack: Ack| ack.send((from.disconnects(),)));

    let from = report.clone();
    control.on("seq", move |Data(key): Data<String>, ack: Ack| ack.send((from.sequence(&key),)));

    let from = report.clone();
    control.on("counters", move |io: Server, ack: Ack| {
        let (connects, middleware) = from.counters();
        ack.send(json!({
            "connects": connects,
            "csrMiddleware": middleware,
            "engineClients": io.metrics().connections.value(),
        }));
    });

    control.on("metrics", |io: Server, ack: Ack| ack.send(metrics(&io)));

    control.on("room-size", |io: Server, Data((nsp, room)): Data<(String, String)>, ack: Ack| {
        let mut target = Target::default();
        target.rooms.push(room.into());
        ack.send(io.of(&nsp).sockets().sockets(&target).len());
    });

    control.on("emit", |io: Server, Data(emission): Data<Emission>, ack: Ack| {
        let mut target = io.of(&emission.nsp).to(emission.rooms).except(emission.except);
        if emission.volatile {
            target = target.volatile();
        }
        target.emit(&emission.event, Args::from_values(emission.args));
        ack.send(());
    });
}

/// What the server counts against attacks, by the names that the standalone server's `/metrics` has.
fn metrics(io: &Server) -> serde_json::Value {
    let metrics = io.metrics();
    let bounds = Bound::ALL.map(|bound| (bound.as_str().to_owned(), metrics.reached(bound)));
    let closed = CloseReason::ALL.map(|reason| (format!("closed: {}", reason.as_str()), metrics.closed(reason)));
    let others = [
        ("refused", &metrics.refused),
        ("handler_errors", &metrics.handler_errors),
        ("unasked_acks", &metrics.unasked_acks),
        ("header_timeouts", &metrics.header_timeouts),
        ("write_timeouts", &metrics.write_timeouts),
        ("malformed_requests", &metrics.malformed_requests),
    ];
    let others = others.map(|(name, counter)| (name.to_owned(), counter.value()));
    bounds
        .into_iter()
        .chain(closed)
        .chain(others)
        .map(|(name, value)| (name, value.into()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}
