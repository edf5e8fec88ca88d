//! Masters that are lost, and slots that move.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::time::Duration;

use sockeye::peers::{Directory, DirectoryFuture, NodeTag, PeerOptions};
use sockeye_cluster_suite::Fleet;
use sockeye_redis::{RedisAdapter, RedisDirectory, RedisEmitter};
use support::redis_cluster::RedisCluster;
use support::sentinels::Sentinels;
use support::topology::{Secure, Shared, Topology};
use support::well::{adapters, all_is_well};
use support::{Classic, Dynamic, Native, Over, Streams, Way, eventually};
use tokio::sync::mpsc;

/// The servers go on after `harm`, which is done while all is well, and their clients are served meanwhile.
async fn heals<W: Way, P: Topology>(harm: impl FnOnce(&Over<W, P>) + Send) {
    let mut fleet = Fleet::<Over<W, P>>::of(2).await;
    fleet.socket(1).join("r").unwrap();
    all_is_well(&mut fleet).await;
    let before = owner_changes(&fleet);
    harm(&fleet.cluster);
    let adapters = adapters(&fleet);
    // The time without a connection may be too short to be seen.
    let is_changed = || owner_changes(&fleet).iter().zip(&before).all(|(now, before)| now > before);
    eventually("it is noticed", || !adapters.iter().any(RedisAdapter::is_connected) || is_changed()).await;
    fleet.server(0).local().emit("meanwhile", 1);
    assert_eq!(fleet.next(0).await, "42[\"meanwhile\",1]", "own clients are served");
    all_is_well(&mut fleet).await;
    for (now, before) in owner_changes(&fleet).iter().zip(before) {
        assert!(*now > before, "it is counted");
    }
}

fn lost_connections<W: Way, P: Topology>(fleet: &Fleet<Over<W, P>>) -> Vec<u64> {
    adapters(fleet).iter().map(|adapter| adapter.metrics().disconnects.value()).collect()
}

fn owner_changes<W: Way, P: Topology>(fleet: &Fleet<Over<W, P>>) -> Vec<u64> {
    adapters(fleet).iter().map(|adapter| adapter.metrics().owner_changes.value()).collect()
}

