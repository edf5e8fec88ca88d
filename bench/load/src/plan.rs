//! From options to what every client of a run does.

use std::time::Duration;

use sockeye_protocol::socket::{Args, Packet, PacketBody};

use crate::error::Error;
use crate::options::{Bench, Connection, Messages, Scenario, Transport};
use crate::pace::{Pace, Schedule};
use crate::payload::Stamp;

/// What every client of a run does.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The scenario, as the command line names it.
    pub(crate) name: &'static str,
    pub(crate) transport: Transport,
    /// The path of requests, with the slash that it ends with.
    pub(crate) path: String,
    pub(crate) namespace: String,
    /// The packet that joins the namespace.
    pub(crate) connect: String,
    pub(crate) clients: u32,
    pub(crate) warmup: Duration,
    /// The number that marks this run's messages.
    pub(crate) run: u16,
    /// What is sent; none where clients only stay connected.
    pub(crate) traffic: Option<Traffic>,
}

/// What is sent, and what comes back.
#[derive(Debug)]
pub(crate) struct Traffic {
    pub(crate) kind: Kind,
    pub(crate) pace: Pace,
    /// Clients with a number below this one send.
    pub(crate) senders: u32,
    /// The length of the string that a message carries.
    pub(crate) payload: usize,
    pub(crate) event: String,
    /// The event that comes back.
    pub(crate) answer: String,
}

/// To whom the server passes on what it gets.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// The sender.
    Echo,
    /// The sender, as an acknowledgement.
    Ack,
    /// Everybody.
    Broadcast,
    /// A room.
    Rooms {
        /// How many there are; client `n` is in number `n % rooms`.
        rooms: u32,
        /// The event that joins one.
        join: String,
    },
}

impl Plan {
    pub(crate) fn new(bench: &Bench) -> Result<Self, Error> {
        let connection = bench.connection();
        let (name, messages, kind) = match &bench.scenario {
            Scenario::Idle(_) => ("idle", None, Kind::Echo),
            Scenario::Echo(messages) => ("echo", Some(messages), Kind::Echo),
            Scenario::Polling(messages) => ("polling", Some(messages), Kind::Echo),
            Scenario::Ack(messages) => ("ack", Some(messages), Kind::Ack),
            Scenario::Broadcast(messages) => ("broadcast", Some(messages), Kind::Broadcast),
            Scenario::Rooms(rooms) => {
                let count = connection.clients.div_ceil(rooms.room_size);
                ("rooms", Some(&rooms.messages), Kind::Rooms { rooms: count, join: rooms.join_event.clone() })
            }
        };
        let transport = match (name, connection.transport) {
            ("polling", Some(Transport::Websocket)) => {
                return Err(Error::Options(
                    "`polling` is the echo by long-polling; for WebSocket take `echo`".to_owned(),
                ));
            }
            ("polling", None) => Transport::Polling,
            (_, chosen) => chosen.unwrap_or(Transport::Websocket),
        };
        if !connection.namespace.starts_with('/') || connection.namespace.contains(',') {
            return Err(Error::Options("--namespace begins with a slash and holds no comma".to_owned()));
        }
        Ok(Self {
            name,
            transport,
            path: format!("/{}/", connection.path.trim_matches('/')),
            namespace: connection.namespace.clone(),
            connect: connect_packet(connection)?,
            clients: connection.clients,
            warmup: messages.map_or(Duration::ZERO, |messages| messages.warmup),
            run: rand::random_range(0..Stamp::RUNS),
            traffic: messages.map(|messages| Traffic::new(messages, kind)).transpose()?,
        })
    }

    /// How many files a client needs.
    pub(crate) fn files_per_client(&self) -> u32 {
        match self.transport {
            Transport::Websocket => 1,
            // One that waits for messages, one that sends them.
            Transport::Polling => 2,
        }
    }

    /// The room of a client, where there are rooms.
    pub(crate) fn room(&self, client: u32) -> Option<String> {
        match &self.traffic.as_ref()?.kind {
            Kind::Rooms { rooms, .. } => Some(format!("room-{}", client % rooms)),
            _ => None,
        }
    }

    /// How many clients get what this one sends.
    pub(crate) fn audience(&self, client: u32) -> u32 {
        match self.traffic.as_ref().map(|traffic| &traffic.kind) {
            None => 0,
            Some(Kind::Echo | Kind::Ack) => 1,
            Some(Kind::Broadcast) => self.clients,
            Some(Kind::Rooms { rooms, .. }) => (self.clients - client % rooms).div_ceil(*rooms),
        }
    }

