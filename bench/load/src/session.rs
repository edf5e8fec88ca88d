//! What one client does, without I/O: it connects, joins, sends when it is time, and counts what comes back.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use sockeye_protocol::Message;
use sockeye_protocol::engine::{Data, Packet as EnginePacket, PacketKind};
use sockeye_protocol::socket::{Args, Decoder, Limits, Packet, PacketBody};

use crate::error::Failure;
use crate::message::Template;
use crate::pace::Pace;
use crate::payload::Stamp;
use crate::plan::{Kind, Plan, Traffic};
use crate::shared::Shared;
use crate::stats::Tally;

/// Where a transport collects what is to be sent.
pub(crate) trait Outgoing {
    /// Adds a packet.
    fn push(&mut self, kind: PacketKind, text: &str);
    /// Adds a binary message.
    fn push_binary(&mut self, data: &[u8]);
    /// How many bytes wait.
    fn len(&self) -> usize;
}

/// One client.
///
/// Hand every packet that arrives to [`handle_packet`](Self::handle_packet); call [`poll_send`](Self::poll_send) then, and
/// whenever the client is woken.
#[derive(Debug)]
pub(crate) struct Session {
    client: u32,
    plan: Arc<Plan>,
    shared: Arc<Shared>,
    decoder: Decoder,
    limits: Limits,
    stage: Stage,
    /// Of a client that sends.
    sender: Option<Box<Sender>>,
}

/// ```text
///  Opening ──open──► Connecting ──connect──► Joining ──ack──► Ready
///                                   └──── no rooms ─────────────┘
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Opening,
    Connecting,
    /// So many rooms have still to be joined.
    Joining(u32),
    Ready,
}

#[derive(Debug)]
struct Sender {
    template: Template,
    audience: u32,
    /// The rooms to send to, and the audience of each.
    rooms: Vec<(String, u32)>,
    sent: u64,
    under_way: u32,
    /// Acknowledgements that are waited for: their number, and when the message was to be sent.
    waiting: VecDeque<(u64, u64)>,
}

impl Session {
    pub(crate) fn new(client: u32, plan: Arc<Plan>, shared: Arc<Shared>) -> Self {
        let sender = plan.traffic.as_ref().filter(|traffic| client < traffic.senders).map(|traffic| {
            Box::new(Sender {
                template: Template::new(&plan, traffic, client),
                audience: plan.audience(client),
                rooms: plan.rooms(client),
                sent: 0,
                under_way: 0,
                waiting: VecDeque::new(),
            })
        });
        let decoder = Decoder::new(plan.parser);
        Self { client, plan, shared, decoder, limits: Limits::default(), stage: Stage::Opening, sender }
    }

