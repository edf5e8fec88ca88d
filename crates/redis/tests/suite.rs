//! The suite for clusters, over a real Redis, in each mode.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

mod sharded {
    sockeye_cluster_suite::cluster_suite!(
        crate::support::Over<crate::support::Dynamic>,
        without { names: "Redis counts the nodes in this mode; they have no names" }
    );
}

mod sharded_static {
    sockeye_cluster_suite::cluster_suite!(
        crate::support::Over<crate::support::Static>,
        without {
            names: "Redis counts the nodes in this mode; they have no names",
            delivered: "messages for rooms go to all nodes in this mode"
        }
    );
}

mod sharded_private {
    sockeye_cluster_suite::cluster_suite!(
        crate::support::Over<crate::support::DynamicPrivate>,
        without { names: "Redis counts the nodes in this mode; they have no names" }
    );
}

mod classic {
    sockeye_cluster_suite::cluster_suite!(
        crate::support::Over<crate::support::Classic>,
        without {
            names: "Redis counts the nodes in this mode; they have no names",
            delivered: "messages for rooms go to all nodes in this mode"
        }
    );
}

mod streams {
    sockeye_cluster_suite::cluster_suite!(
        crate::support::Over<crate::support::Streams>,
        without {
            names: "Redis counts the nodes in this mode; they have no names",
            delivered: "messages for rooms go to all nodes in this mode"
        }
    );
}

mod native {
    sockeye_cluster_suite::cluster_suite!(crate::support::Over<crate::support::Native>, flavor = "multi_thread");
}

mod streams_recovery {
    sockeye_cluster_suite::recovery_suite!(crate::support::Over<crate::support::Streams>, flavor = "multi_thread");
}
