//! The command line of `sockeye bench`.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValue;
use clap::{Args, Subcommand, ValueEnum};

use crate::target::Target;

/// What to measure.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Bench {
    /// The scenario, with its options.
    #[command(subcommand)]
    pub scenario: Scenario,
}

impl Bench {
    /// Whether the report is wanted as JSON.
    #[must_use]
    pub fn wants_json(&self) -> bool {
        self.connection().json
    }
}

/// What the clients do.
#[derive(Debug, Subcommand)]
pub enum Scenario {
    /// Connect and say nothing: what a connection costs.
    #[command(after_help = IDLE_EXAMPLES)]
    Idle(Idle),
    /// Emit an event that the server emits back to its sender.
    #[command(after_help = EXAMPLES)]
    Echo(Messages),
    /// Emit an event that the server acknowledges.
    #[command(after_help = EXAMPLES)]
    Ack(Messages),
    /// Emit an event that the server emits to all clients.
    #[command(after_help = EXAMPLES)]
    Broadcast(Messages),
    /// Join rooms, and emit an event that the server emits to a room.
    #[command(after_help = EXAMPLES)]
    Rooms(Rooms),
    /// The echo, by HTTP long-polling.
    #[command(after_help = EXAMPLES)]
    Polling(Messages),
}

/// The options of a scenario without messages.
#[derive(Debug, Args)]
pub struct Idle {
    /// Whom to connect, and how.
    #[command(flatten)]
    pub connection: Connection,
}

/// The options of a scenario with messages.
#[derive(Debug, Args)]
#[command(next_help_heading = "Messages")]
pub struct Messages {
    /// How long to send before measuring.
    #[arg(long, help_heading = MEASURING, default_value = "2s", value_parser = humantime::parse_duration)]
    pub warmup: Duration,

    /// The length of the string that an event carries, in bytes; at least 14.
    #[arg(long, value_name = "BYTES", default_value_t = 64)]
    pub payload: usize,

    /// Let events carry a binary value in place of the string: an attachment, or part of the packet with MessagePack.
    #[arg(long)]
    pub binary: bool,

    /// Closed loop: how many messages of a sender may be under way. A sender waits for one to come back before it sends the
    /// next.
    #[arg(long, value_name = "MESSAGES", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub window: u32,

    /// Open loop: messages a second, over all senders. They are sent on time however slow the server is, and their latency
    /// counts from the time at which they should have been sent.
    #[arg(long, value_name = "MESSAGES", conflicts_with = "window")]
    pub rate: Option<f64>,

    /// How many clients send. Default: all of them; for a broadcast one in each namespace; for rooms as many as there are
    /// rooms, so that each room gets messages.
    #[arg(long, value_name = "CLIENTS", value_parser = clap::value_parser!(u32).range(1..))]
    pub senders: Option<u32>,

    /// The event to emit. Default: echo, ack, broadcast or room.
    #[arg(long, value_name = "NAME")]
    pub event: Option<String>,

    /// The event that comes back. Default: the same name.
    #[arg(long, value_name = "NAME")]
    pub answer: Option<String>,

    /// Write the distribution of the latencies to a file: a table of percentiles.
    #[arg(long, value_name = "FILE", help_heading = MEASURING)]
    pub histogram: Option<PathBuf>,

    /// Whom to connect, and how.
    #[command(flatten)]
    pub connection: Connection,
}

/// The options of the rooms.
#[derive(Debug, Args)]
#[command(next_help_heading = "Rooms")]
pub struct Rooms {
    /// How many clients join each room.
    #[arg(long, value_name = "CLIENTS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub room_size: u32,

    /// How many rooms there are in each namespace, in place of --room-size.
    #[arg(long, conflicts_with = "room_size", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub rooms: Option<u32>,

    /// How many rooms a client joins: the first client the first so many, the next the next, and again from the beginning. A
    /// message goes to any of the sender's.
    #[arg(long, value_name = "ROOMS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub rooms_per_client: u32,

