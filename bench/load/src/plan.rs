//! From options to what every client of a run does.

use std::time::Duration;

use sockeye_protocol::socket::{Packet, PacketBody, Parser};

use crate::error::Error;
use crate::members::{Members, Rooms};
use crate::options::{Bench, Connection, Messages, Rooms as RoomsOptions, Scenario, Transport};
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
    pub(crate) parser: Parser,
    /// Whether clients offer permessage-deflate.
    pub(crate) deflate: bool,
    /// The namespaces, and what a client hands over when it joins one.
    namespaces: Vec<String>,
    auth: Option<String>,
    pub(crate) members: Members,
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
    /// The length of what a message carries.
    pub(crate) payload: usize,
    /// Whether it is a binary value, else a string.
    pub(crate) binary: bool,
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
    /// Everybody in the namespace.
    Broadcast,
    /// A room.
    Rooms {
        /// How many there are in each namespace.
        rooms: Rooms,
        /// The event that joins one.
        join: String,
    },
}

impl Plan {
    pub(crate) fn new(bench: &Bench) -> Result<Self, Error> {
        let connection = bench.connection();
        let members = Members { clients: connection.clients, namespaces: connection.namespaces };
        if members.namespaces > members.clients {
            return Err(Error::Options(format!(
                "--namespaces must be at most the number of clients, {}",
                members.clients
            )));
        }
        let (name, messages, kind) = match &bench.scenario {
            Scenario::Idle(_) => ("idle", None, Kind::Echo),
            Scenario::Echo(messages) => ("echo", Some(messages), Kind::Echo),
            Scenario::Polling(messages) => ("polling", Some(messages), Kind::Echo),
            Scenario::Ack(messages) => ("ack", Some(messages), Kind::Ack),
            Scenario::Broadcast(messages) => ("broadcast", Some(messages), Kind::Broadcast),
            Scenario::Rooms(options) => {
                let kind = Kind::Rooms { rooms: rooms(options, members)?, join: options.join_event.clone() };
                ("rooms", Some(&options.messages), kind)
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
        if connection.deflate && transport == Transport::Polling {
            return Err(Error::Options("--deflate is for WebSocket: long-polling has no such thing".to_owned()));
        }
        let more_namespaces = (1..members.namespaces).map(|number| format!("/ns-{number}"));
        Ok(Self {
            name,
            transport,
            path: format!("/{}/", connection.path.trim_matches('/')),
            parser: connection.parser.into(),
            deflate: connection.deflate,
            namespaces: std::iter::once(connection.namespace.clone()).chain(more_namespaces).collect(),
            auth: auth(connection)?,
            members,
            clients: connection.clients,
            warmup: messages.map_or(Duration::ZERO, |messages| messages.warmup),
            run: rand::random_range(0..Stamp::RUNS),
            traffic: messages.map(|messages| Traffic::new(messages, kind, members)).transpose()?,
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

    /// The namespace of a client.
    pub(crate) fn namespace(&self, client: u32) -> &str {
        &self.namespaces[self.members.namespace(client) as usize]
    }

    /// The names of the rooms that a client joins, and how many clients are in each.
    pub(crate) fn rooms(&self, client: u32) -> Vec<(String, u32)> {
        let Some(Kind::Rooms { rooms, .. }) = self.traffic.as_ref().map(|traffic| &traffic.kind) else {
            return Vec::new();
        };
        let namespace = self.members.namespace(client);
        let described = |room| (room_name(room, *rooms), self.members.in_room(namespace, room, *rooms));
        self.members.rooms_of(client, *rooms).map(described).collect()
    }

    /// How many clients get what this one sends; with rooms it depends on the room.
    pub(crate) fn audience(&self, client: u32) -> u32 {
        match self.traffic.as_ref().map(|traffic| &traffic.kind) {
            None | Some(Kind::Rooms { .. }) => 0,
            Some(Kind::Echo | Kind::Ack) => 1,
            Some(Kind::Broadcast) => self.members.in_namespace(self.members.namespace(client)),
        }
    }

    /// The packet by which a client joins its namespace.
    pub(crate) fn connect(&self, client: u32) -> Packet {
        self.packet(client, PacketBody::Connect(self.auth.as_deref().map(Into::into)), None)
    }

    /// A packet in the namespace of a client.
    pub(crate) fn packet(&self, client: u32, body: PacketBody, id: Option<u64>) -> Packet {
        Packet { namespace: self.namespace(client).into(), id, body }
    }
}

impl Traffic {
    fn new(messages: &Messages, kind: Kind, members: Members) -> Result<Self, Error> {
        let clients = messages.connection.clients;
        if messages.payload < Stamp::LEN {
            let least = Stamp::LEN;
            return Err(Error::Options(format!("--payload must be at least {least}: a message carries a stamp")));
        }
        let (usual_event, usual_senders) = match &kind {
            Kind::Echo => ("echo", clients),
            Kind::Ack => ("ack", clients),
            Kind::Broadcast => ("broadcast", members.namespaces),
            Kind::Rooms { rooms, .. } => ("room", rooms.count.saturating_mul(members.namespaces).min(clients)),
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
        Ok(Self { kind, pace, senders, payload: messages.payload, binary: messages.binary, event, answer })
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

/// The name of a room. All names are equally long.
pub(crate) fn room_name(number: u32, rooms: Rooms) -> String {
    let digits = rooms.count.to_string().len();
    format!("room-{number:0digits$}")
}

fn rooms(options: &RoomsOptions, members: Members) -> Result<Rooms, Error> {
    let count = options.rooms.unwrap_or_else(|| members.in_namespace(0).div_ceil(options.room_size));
    let per_client = options.rooms_per_client;
    if per_client > count {
        return Err(Error::Options(format!("there are {count} rooms, so --rooms-per-client cannot be {per_client}")));
    }
    Ok(Rooms { count, per_client })
}

/// What a client hands over when it joins its namespace: the text of a JSON object.
fn auth(connection: &Connection) -> Result<Option<String>, Error> {
    let Some(text) = &connection.auth else { return Ok(None) };
    match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text) {
        Ok(object) => Ok(Some(serde_json::Value::from(object).to_string())),
        Err(error) => Err(Error::Options(format!("--auth must be a JSON object: {error}"))),
    }
}

/// The highest rate that can be asked for, in messages a second.
const MOST_RATE: f64 = 10_000_000.0;
