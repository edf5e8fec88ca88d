//! Sending to the clients of a cluster from outside.

use std::future::Future;
use std::pin::Pin;

use sockeye::Args;

use super::{AdapterName, name};
use crate::config::ClusterSection;
use crate::config::problems::Problems;

/// What to send, and to whom.
#[derive(Clone, Debug, Default)]
pub(crate) struct Order {
    pub(crate) namespace: String,
    pub(crate) rooms: Vec<String>,
    pub(crate) except: Vec<String>,
    /// Clients that are not ready to take the event do without.
    pub(crate) volatile: bool,
    /// The event goes to the programs of the servers.
    pub(crate) to_servers: bool,
    pub(crate) event: Option<(String, Args)>,
    pub(crate) join: Vec<String>,
    pub(crate) leave: Vec<String>,
    /// Disconnect the clients, and whether to close their connections.
    pub(crate) disconnect: Option<bool>,
}

/// The broker has taken it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sent {
    /// Why nobody got it, where the broker can tell that.
    pub(crate) unheard: Option<String>,
}

/// A future of an [`Emitter`]. The error is what went wrong, and what to do.
pub(crate) type EmitFuture<'a> = Pin<Box<dyn Future<Output = Result<Sent, String>> + 'a>>;

/// Sends to the clients of a cluster.
pub(crate) trait Emitter {
    /// Why it cannot tell whether somebody got what is sent; none if it can.
    fn cannot_tell_recipients(&self) -> Option<&'static str>;

    /// Sends what is ordered.
    fn send<'a>(&'a self, order: &'a Order) -> EmitFuture<'a>;
}

/// What sends to the cluster of a configuration; none where something is wrong, which is reported.
pub(crate) fn emitter(section: &ClusterSection, problems: &mut Problems) -> Option<Box<dyn Emitter>> {
    match name(section, problems)? {
        #[cfg(feature = "redis")]
        name @ (AdapterName::RedisClassic
        | AdapterName::RedisSharded
        | AdapterName::RedisStreams
        | AdapterName::RedisNative) => super::redis::emitter(name, section, problems),
        AdapterName::Nats | AdapterName::NatsJetStream => {
            problems.add(
                "cluster.adapter",
                "`sockeye emit` does not send over \"nats\" yet: a program with sockeye-nats can",
            );
            None
        }
        #[cfg(not(feature = "redis"))]
        left_out => {
            left_out.report_left_out(problems);
            None
        }
    }
}
