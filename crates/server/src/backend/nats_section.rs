//! The table of NATS in the configuration.

use std::path::PathBuf;
use std::time::Duration;

use sockeye_nats::JetStreamOptions;

use crate::config::section::section;
use crate::config::setting::Size;

section! {
    /// NATS.
    struct NatsSection {
        /// Where NATS is: "nats://user:password@host:4222", or "tls://…" with encryption; several servers of a cluster with commas
        /// between them, of which one that is up is enough. A user without a password is a token. Required.
        url: Option<String> = None, example "\"nats://127.0.0.1:4222\"";
        /// The first token of all subjects. Clusters that share servers of NATS must have different ones.
        prefix: String = "sockeye".to_owned();
        /// The seed of an NKey to log in with ("SU…").
        nkey: Option<String> = None, example "\"SUA…\"";
        /// A credentials file to log in with: a JWT and its seed.
        credentials: Option<PathBuf> = None, example "\"sockeye.creds\"";
        /// What JetStream keeps, for the adapter "nats-jetstream".
        jetstream: Option<JetStreamSection> = None;
        /// Certificates, for servers with TLS. Without this table a server's must be one that the system trusts.
        tls: Option<NatsTlsSection> = None;
    }
}

section! {
    /// What JetStream keeps. The stream and the bucket have the name of the prefix; where they are there already, they stay as they are.
    struct JetStreamSection {
        /// On how many servers of NATS each is kept: in a cluster of these, 3.
        replicas: usize = JetStreamOptions::default().replicas;
        /// Whether it is kept in memory only.
        in_memory: bool = false;
        /// How large the stream of events may become. The oldest make room.
        max_log_bytes: Size = Size(256 << 20);
        /// How large the bucket of sessions may become. Further ones are refused, and their clients not recovered.
        max_session_bytes: Size = Size(256 << 20);
        /// How long both are kept: longer, by a third, than clients may be away.
        max_age: Duration = JetStreamOptions::default().max_age;
    }
}

section! {
    /// Encryption of the connections to NATS.
    struct NatsTlsSection {
        /// Certificates of the authorities that are trusted instead of the system's, a PEM file.
        ca: Option<PathBuf> = None, example "\"nats-ca.pem\"";
        /// The certificate that this node shows, where NATS asks for one, a PEM file.
        cert: Option<PathBuf> = None, example "\"node.pem\"";
        /// Its private key, a PEM file.
        key: Option<PathBuf> = None, example "\"node-key.pem\"";
    }
}