fn kill_master<W: Way>(cluster: &Over<W, Sentinels>) {
    cluster.redis.servers[cluster.redis.master()].kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_name_another_master_classic() {
    heals::<Classic, _>(kill_master).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_name_another_master_sharded() {
    heals::<Dynamic, _>(kill_master).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_name_another_master_streams() {
    heals::<Streams, _>(kill_master).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_name_another_master_native() {
    heals::<Native, _>(kill_master).await;
}

/// The old master is still there, as a replica.
#[tokio::test(flavor = "multi_thread")]
async fn sentinels_are_told_to_change_the_master() {
    heals::<Streams, Sentinels>(|cluster| {
        cluster.redis.sentinels[0].command::<()>(&["SENTINEL", "FAILOVER", support::sentinels::SERVICE]);
    })
    .await;
}

/// No connection is lost by it, and the old master comes back as a replica.
#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_stands_still_is_left() {
    let mut fleet = Fleet::<Over<Native, Sentinels>>::of(2).await;
    fleet.socket(1).join("r").unwrap();
    all_is_well(&mut fleet).await;
    let before = owner_changes(&fleet);
    let frozen = fleet.cluster.redis.master();
    fleet.cluster.redis.servers[frozen].freeze(true);
    let is_left = || owner_changes(&fleet).iter().zip(&before).all(|(now, before)| now > before);
    eventually("another is named", is_left).await;
    all_is_well(&mut fleet).await;
    fleet.cluster.redis.servers[frozen].freeze(false);
    let replicates = || {
        let info = fleet.cluster.redis.servers[frozen].try_command::<String>(&["INFO", "replication"]);
        info.is_ok_and(|info| info.contains("role:slave"))
    };
    eventually("the old one is a replica", replicates).await;
    all_is_well(&mut fleet).await;
}

/// The one that has the slot of what all nodes use.
fn kill_owner<W: Way>(cluster: &Over<W, RedisCluster>) {
    let (owner, _) = cluster.redis.owner(&cluster.what_all_use());
    cluster.redis.servers[owner].kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_loses_a_master_classic() {
    heals::<Classic, _>(kill_owner).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_loses_a_master_sharded() {
    heals::<Dynamic, _>(kill_owner).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_loses_a_master_streams() {
    heals::<Streams, _>(kill_owner).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_loses_a_master_native() {
    heals::<Native, _>(kill_owner).await;
}

/// While the slot that all nodes use moves away, comes back, and moves again.
async fn a_slot_moves<W: Way>() -> (Vec<u64>, Fleet<Over<W, Shared<RedisCluster>>>) {
    let mut fleet = Fleet::<Over<W, Shared<RedisCluster>>>::of(2).await;
    fleet.socket(1).join("r").unwrap();
    all_is_well(&mut fleet).await;
    let server = fleet.server(0).clone();
    let sending = tokio::spawn(async move {
        for number in 0..150 {
            server.emit("e", number);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let (redis, key) = (fleet.cluster.redis.0.clone(), fleet.cluster.what_all_use());
    let moving = tokio::task::spawn_blocking(move || {
        let (owner, _) = redis.owner(&key);
        for to in [(owner + 1) % 3, owner] {
            redis.migrate(&key, to);
            std::thread::sleep(Duration::from_millis(300));
        }
    });
    moving.await.unwrap();
    sending.await.unwrap();
    let got = fleet.received(&[0, 0]).await.pop().unwrap();
    let number = |text: &String| text.strip_prefix("42[\"e\",")?.strip_suffix(']')?.parse().ok();
    let numbers: Vec<u64> = got.iter().filter_map(number).collect();
    // A node that has to subscribe anew takes a moment: ten seconds at most, until it finds out that it hears nothing.
    fleet.heard_in(0, ["r"], 1).await;
    all_is_well(&mut fleet).await;
    (numbers, fleet)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_moves_and_nothing_is_missed() {
    let (numbers, fleet) = a_slot_moves::<Streams>().await;
    assert_eq!(numbers, (0..150).collect::<Vec<_>>());
    assert_eq!(lost_connections(&fleet), [0, 0]);
}

/// What is published between the move and the new subscription is missed: how much that is depends on how soon the servers of the
/// Redis Cluster agree on who has the slot. Nothing comes twice or out of order.
fn some_are_missed(numbers: &[u64]) {
    assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
    assert_eq!(numbers.first(), Some(&0), "{numbers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_moves_sharded() {
    some_are_missed(&a_slot_moves::<Dynamic>().await.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_moves_native() {
    some_are_missed(&a_slot_moves::<Native>().await.0);
}

async fn is_well<W: Way, P: Topology>() {
    let mut fleet = Fleet::<Over<W, P>>::of(2).await;
    fleet.socket(1).join("r").unwrap();
    all_is_well(&mut fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_with_certificates_and_a_user() {
    is_well::<Classic, Secure<RedisCluster>>().await;
    is_well::<Dynamic, Secure<RedisCluster>>().await;
    is_well::<Streams, Secure<RedisCluster>>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_with_certificates_and_a_user() {
    heals::<Native, Secure<Sentinels>>(|cluster| {
        let sentinels = &cluster.redis.0;
        sentinels.servers[sentinels.master()].kill();
    })
    .await;
}

/// Clients of other nodes may listen to a replica.
#[tokio::test(flavor = "multi_thread")]
async fn who_listens_to_a_replica_is_counted() {
    let fleet = Fleet::<Over<Classic, Shared<RedisCluster>>>::of(2).await;
    let servers = &fleet.cluster.redis.0.servers;
    let replica = servers.iter().find(|server| server.command::<String>(&["INFO", "replication"]).contains("slave"));
    let client = redis::Client::open(format!("redis://127.0.0.1:{}", replica.unwrap().port)).unwrap();
    let mut connection = client.get_connection().unwrap();
    let mut listens = connection.as_pubsub();
    listens.subscribe(format!("{}-request#/#", fleet.cluster.name("socket.io"))).unwrap();
    fleet.wait_for_count(0, 3).await;
}

/// A directory that tells which node is entered.
#[derive(Debug)]
struct Overheard(RedisDirectory, mpsc::Sender<(NodeTag, String)>);

impl Directory for Overheard {
    fn announce<'a>(&'a self, node: NodeTag, address: &'a str, time_to_live: Duration) -> DirectoryFuture<'a, ()> {
        Box::pin(async move {
            self.0.announce(node, address, time_to_live).await?;
            self.1.send((node, address.to_owned())).await.unwrap();
            Ok(())
        })
    }

    fn find(&self, node: NodeTag) -> DirectoryFuture<'_, Option<String>> {
        self.0.find(node)
    }

    fn withdraw(&self, node: NodeTag) -> DirectoryFuture<'_, ()> {
        self.0.withdraw(node)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_of_nodes_are_found_in_a_cluster() {
    let fleet = Fleet::<Over<Native, Shared<RedisCluster>>>::of(4).await;
    let directory = |at: usize| fleet.cluster.adapter(fleet.name(at)).directory();
    for at in 0..4 {
        let (overheard, mut entered) = mpsc::channel(10);
        let options = PeerOptions::new("a secret of this test");
        fleet.server(at).join_peers(options, Overheard(directory(at), overheard)).await.unwrap();
        let (node, address) = entered.recv().await.unwrap();
        assert_eq!(directory((at + 1) % 4).find(node).await.unwrap(), Some(address));
        directory(at).withdraw(node).await.unwrap();
        assert_eq!(directory((at + 1) % 4).find(node).await.unwrap(), None);
    }
}

/// An emitter finds the owners, and another master.
async fn an_emitter_arrives<W: Way, P: Topology>(fleet: &mut Fleet<Over<W, P>>, emitter: &RedisEmitter, mark: u32) {
    emitter.emit("all", mark).await.unwrap();
    emitter.to("r").emit("room", mark).await.unwrap();
    let mut got = fleet.received(&[1, 2]).await;
    got[1].sort_unstable();
    let (all, room) = (format!("42[\"all\",{mark}]"), format!("42[\"room\",{mark}]"));
    assert_eq!(got, [vec![all.clone()], vec![all, room]]);
}

async fn an_emitter_is_heard<W: Way, P: Topology>() -> (Fleet<Over<W, P>>, RedisEmitter) {
    let mut fleet = Fleet::<Over<W, P>>::of(2).await;
    fleet.socket(1).join("r").unwrap();
    all_is_well(&mut fleet).await;
    let emitter = RedisEmitter::new(fleet.cluster.options(&|port| port)).unwrap();
    an_emitter_arrives(&mut fleet, &emitter, 1).await;
    (fleet, emitter)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emitter_is_heard_in_a_cluster() {
    an_emitter_is_heard::<Classic, Shared<RedisCluster>>().await;
    an_emitter_is_heard::<Streams, Shared<RedisCluster>>().await;
    an_emitter_is_heard::<Native, Shared<RedisCluster>>().await;
    let (mut fleet, emitter) = an_emitter_is_heard::<Dynamic, Shared<RedisCluster>>().await;
    let (redis, key) = (fleet.cluster.redis.0.clone(), fleet.cluster.what_all_use());
    let moving = move || redis.migrate(&key, (redis.owner(&key).0 + 1) % 3);
    tokio::task::spawn_blocking(moving).await.unwrap();
    all_is_well(&mut fleet).await;
    an_emitter_arrives(&mut fleet, &emitter, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emitter_finds_another_master() {
    let (mut fleet, emitter) = an_emitter_is_heard::<Streams, Sentinels>().await;
    kill_master(&fleet.cluster);
    all_is_well(&mut fleet).await;
    while emitter.of("/elsewhere").emit("try", 1).await.is_err() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    an_emitter_arrives(&mut fleet, &emitter, 2).await;
}
