//! Where Redis may be: one server, sentinels, a cluster; with TLS or without.

use std::sync::Arc;

use redis::FromRedisValue;
use sockeye_redis::{Mode, RedisOptions};

use super::Redis;
use super::redis_cluster::RedisCluster;
use super::sentinels::{SERVICE, Sentinels};
use super::server::Server;
use super::tls::Secrets;

/// Some servers of Redis, that nodes reach by ways of their own.
pub(crate) trait Topology: Send + Sync + Sized + 'static {
    fn start() -> Self;

    /// The ports of all servers.
    fn ports(&self) -> Vec<u16>;

    /// How to get there; `way` gives the port that stands for another.
    fn options(&self, mode: Mode, way: &dyn Fn(u16) -> u16) -> RedisOptions;

    /// Sends a command to the server that has this key.
    fn command_at<T: FromRedisValue>(&self, key: &str, words: &[&str]) -> T;

    /// Whether others use it too, so that names must be kept apart.
    fn is_shared(&self) -> bool {
        false
    }
}

impl Topology for Redis {
    fn start() -> Self {
        Self::started()
    }

    fn ports(&self) -> Vec<u16> {
        vec![self.port]
    }

    fn options(&self, mode: Mode, way: &dyn Fn(u16) -> u16) -> RedisOptions {
        RedisOptions::new(format!("redis://127.0.0.1:{}/", way(self.port)), mode)
    }

    fn command_at<T: FromRedisValue>(&self, _: &str, words: &[&str]) -> T {
        self.command(words)
    }
}

/// One server, with TLS, a certificate of the client, and a user.
pub(crate) struct Encrypted {
    pub(crate) server: Server,
    pub(crate) secrets: Secrets,
}

impl Topology for Encrypted {
    fn start() -> Self {
        let secrets = Secrets::new();
        Self { server: Server::start("", Some(&secrets)), secrets }
    }

    fn ports(&self) -> Vec<u16> {
        vec![self.server.port]
    }

    fn options(&self, mode: Mode, way: &dyn Fn(u16) -> u16) -> RedisOptions {
        let url = self.secrets.url("rediss", &[way(self.server.port)]);
        with_secrets(RedisOptions::new(url, mode), &self.secrets)
    }

    fn command_at<T: FromRedisValue>(&self, _: &str, words: &[&str]) -> T {
        self.server.command(words)
    }
}

fn with_secrets(mut options: RedisOptions, secrets: &Secrets) -> RedisOptions {
    options.tls.ca = Some(secrets.ca.clone());
    options.tls.certificate = Some(secrets.cert.clone());
    options.tls.key = Some(secrets.key.clone());
    options
}

impl Topology for RedisCluster {
    fn start() -> Self {
        Self::start(1_000, true, None)
    }

    fn ports(&self) -> Vec<u16> {
        self.servers.iter().map(|server| server.port).collect()
    }

    fn options(&self, mode: Mode, way: &dyn Fn(u16) -> u16) -> RedisOptions {
        // A server that is not there is asked too.
        let url = match &self.secrets {
            Some(secrets) => secrets.url("rediss+cluster", &self.ports()),
            None => format!("redis+cluster://127.0.0.1:1,127.0.0.1:{}", self.servers[0].port),
        };
        let options = through(RedisOptions::new(url, mode), self.ports(), way);
        match &self.secrets {
            Some(secrets) => with_secrets(options, secrets),
            None => options,
        }
    }

    fn command_at<T: FromRedisValue>(&self, key: &str, words: &[&str]) -> T {
        self.servers[self.owner(key).0].command(words)
    }
}

fn through(mut options: RedisOptions, ports: Vec<u16>, way: &dyn Fn(u16) -> u16) -> RedisOptions {
    let address = |port: u16| format!("127.0.0.1:{port}");
    options.addresses = ports.into_iter().map(|port| (address(port), address(way(port)))).collect();
    options
}

impl Topology for Sentinels {
    fn start() -> Self {
        Self::start(500, None)
    }

    fn ports(&self) -> Vec<u16> {
        self.servers.iter().chain(&self.sentinels).map(|server| server.port).collect()
    }

    fn options(&self, mode: Mode, way: &dyn Fn(u16) -> u16) -> RedisOptions {
        let ports: Vec<_> = self.sentinels.iter().map(|sentinel| sentinel.port).collect();
        match &self.secrets {
            Some(secrets) => {
                let url = format!("{}/{SERVICE}", secrets.url("rediss+sentinel", &ports));
                let mut options = with_secrets(RedisOptions::new(url, mode), secrets);
                options.sentinel.user = Some("sockeye".to_owned());
                options.sentinel.password = Some(super::tls::PASSWORD.to_owned());
                through(options, self.ports(), way)
            }
            None => {
                let url =
                    format!("redis+sentinel://127.0.0.1:1,127.0.0.1:{},127.0.0.1:{}/{SERVICE}", ports[0], ports[1]);
                through(RedisOptions::new(url, mode), self.ports(), way)
            }
        }
    }

    fn command_at<T: FromRedisValue>(&self, _: &str, words: &[&str]) -> T {
        self.servers[self.master()].command(words)
    }
}

/// With TLS, certificates of the clients, and a user.
pub(crate) struct Secure<P>(pub(crate) P);

macro_rules! secure {
    ($($place:ident = $start:expr;)+) => {$(
        impl Topology for Secure<$place> {
            fn start() -> Self {
                Self($start)
            }

            fn ports(&self) -> Vec<u16> {
                self.0.ports()
            }

            fn options(&self, mode: Mode, way: &dyn Fn(u16) -> u16) -> RedisOptions {
                self.0.options(mode, way)
            }

            fn command_at<T: FromRedisValue>(&self, key: &str, words: &[&str]) -> T {
                self.0.command_at(key, words)
            }
        }
    )+};
}
secure! {
    RedisCluster = RedisCluster::start(5_000, false, Some(Secrets::new()));
    Sentinels = Sentinels::start(500, Some(Secrets::new()));
}

/// What all tests of a program share.
pub(crate) struct Shared<P>(pub(crate) Arc<P>);

macro_rules! shared {
    ($($place:ident),+) => {$(
        impl Topology for Shared<$place> {
            fn start() -> Self {
                Self($place::shared())
            }

            fn ports(&self) -> Vec<u16> {
                self.0.ports()
            }

            fn options(&self, mode: Mode, way: &dyn Fn(u16) -> u16) -> RedisOptions {
                self.0.options(mode, way)
            }

            fn command_at<T: FromRedisValue>(&self, key: &str, words: &[&str]) -> T {
                self.0.command_at(key, words)
            }

            fn is_shared(&self) -> bool {
                true
            }
        }
    )+};
}
shared!(RedisCluster, Sentinels);