    /// A packet in the run's namespace, as text.
    pub(crate) fn packet(&self, body: PacketBody, id: Option<u64>) -> String {
        let mut text = Vec::new();
        let namespace = self.namespace.as_str().into();
        Packet { namespace, id, body }.encode_json_into(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    }
}

impl Traffic {
    fn new(messages: &Messages, kind: Kind) -> Result<Self, Error> {
        let clients = messages.connection.clients;
        if messages.payload < Stamp::LEN {
            let least = Stamp::LEN;
            return Err(Error::Options(format!("--payload must be at least {least}: a message carries a stamp")));
        }
        let (usual_event, usual_senders) = match &kind {
            Kind::Echo => ("echo", clients),
            Kind::Ack => ("ack", clients),
            Kind::Broadcast => ("broadcast", 1),
            Kind::Rooms { rooms, .. } => ("room", *rooms),
        };
        let senders = messages.senders.unwrap_or(usual_senders);
        if senders > clients {
            return Err(Error::Options(format!("there are {clients} clients, so --senders cannot be {senders}")));
        }
        let pace = match messages.rate {
            None => Pace::Closed { window: messages.window },
            Some(rate) if rate > 0.0 && rate <= MOST_RATE => Pace::Open(Schedule::new(rate, senders)),
            Some(_) => return Err(Error::Options(format!("--rate must be more than 0 and at most {MOST_RATE}"))),
        };
        let event = messages.event.clone().unwrap_or_else(|| usual_event.to_owned());
        let answer = messages.answer.clone().unwrap_or_else(|| event.clone());
        Ok(Self { kind, pace, senders, payload: messages.payload, event, answer })
    }
}

impl Bench {
    pub(crate) fn connection(&self) -> &Connection {
        match &self.scenario {
            Scenario::Idle(idle) => &idle.connection,
            Scenario::Rooms(rooms) => &rooms.messages.connection,
            Scenario::Echo(messages)
            | Scenario::Ack(messages)
            | Scenario::Broadcast(messages)
            | Scenario::Polling(messages) => &messages.connection,
        }
    }

    pub(crate) fn messages(&self) -> Option<&Messages> {
        match &self.scenario {
            Scenario::Idle(_) => None,
            Scenario::Rooms(rooms) => Some(&rooms.messages),
            Scenario::Echo(messages)
            | Scenario::Ack(messages)
            | Scenario::Broadcast(messages)
            | Scenario::Polling(messages) => Some(messages),
        }
    }
}

/// The text of an event with these arguments, split around the string that stands for the stamp and the padding; the number of
/// an acknowledgement, if any, belongs where the first part ends.
#[derive(Debug)]
pub(crate) struct Template {
    pub(crate) before_id: String,
    pub(crate) before_payload: String,
    pub(crate) after_stamp: String,
}

impl Template {
    /// The message that a client sends.
    pub(crate) fn new(plan: &Plan, traffic: &Traffic, client: u32) -> Self {
        let payload = "x".repeat(traffic.payload);
        let mut args = Args::empty();
        if let Some(room) = plan.room(client) {
            args.push_str(&room);
        }
        args.push_str(&payload);
        let text = plan.packet(PacketBody::Event { name: traffic.event.as_str().into(), args }, None);
        // The type, and the namespace with its comma unless it is the main one.
        let before_id = if plan.namespace == "/" { 1 } else { 1 + plan.namespace.len() + 1 };
        let after_stamp = text.len() - (payload.len() - Stamp::LEN) - "\"]".len();
        let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default().to_owned();
        Self {
            before_id: part(0, before_id),
            before_payload: part(before_id, after_stamp - Stamp::LEN),
            after_stamp: part(after_stamp, text.len()),
        }
    }
}

fn connect_packet(connection: &Connection) -> Result<String, Error> {
    let auth = match &connection.auth {
        None => None,
        Some(text) => match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text) {
            Ok(object) => Some(serde_json::Value::from(object).to_string()),
            Err(error) => return Err(Error::Options(format!("--auth must be a JSON object: {error}"))),
        },
    };
    let packet = Packet::new(connection.namespace.as_str(), PacketBody::Connect(auth.map(Into::into)));
    let mut text = Vec::new();
    packet.encode_json_into(&mut text);
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The highest rate that can be asked for, in messages a second.
const MOST_RATE: f64 = 10_000_000.0;
