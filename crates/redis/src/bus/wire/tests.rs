//! Channels, and where messages go.

use sockeye::adapter::Packet;
use sockeye::{Args, Target};
use sockeye_cluster::RequestId;

use super::*;

const URL: &str = "redis://127.0.0.1";
const ID: &str = "ksLaK94qtEPdnKUOAAAA";

fn wire(mode: Mode) -> Wire {
    Wire::new(&RedisOptions::new(URL, mode), &NodeId::from("0123456789abcdef"), "/chat")
}

fn broadcast(rooms: &[&str], request: Option<&str>) -> Message {
    let mut target = Target::default();
    target.rooms = rooms.iter().map(|room| Room::from(*room)).collect();
    let packet = Packet::event("/chat", "e", Args::empty());
    Message::Broadcast { packet, target, request: request.map(RequestId::from) }
}

/// The command and its first argument.
fn sent(wire: &Wire, message: Message, to: &Destination) -> String {
    let command = wire.command(message, to).unwrap().unwrap().command;
    let mut words = command.args_iter().map(|arg| match arg {
        redis::Arg::Simple(word) => String::from_utf8_lossy(word).into_owned(),
        _ => String::new(),
    });
    format!("{} {}", words.next().unwrap(), words.next().unwrap())
}

#[test]
fn a_native_channel_says_whose_it_is() {
    let options = RedisOptions::new(URL, Mode::Native);
    let wire = wire(Mode::Native);
    let channels = wire.own_channels().into_iter().chain(wire.room_channel(&Room::from("a#room")));
    for channel in channels {
        assert_eq!(namespace_of(&options, &channel), Some("/chat"));
    }
    for other in
        ["sockeye#5#/cha", "sockeye#x#/chat#", "sockeye#", "socket.io#5#/chat#", "sockeye#99999999999999999999#/#"]
    {
        assert_eq!(namespace_of(&options, other.as_bytes()), None, "{other}");
    }
    assert_eq!(namespace_of(&RedisOptions::new(URL, Mode::Streams), b"sockeye#5#/chat#"), None);
}

#[test]
fn a_message_for_one_room_takes_the_rooms_channel() {
    let all = Destination::All;
    let sharded = |subscription| wire(Mode::Sharded { subscription });
    for (wire, room, id) in [
        (sharded(Subscription::Dynamic), "SPUBLISH socket.io#/chat#r#", "SPUBLISH socket.io#/chat#"),
        (
            sharded(Subscription::DynamicPrivate),
            "SPUBLISH socket.io#/chat#r#",
            "SPUBLISH socket.io#/chat#ksLaK94qtEPdnKUOAAAA#",
        ),
        (sharded(Subscription::Static), "SPUBLISH socket.io#/chat#", "SPUBLISH socket.io#/chat#"),
        (wire(Mode::Classic), "PUBLISH socket.io#/chat#r#", "PUBLISH socket.io#/chat#ksLaK94qtEPdnKUOAAAA#"),
        (wire(Mode::Native), "PUBLISH sockeye#5#/chat#rr", "PUBLISH sockeye#5#/chat#rksLaK94qtEPdnKUOAAAA"),
        (wire(Mode::Streams), "XADD socket.io", "XADD socket.io"),
    ] {
        assert_eq!(sent(&wire, broadcast(&["r"], None), &all), room);
        assert_eq!(sent(&wire, broadcast(&[ID], None), &all), id);
        if wire.mode != Mode::Streams {
            let main = format!("{} {}", wire.verbs.publish, wire.prefix);
            assert_eq!(sent(&wire, broadcast(&[], None), &all), main);
            assert_eq!(sent(&wire, broadcast(&["r", "s"], None), &all), main);
            let asks = if wire.mode == Mode::Classic { "PUBLISH socket.io-request#/chat#" } else { &main };
            assert_eq!(sent(&wire, broadcast(&["r"], Some("q")), &all), asks);
        }
    }
}

#[test]
fn answers_go_to_who_asked() {
    let to = Destination::Node("fedcba9876543210".into());
    let answer = || Message::ClientCount { request: "q".into(), clients: 1 };
    let sharded = wire(Mode::Sharded { subscription: Subscription::Dynamic });
    assert_eq!(sent(&sharded, answer(), &to), "SPUBLISH socket.io#/chat#fedcba9876543210#");
    assert_eq!(sent(&wire(Mode::Classic), answer(), &to), "PUBLISH socket.io-response#/chat#fedcba9876543210#");
    assert_eq!(sent(&wire(Mode::Streams), answer(), &to), "PUBLISH socket.io#/chat#fedcba9876543210#");
    assert_eq!(sent(&wire(Mode::Native), answer(), &to), "PUBLISH sockeye#5#/chat#nfedcba9876543210");
}

