//! The suite for clusters, over a Redis Cluster of three masters with a replica each, in each mode.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

/// All cases share the servers, and keep their names apart.
type Over<W> = support::Over<W, support::topology::Shared<support::redis_cluster::RedisCluster>>;

mod sharded {
    sockeye_cluster_suite::cluster_suite!(
        crate::Over<crate::support::Dynamic>,
        without { names: "Redis counts the nodes in this mode; they have no names" },
        flavor = "multi_thread"
    );
}

mod sharded_static {
    sockeye_cluster_suite::cluster_suite!(
        crate::Over<crate::support::Static>,
        without {
            names: "Redis counts the nodes in this mode; they have no names",
            delivered: "messages for rooms go to all nodes in this mode"
        }
    );
}

mod sharded_private {
    sockeye_cluster_suite::cluster_suite!(
        crate::Over<crate::support::DynamicPrivate>,
        without { names: "Redis counts the nodes in this mode; they have no names" }
    );
}

mod classic {
    sockeye_cluster_suite::cluster_suite!(
        crate::Over<crate::support::Classic>,
        without {
            names: "Redis counts the nodes in this mode; they have no names",
            delivered: "messages for rooms go to all nodes in this mode"
        }
    );
}

mod streams {
    sockeye_cluster_suite::cluster_suite!(
        crate::Over<crate::support::Streams>,
        without {
            names: "Redis counts the nodes in this mode; they have no names",
            delivered: "messages for rooms go to all nodes in this mode"
        }
    );
}

mod native {
    sockeye_cluster_suite::cluster_suite!(crate::Over<crate::support::Native>, flavor = "multi_thread");
}
