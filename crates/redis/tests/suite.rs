//! The suite for clusters, over a real Redis, in each mode.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

mod sharded {
    sockeye_cluster_suite::cluster_suite!(crate::support::Over<crate::support::Dynamic>);
}

mod sharded_static {
    sockeye_cluster_suite::cluster_suite!(crate::support::Over<crate::support::Static>);
}

mod sharded_private {
    sockeye_cluster_suite::cluster_suite!(crate::support::Over<crate::support::DynamicPrivate>);
}

mod classic {
    sockeye_cluster_suite::cluster_suite!(crate::support::Over<crate::support::Classic>);
}

mod streams {
    sockeye_cluster_suite::cluster_suite!(crate::support::Over<crate::support::Streams>);
}

mod native {
    sockeye_cluster_suite::cluster_suite!(crate::support::Over<crate::support::Native>, flavor = "multi_thread");
}
