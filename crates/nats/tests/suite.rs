//! The suite for clusters, over a real NATS.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

mod current {
    sockeye_cluster_suite::cluster_suite!(
        crate::support::Over<crate::support::Current>,
        without { delivered: "what is for a room goes to all nodes" },
        flavor = "multi_thread"
    );
}

mod old {
    sockeye_cluster_suite::cluster_suite!(
        crate::support::Over<crate::support::Old>,
        without { delivered: "what is for a room goes to all nodes" }
    );
}

mod jetstream {
    sockeye_cluster_suite::cluster_suite!(
        crate::support::Over<crate::support::JetStream>,
        without { delivered: "what is for a room goes to all nodes" },
        flavor = "multi_thread"
    );
}

mod old_jetstream {
    sockeye_cluster_suite::cluster_suite!(
        crate::support::Over<crate::support::OldJetStream>,
        without { delivered: "what is for a room goes to all nodes" }
    );
}

mod recovery {
    sockeye_cluster_suite::recovery_suite!(
        crate::support::Over<crate::support::JetStream>,
        without { refuse: "a_refusal_is_told of recovery.rs does it" },
        flavor = "multi_thread"
    );
}

mod old_recovery {
    sockeye_cluster_suite::recovery_suite!(
        crate::support::Over<crate::support::OldJetStream>,
        without { refuse: "a_refusal_is_told of recovery.rs does it" }
    );
}