    pub(crate) fn client(&self) -> u32 {
        self.client
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Whether the client has connected and joined what it should.
    pub(crate) fn is_ready(&self) -> bool {
        self.stage == Stage::Ready
    }

    /// Takes a packet that arrived `now`.
    pub(crate) fn handle_packet(
        &mut self,
        packet: EnginePacket<'_>,
        now: u64,
        tally: &mut Tally,
        out: &mut impl Outgoing,
    ) -> Result<(), Failure> {
        let decoded = match (packet.kind, packet.data) {
            (PacketKind::Open, _) => {
                if self.stage == Stage::Opening {
                    self.stage = Stage::Connecting;
                    push_packet(&self.plan.connect(self.client), &self.plan, out);
                }
                return Ok(());
            }
            (PacketKind::Ping, Data::Text(text)) => {
                tally.heartbeats += 1;
                out.push(PacketKind::Pong, &text);
                return Ok(());
            }
            (PacketKind::Close, _) => return Err(Failure::Ended("it closed the session".to_owned())),
            (PacketKind::Message, Data::Text(text)) => self.decoder.decode_text(&text, &self.limits),
            (PacketKind::Message, Data::Binary(bytes)) => {
                self.decoder.decode_binary(Bytes::from(bytes.into_owned()), &self.limits)
            }
            _ => return Ok(()),
        };
        match decoded {
            Ok(Some(packet)) if *packet.namespace == *self.plan.namespace(self.client) => {
                self.handle_socket(packet, now, tally, out)
            }
            Ok(_) => Ok(()),
            Err(error) => Err(Failure::Protocol(error.to_string())),
        }
    }

    fn handle_socket(
        &mut self,
        packet: Packet,
        now: u64,
        tally: &mut Tally,
        out: &mut impl Outgoing,
    ) -> Result<(), Failure> {
        match (self.stage, packet.body) {
            (Stage::Connecting, PacketBody::Connect(_)) => {
                self.stage = Stage::Ready;
                if let Some(Traffic { kind: Kind::Rooms { join, .. }, .. }) = &self.plan.traffic {
                    let rooms = self.plan.rooms(self.client);
                    self.stage = Stage::Joining(rooms.len() as u32);
                    for (id, (room, _)) in (0..).zip(&rooms) {
                        let mut args = Args::empty();
                        args.push_str(room);
                        let body = PacketBody::Event { name: join.as_str().into(), args };
                        push_packet(&self.plan.packet(self.client, body, Some(id)), &self.plan, out);
                    }
                }
            }
            (_, PacketBody::ConnectError(data)) => {
                return Err(Failure::Namespace {
                    namespace: self.plan.namespace(self.client).to_owned(),
                    data: data.to_string(),
                });
            }
            (_, PacketBody::Disconnect) => return Err(Failure::Ended("it disconnected the socket".to_owned())),
            (Stage::Joining(left), PacketBody::Ack(_)) => {
                self.stage = if left > 1 { Stage::Joining(left - 1) } else { Stage::Ready };
            }
            (Stage::Ready, PacketBody::Ack(_)) => self.handle_ack(packet.id, now, tally),
            (Stage::Ready, PacketBody::Event { name, args }) => {
                let expected = self.plan.traffic.as_ref().filter(|traffic| !matches!(traffic.kind, Kind::Ack));
                if expected.is_some_and(|traffic| traffic.answer == name.as_str()) {
                    self.handle_answer(&args, now, tally);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn handle_answer(&mut self, args: &Args, now: u64, tally: &mut Tally) {
        let stamp = match args.attachments().first() {
            Some(bytes) => Stamp::of_bytes(bytes),
            None => Stamp::of_json(args.json_elements()),
        };
        let stamp = stamp.filter(|stamp| stamp.run == self.plan.run);
        let (Some(stamp), Some(window)) = (stamp, self.shared.window()) else {
            tally.foreign += 1;
            return;
        };
        tally.count_received(stamp.intended, now, &window);
        if stamp.sender == self.client
            && let Some(sender) = &mut self.sender
        {
            sender.under_way = sender.under_way.saturating_sub(1);
        }
    }

    fn handle_ack(&mut self, id: Option<u64>, now: u64, tally: &mut Tally) {
        let (Some(sender), Some(window)) = (&mut self.sender, self.shared.window()) else { return };
        // They come in order, so that this is the first unless one was lost.
        let Some(place) = sender.waiting.iter().position(|&(waiting, _)| Some(waiting) == id) else { return };
        if let Some((_, intended)) = sender.waiting.remove(place) {
            sender.under_way = sender.under_way.saturating_sub(1);
            tally.count_received(intended, now, &window);
        }
    }

    /// Sends all that is due.
    pub(crate) fn poll_send(&mut self, tally: &mut Tally, out: &mut impl Outgoing) {
        let Self { client, plan, shared, sender, stage: Stage::Ready, .. } = self else { return };
        let (Some(sender), Some(traffic), Some(window)) = (sender, &plan.traffic, shared.window()) else { return };
        while out.len() < MOST_WAITING {
            let now = shared.now();
            let intended = match traffic.pace {
                Pace::Closed { window: most } if sender.under_way < most && now < window.end => now,
                Pace::Closed { .. } => return,
                Pace::Open(schedule) => {
                    let due = window.start + schedule.due(schedule.number(*client, sender.sent));
                    if due > now || due >= window.end {
                        return;
                    }
                    due
                }
            };
            let stamp = Stamp { run: plan.run, sender: *client, intended };
            let audience = sender.send(stamp, matches!(traffic.kind, Kind::Ack), out);
            tally.count_sent(intended, now, audience, &window);
        }
    }
}

impl Sender {
    /// Sends a message; gives how many must get it.
    fn send(&mut self, stamp: Stamp, wants_ack: bool, out: &mut impl Outgoing) -> u32 {
        if wants_ack {
            self.waiting.push_back((self.sent, stamp.intended));
        }
        let room = match self.rooms.len() {
            0 => None,
            count => self.rooms.get(rand::random_range(0..count)),
        };
        self.template.send(stamp, room.map(|(name, _)| name.as_str()), self.sent, out);
        self.sent += 1;
        self.under_way += 1;
        room.map_or(self.audience, |&(_, audience)| audience)
    }
}

/// Adds a packet without attachments.
fn push_packet(packet: &Packet, plan: &Plan, out: &mut impl Outgoing) {
    match packet.encode(plan.parser).head {
        Message::Text(text) => out.push(PacketKind::Message, &text),
        Message::Binary(data) => out.push_binary(&data),
    }
}

/// A client does not write more than this into its buffer while the server does not read, in bytes.
const MOST_WAITING: usize = 64 * 1024;
