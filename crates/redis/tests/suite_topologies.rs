//! The suite for clusters where sentinels know the master, and with TLS, a certificate of the client and a user: in some modes, as the
//! modes use the connections in the same way.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

mod sentinels {
    use crate::support::sentinels::Sentinels;
    use crate::support::topology::Shared;
    use crate::support::{Over, Streams};

    sockeye_cluster_suite::cluster_suite!(
        Over<Streams, Shared<Sentinels>>,
        without {
            names: "Redis counts the nodes in this mode; they have no names",
            delivered: "messages for rooms go to all nodes in this mode"
        }
    );
}

mod encrypted {
    use crate::support::topology::Encrypted;
    use crate::support::{Native, Over};

    sockeye_cluster_suite::cluster_suite!(Over<Native, Encrypted>);
}
