//! The suite for clusters, over a real NATS.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

mod current {
    sockeye_cluster_suite::cluster_suite!(crate::support::Over<crate::support::Current>, flavor = "multi_thread");
}

mod old {
    sockeye_cluster_suite::cluster_suite!(crate::support::Over<crate::support::Old>);
}

mod jetstream {
    sockeye_cluster_suite::cluster_suite!(crate::support::Over<crate::support::JetStream>, flavor = "multi_thread");
}

mod old_jetstream {
    sockeye_cluster_suite::cluster_suite!(crate::support::Over<crate::support::OldJetStream>);
}
