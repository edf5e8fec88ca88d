//! The messages between nodes over Redis: the time to write and to read a broadcast, in each format.

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput};
use sockeye::adapter::Packet;
use sockeye::{Args, Target};
use sockeye_cluster::codec::cluster::{self, Form};
use sockeye_cluster::{Message, NodeId};
use sockeye_redis::codec::classic::{self, Channel};

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    for len in [64, 1024] {
        let mut group = criterion.benchmark_group(format!("redis/{len}"));
        group.throughput(Throughput::Elements(1));
        broadcasts(&mut group, len);
        group.finish();
    }
    criterion.final_summary();
}

/// A broadcast to one room, with a text of this length.
fn broadcasts(group: &mut BenchmarkGroup<'_, WallTime>, len: usize) {
    let node = NodeId::from("e9e8b44928da1447");
    let namespace = ByteString::from_static("/");
    let mut target = Target::default();
    target.rooms.push("room1".into());
    let args = Args::from_serialize(&("x".repeat(len),)).expect("a text");
    let packet = Packet::event("/", "message", args);
    let message = Message::Broadcast { packet, target, request: None };

    let classic = || classic::encode(black_box(message.clone()), &node).expect("a message");
    group.bench_function("classic-encode", |bencher| bencher.iter(classic));
    let data = Bytes::from(classic());
    let channel = Channel::Broadcast(Some("room1"));
    group.bench_function("classic-decode", |bencher| {
        bencher.iter(|| classic::decode(channel, black_box(&data), &namespace).expect("a message"));
    });

    let sharded = || cluster::encode(black_box(message.clone()), &node, "/", Form::Smallest).expect("a message");
    group.bench_function("sharded-encode", |bencher| bencher.iter(sharded));
    let data = Bytes::from(sharded());
    group.bench_function("sharded-decode", |bencher| {
        bencher.iter(|| cluster::decode(black_box(&data), &namespace).expect("a message"));
    });

    let entry = || cluster::encode_entry(black_box(message.clone()), &node, "/").expect("a message");
    group.bench_function("stream-encode", |bencher| bencher.iter(entry));
    let fields = entry();
    group.bench_function("stream-decode", |bencher| {
        bencher.iter(|| {
            let fields = black_box(&fields).iter().map(|(name, value)| (*name, value.as_str()));
            cluster::decode_entry(fields, &namespace).expect("a message")
        });
    });
}
