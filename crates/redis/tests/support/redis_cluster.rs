//! A Redis Cluster: three masters, each with a replica.

use std::fs;
use std::sync::{Arc, OnceLock};

use redis::FromRedisValue;
use sockeye_cluster_suite::free_port;

use super::server::{Server, wait_until};
use super::tls::Secrets;

/// The servers of a Redis Cluster.
pub(crate) struct RedisCluster {
    /// The masters at first, and then the replica of each, in the same order.
    pub(crate) servers: Vec<Server>,
    pub(crate) secrets: Option<Secrets>,
}

const MASTERS: usize = 3;

impl RedisCluster {
    /// One for all tests of a program.
    pub(crate) fn shared() -> Arc<Self> {
        static SHARED: OnceLock<Arc<RedisCluster>> = OnceLock::new();
        SHARED.get_or_init(|| Arc::new(Self::start(5_000, true, None))).clone()
    }

    /// One that is new. A master that is silent for so many milliseconds is replaced.
    pub(crate) fn start(timeout: u32, has_replicas: bool, secrets: Option<Secrets>) -> Self {
        let count = if has_replicas { 2 * MASTERS } else { MASTERS };
        let servers: Vec<_> = (0..count)
            .map(|_| {
                let bus = free_port();
                let tls = if secrets.is_some() { "tls-cluster yes\n" } else { "" };
                let config = format!(
                    "{tls}cluster-enabled yes\ncluster-port {bus}\ncluster-node-timeout {timeout}\n\
                     cluster-replica-validity-factor 0\nrepl-diskless-sync-delay 0\n"
                );
                let server = Server::start(&config, secrets.as_ref());
                fs::write(server.folder().join("bus"), bus.to_string()).unwrap();
                server
            })
            .collect();
        let cluster = Self { servers, secrets };
        cluster.meet();
        for (at, slots) in [("0", "5460"), ("5461", "10922"), ("10923", "16383")].iter().enumerate() {
            cluster.servers[at].command::<()>(&["CLUSTER", "ADDSLOTSRANGE", slots.0, slots.1]);
        }
        for (at, replica) in cluster.servers.iter().enumerate().skip(MASTERS) {
            let master = cluster.id(at - MASTERS);
            wait_until("the replica knows its master", || {
                replica.try_command::<()>(&["CLUSTER", "REPLICATE", &master]).is_ok()
            });
        }
        cluster.wait_until_whole();
        cluster
    }

    fn meet(&self) {
        for (at, server) in self.servers.iter().enumerate() {
            server.command::<()>(&["CLUSTER", "SET-CONFIG-EPOCH", &(at + 1).to_string()]);
            let bus = fs::read_to_string(server.folder().join("bus")).unwrap();
            self.servers[0].command::<()>(&["CLUSTER", "MEET", "127.0.0.1", &server.port.to_string(), &bus]);
        }
        let all = self.servers.len();
        wait_until("all know one another", || {
            let known = |server: &Server| server.command::<String>(&["CLUSTER", "NODES"]);
            self.servers.iter().all(|server| {
                let known = known(server);
                known.lines().count() == all && !known.contains("handshake")
            })
        });
    }

    /// Waits until each server that runs sees all slots served, by those that run, and with as many replicas as before.
    pub(crate) fn wait_until_whole(&self) {
        let replicas = self.servers.len().saturating_sub(MASTERS);
        wait_until("the cluster is whole", || {
            self.servers.iter().all(|server| {
                let Ok(state) = server.try_command::<String>(&["CLUSTER", "INFO"]) else { return true };
                let nodes: String = server.command(&["CLUSTER", "NODES"]);
                let linked = nodes.lines().filter(|line| line.contains("slave") && line.contains(" connected")).count();
                state.contains("cluster_state:ok") && (linked >= replicas || nodes.contains("fail"))
            })
        });
    }

    /// The name of a server.
    pub(crate) fn id(&self, at: usize) -> String {
        self.servers[at].command(&["CLUSTER", "MYID"])
    }

    /// Which server has the slot of this key, and the slot.
    pub(crate) fn owner(&self, key: &str) -> (usize, u16) {
        let alive = self.servers.iter().find(|server| server.try_command::<String>(&["PING"]).is_ok()).unwrap();
        let slot: u16 = alive.command(&["CLUSTER", "KEYSLOT", key]);
        let ranges: Vec<(u16, u16, (String, u16, String))> = alive
            .command::<Vec<Vec<redis::Value>>>(&["CLUSTER", "SLOTS"])
            .into_iter()
            .map(|range| {
                let mut parts = range.into_iter();
                let mut number = || u16::from_redis_value(parts.next().unwrap()).unwrap();
                let (first, last) = (number(), number());
                let redis::Value::Array(server) = parts.next().unwrap() else { panic!("no server") };
                let host = String::from_redis_value(server[0].clone()).unwrap();
                (first, last, (host, u16::from_redis_value(server[1].clone()).unwrap(), String::new()))
            })
            .collect();
        let (_, _, (_, port, _)) = ranges.iter().find(|(first, last, _)| (*first..=*last).contains(&slot)).unwrap();
        (self.servers.iter().position(|server| server.port == *port).unwrap(), slot)
    }

    /// Moves the slot of a key, and what is in it, to another master.
    pub(crate) fn migrate(&self, key: &str, to: usize) {
        let (target, to_id) = (&self.servers[to], self.id(to));
        let begin = || {
            let (from, slot) = self.owner(key);
            let (source, from_id, slot) = (&self.servers[from], self.id(from), slot.to_string());
            target.try_command::<()>(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]).ok()?;
            source.try_command::<()>(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]).ok()?;
            Some((source, slot))
        };
        // A server that has not heard yet of an earlier move refuses, or names another owner.
        let mut tries = std::iter::repeat_with(|| {
            std::thread::sleep(std::time::Duration::from_millis(20));
            begin()
        });
        let (source, slot) = tries.by_ref().take(1_500).flatten().next().expect("the slot can move");
        // So that what is sent meanwhile has to ask.
        std::thread::sleep(std::time::Duration::from_millis(100));
        loop {
            let keys: Vec<String> = source.command(&["CLUSTER", "GETKEYSINSLOT", &slot, "10"]);
            if keys.is_empty() {
                break;
            }
            for key in keys {
                source.command::<String>(&["MIGRATE", "127.0.0.1", &target.port.to_string(), &key, "0", "5000"]);
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
        for server in [target, source] {
            server.command::<()>(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]);
        }
    }
}