#[test]
fn what_asks_goes_by_pub_sub_and_the_rest_into_the_stream() {
    let wire = wire(Mode::Streams);
    let target = Target::default;
    for message in [
        broadcast(&[], None),
        Message::JoinSockets { target: target(), rooms: Vec::new() },
        Message::LeaveSockets { target: target(), rooms: Vec::new() },
        Message::DisconnectSockets { target: target(), close: true },
    ] {
        assert_eq!(sent(&wire, message, &Destination::All), "XADD socket.io");
    }
    for message in [
        broadcast(&[], Some("q")),
        Message::FetchSockets { target: target(), request: "q".into() },
        Message::ServerSideEmit { event: "e".into(), args: Args::empty(), request: None },
    ] {
        assert_eq!(sent(&wire, message, &Destination::All), "PUBLISH socket.io#/chat#");
    }
}

#[test]
fn own_messages_are_told_apart_unread() {
    for mode in [Mode::Sharded { subscription: Subscription::Dynamic }, Mode::Streams, Mode::Native] {
        let (mine, mut theirs) = (wire(mode), wire(mode));
        theirs.node = "fedcba9876543210".into();
        let values = [Args::empty(), Args::from_values(vec![sockeye::Value::Binary(Bytes::from_static(&[1]))])];
        for args in values {
            let message = Message::ServerSideEmitResponse { request: "q".into(), args };
            for message in [message, broadcast(&[], Some("q"))] {
                let payload = |wire: &Wire| {
                    let command = wire.command(message.clone(), &Destination::All).unwrap().unwrap().command;
                    let redis::Arg::Simple(payload) = command.args_iter().nth(2).unwrap() else { panic!() };
                    Bytes::copy_from_slice(payload)
                };
                assert!(!mine.is_own(&payload(&theirs)) && mine.is_own(&payload(&mine)));
                mine.read(&payload(&theirs)).unwrap();
            }
        }
    }
    for mode in [Mode::Native, Mode::Classic] {
        let (mine, theirs) = (wire(mode), "fedcba9876543210".into());
        let write = |node| match mode {
            Mode::Native => native::encode(broadcast(&["r"], None), node, "/chat").unwrap(),
            _ => classic::encode(broadcast(&["r"], None), node).unwrap(),
        };
        assert!(mine.is_own(&write(&mine.node)) && !mine.is_own(&write(&theirs)));
    }
}

#[test]
fn only_the_classic_mode_has_a_pattern() {
    let subscribes = |mode: Mode| -> Vec<_> {
        let channels = wire(mode).own_channels();
        channels.iter().map(|channel| Verbs::for_channel(&RedisOptions::new(URL, mode), channel).subscribe).collect()
    };
    assert_eq!(subscribes(Mode::Classic), ["SUBSCRIBE", "SUBSCRIBE", "SUBSCRIBE", "PSUBSCRIBE"]);
    assert_eq!(subscribes(Mode::Native), ["SUBSCRIBE", "SUBSCRIBE"]);
    assert_eq!(Verbs::for_channel(&RedisOptions::new(URL, Mode::Native), b"sockeye#1#/#r*").subscribe, "SUBSCRIBE");
}

#[test]
fn namespaces_are_spread_over_streams_as_javascript_does() {
    let mut options = StreamOptions::default();
    assert_eq!((stream_of(&options, "/"), streams(&options)), ("socket.io".into(), vec!["socket.io".to_owned()]));
    options.count = 3;
    // "/".charCodeAt(0) is 47.
    assert_eq!(stream_of(&options, "/"), "socket.io-2");
    assert_eq!(stream_of(&options, "/chat"), format!("socket.io-{}", java_hash("/chat") % 3));
    let name = stream_of(&options, "/a namespace with a long name");
    assert!(streams(&options).contains(&name), "{name}");
    assert_eq!(streams(&options), ["socket.io--2", "socket.io--1", "socket.io-0", "socket.io-1", "socket.io-2"]);
}

/// As Java defines it, in wide numbers.
fn java_hash(text: &str) -> i64 {
    let sum = text.bytes().fold(0_i64, |hash, byte| (hash * 31 + i64::from(byte)) & 0xffff_ffff);
    if sum >= 1 << 31 { sum - (1 << 32) } else { sum }
}
