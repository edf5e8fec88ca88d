//! Whether all is well among two servers.

use sockeye_cluster_suite::Fleet;
use sockeye_redis::RedisAdapter;

use super::topology::Topology;
use super::{Over, Way, eventually};

pub(crate) fn adapters<W: Way, P: Topology>(fleet: &Fleet<Over<W, P>>) -> Vec<RedisAdapter> {
    fleet.nodes.iter().map(|node| fleet.cluster.adapter(&node.name)).collect()
}

/// What one server emits reaches all clients, to all and to a room; questions are answered. The second one's client is in the room `r`.
pub(crate) async fn all_is_well<W: Way, P: Topology>(fleet: &mut Fleet<Over<W, P>>) {
    let adapters = adapters(fleet);
    eventually("all are connected", || adapters.iter().all(RedisAdapter::is_connected)).await;
    for at in 0..2 {
        fleet.wait_for_count(at, 2).await;
    }
    fleet.received(&[0, 0]).await;
    fleet.heard_in(0, ["r"], 1).await;
    fleet.server(0).emit("all", 1);
    fleet.server(0).to("r").emit("room", 1);
    let mut got = fleet.received(&[1, 2]).await;
    got[1].sort_unstable();
    assert_eq!(got, [vec!["42[\"all\",1]"], vec!["42[\"all\",1]", "42[\"room\",1]"]]);
    assert!(fleet.server(1).fetch_sockets().await.unwrap().is_complete());
}