    /// The event that joins a room: it carries the room's name and wants an acknowledgement.
    #[arg(long, value_name = "NAME", default_value = "join")]
    pub join_event: String,

    /// What all scenarios with messages have.
    #[command(flatten)]
    pub messages: Messages,
}

/// Whom to connect, how, and what to observe meanwhile.
#[derive(Debug, Args)]
#[command(next_help_heading = "Clients")]
pub struct Connection {
    /// The servers, as http://host:port or https://host:port. Clients are spread over them in turn.
    #[arg(required = true, value_name = "URL", help_heading = "Arguments")]
    pub targets: Vec<Target>,

    /// How many clients connect.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub clients: u32,

    /// How many clients may be connecting at a time.
    #[arg(long, value_name = "CLIENTS", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub connecting: u32,

    /// How long a client may take to connect.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    pub connect_timeout: Duration,

    /// How long to measure.
    #[arg(long, help_heading = MEASURING, default_value = "10s", value_parser = humantime::parse_duration)]
    pub duration: Duration,

    /// How the clients connect. Default: websocket.
    #[arg(long)]
    pub transport: Option<Transport>,

    /// Take any certificate of an https server, self-signed ones too. Else it must be one that this system trusts.
    #[arg(long)]
    pub insecure: bool,

    /// Offer permessage-deflate, and inflate what comes. What clients send they do not compress.
    #[arg(long)]
    pub deflate: bool,

    /// How packets are written; as the server has it.
    #[arg(long, default_value = "json")]
    pub parser: Parser,

    /// The path of the server.
    #[arg(long, default_value = "/socket.io/")]
    pub path: String,

    /// The namespace to join.
    #[arg(long, default_value = "/")]
    pub namespace: String,

    /// Spread the clients over so many namespaces: / and /ns-1, /ns-2, ...
    #[arg(long, default_value_t = 1, conflicts_with = "namespace", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub namespaces: u32,

    /// What to hand to the server as `auth`: a JSON object.
    #[arg(long, value_name = "JSON")]
    pub auth: Option<String>,

    /// The threads that the load is made with.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024), help_heading = MEASURING)]
    pub threads: u32,

    /// Process ids of the server on this machine, to tell its CPU time and memory (Linux).
    #[arg(long = "pid", value_name = "PID", value_delimiter = ',', help_heading = MEASURING)]
    pub pids: Vec<u32>,

    /// Print the result as JSON.
    #[arg(long, help_heading = MEASURING)]
    pub json: bool,
}

/// How clients connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// A WebSocket from the beginning.
    Websocket,
    /// HTTP long-polling, never upgraded.
    Polling,
}

impl Transport {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Websocket => "websocket",
            Self::Polling => "polling",
        }
    }
}

impl ValueEnum for Transport {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Websocket, Self::Polling]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()))
    }
}

/// How packets are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Parser {
    /// Text, with binary values as attachments: what clients do by default.
    Json,
    /// MessagePack, as the official msgpack parser does.
    Msgpack,
}

impl From<Parser> for sockeye_protocol::socket::Parser {
    fn from(parser: Parser) -> Self {
        match parser {
            Parser::Json => Self::Json,
            Parser::Msgpack => Self::MsgPack,
        }
    }
}

const MEASURING: &str = "Measuring";

const EXAMPLES: &str = "\
Examples:
  sockeye bench echo http://localhost:3000 --clients 200 --duration 30s
  sockeye bench ack http://localhost:3000 --rate 5000 --pid $(pidof my-server)
  sockeye bench rooms http://localhost:3000 --clients 1000 --room-size 50 --rate 200 --json";

const IDLE_EXAMPLES: &str = "\
Example:
  sockeye bench idle http://localhost:3000 --clients 10000 --duration 60s --pid $(pidof my-server)";
