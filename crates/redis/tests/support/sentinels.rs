//! A master and its replica, and three sentinels that watch over them.

use std::sync::{Arc, OnceLock};

use redis::Value;

use super::server::{Server, wait_until};
use super::tls::{PASSWORD, Secrets};

/// The servers and their sentinels.
pub(crate) struct Sentinels {
    /// The master at first, and its replica.
    pub(crate) servers: Vec<Server>,
    pub(crate) sentinels: Vec<Server>,
    pub(crate) secrets: Option<Secrets>,
}

/// The name of the service.
pub(crate) const SERVICE: &str = "main";

impl Sentinels {
    /// One for all tests of a program.
    pub(crate) fn shared() -> Arc<Self> {
        static SHARED: OnceLock<Arc<Sentinels>> = OnceLock::new();
        SHARED.get_or_init(|| Arc::new(Self::start(10_000, None))).clone()
    }

    /// One that is new. A master that is silent for so many milliseconds is replaced.
    pub(crate) fn start(timeout: u32, secrets: Option<Secrets>) -> Self {
        let tls = secrets.is_some();
        let login = if tls { format!("masteruser sockeye\nmasterauth \"{PASSWORD}\"\n") } else { String::new() };
        let master = Server::start(&format!("repl-diskless-sync-delay 0\n{login}"), secrets.as_ref());
        let port = master.port;
        let replica = Server::start(&format!("replicaof 127.0.0.1 {port}\n{login}"), secrets.as_ref());
        let login = match tls {
            true => format!(
                "sentinel auth-user {SERVICE} sockeye\nsentinel auth-pass {SERVICE} \"{PASSWORD}\"\n\
                 sentinel sentinel-user sockeye\nsentinel sentinel-pass \"{PASSWORD}\"\n"
            ),
            false => String::new(),
        };
        let config = format!(
            "sentinel monitor {SERVICE} 127.0.0.1 {port} 2\nsentinel down-after-milliseconds {SERVICE} {timeout}\n\
             sentinel failover-timeout {SERVICE} 5000\n{login}"
        );
        let sentinels = (0..3).map(|_| Server::start_as(&config, secrets.as_ref(), &["--sentinel"])).collect();
        let all = Self { servers: vec![master, replica], sentinels, secrets };
        wait_until("the sentinels are ready", || {
            all.sentinels.iter().all(|sentinel| {
                let is_quorum = sentinel.try_command::<Value>(&["SENTINEL", "CKQUORUM", SERVICE]).is_ok();
                let replicas: Vec<Value> = sentinel.command(&["SENTINEL", "REPLICAS", SERVICE]);
                let peers: Vec<Value> = sentinel.command(&["SENTINEL", "SENTINELS", SERVICE]);
                is_quorum && replicas.len() == 1 && peers.len() == 2
            })
        });
        let replicates = || all.servers[0].command::<String>(&["INFO", "replication"]).contains("state=online");
        wait_until("the replica replicates", replicates);
        all
    }

    /// The place of the master among the servers.
    pub(crate) fn master(&self) -> usize {
        let (_, port): (String, u16) = self.sentinels[0].command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE]);
        self.servers.iter().position(|server| server.port == port).unwrap()
    }
}
