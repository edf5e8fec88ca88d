//! The suite for clusters, over a real NATS.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

mod current {
    sockeye_cluster_suite::cluster_suite!(crate::support::Over<crate::support::Current>, flavor = "multi_thread");
}

mod old {
    sockeye_cluster_suite::cluster_suite!(crate::support::Over<crate::support::Old>);
}
