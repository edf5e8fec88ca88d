//! The servers of Redis: how they are found, and how they are connected to.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::seq::SliceRandom;
use redis::{Cmd, ConnectionAddr, ErrorKind, RedisConnectionInfo, RedisError, RedisResult, Value, cmd};
use rustls::ClientConfig;

use crate::connection::commands::{Commands, Pushed};
use crate::connection::map::{Address, AddressError, Map};
use crate::connection::topology::{Parsed, Topology, parse};
use crate::connection::{Connection, Endpoint, connect};
use crate::options::{RedisOptions, UrlError};

/// The servers that an adapter talks to.
pub(crate) struct Servers {
    topology: Topology,
    /// Where the only server is, if it is not reached by a network.
    socket: Option<PathBuf>,
    /// How connections are encrypted, if they are.
    tls: Option<Arc<ClientConfig>>,
    /// How to log in to a server.
    login: RedisConnectionInfo,
    /// How to log in to a sentinel.
    sentinel_login: RedisConnectionInfo,
    /// Where servers are reached that call themselves otherwise.
    reached_at: HashMap<Address, Address>,
    timeout: Duration,
    /// Whom to ask: the one that answered last.
    asked: Mutex<Option<(Address, Commands)>>,
}

impl Servers {
    /// Reads the url and the certificates; nothing is connected yet.
    pub(crate) fn new(options: &RedisOptions) -> Result<Self, UrlError> {
        let Parsed { topology, base } = parse(&options.url).map_err(|error| UrlError::new("the url", &error))?;
        let (is_encrypted, socket) = match base.addr() {
            ConnectionAddr::TcpTls { insecure: true, .. } => {
                let what = "`#insecure`, connections that are encrypted to whoever is there, is not supported";
                return Err(UrlError::new("the url", &(ErrorKind::InvalidClientConfig, what).into()));
            }
            ConnectionAddr::TcpTls { .. } => (true, None),
            ConnectionAddr::Unix(path) => (false, Some(path.clone())),
            _ => (false, None),
        };
        let unusable = |why: String| {
            let error = (ErrorKind::InvalidClientConfig, "of no use", why).into();
            UrlError::new("a certificate or key", &error)
        };
        let tls = match is_encrypted {
            true => Some(Arc::new(options.tls.client_config().map_err(|error| unusable(error.to_string()))?)),
            false if options.tls.is_empty() => None,
            false => {
                let why = "the url must begin with rediss, or the connection is not encrypted";
                return Err(unusable(why.to_owned()));
            }
        };
        let mut sentinel_login = RedisConnectionInfo::default();
        if let Some(user) = &options.sentinel.user {
            sentinel_login = sentinel_login.set_username(user);
        }
        if let Some(password) = &options.sentinel.password {
            sentinel_login = sentinel_login.set_password(password);
        }
        let login = base.redis_settings().clone();
        let reached_at = options.addresses.iter().map(|(named, real)| Ok((named.parse()?, real.parse()?)));
        let reached_at = reached_at.collect::<Result<_, AddressError>>().map_err(|AddressError| {
            let error = (ErrorKind::InvalidClientConfig, "it must be a host, a colon and a port").into();
            UrlError::new("an address", &error)
        })?;
        let (timeout, asked) = (options.timeout, Mutex::default());
        Ok(Self { topology, socket, tls, login, sentinel_login, reached_at, timeout, asked })
    }

    /// The number of the database.
    pub(crate) fn database(&self) -> i64 {
        self.login.db()
    }

    /// Whether each key has an owner of its own.
    pub(crate) fn is_cluster(&self) -> bool {
        matches!(self.topology, Topology::Cluster { .. })
    }

    /// The map, if there is nothing to ask for.
    pub(crate) fn fixed(&self) -> Option<Map> {
        match &self.topology {
            Topology::Single(address) => Some(Map::one(address.clone())),
            _ => None,
        }
    }

    /// Connects to a server. `handle` gets what is pushed; it must not wait.
    pub(crate) async fn connect(
        &self,
        address: &Address,
        response_timeout: Duration,
        handle: impl Fn(Pushed<'_>) + Send + Sync + 'static,
    ) -> RedisResult<Connection> {
        let endpoint = self.endpoint(address);
        let connection = connect(&endpoint, &self.login, self.timeout, response_timeout, handle).await?;
        self.check_role(&connection.commands).await?;
        Ok(connection)
    }

    /// Whether the server is a master, as far as it says. In a Redis Cluster the map tells that.
    ///
    /// Behind a fixed address there may be another master after a fail-over (a managed Redis, a virtual address, a service of
    /// Kubernetes), while the old one lives on as its replica: who stays with that hears and reaches only those who stay, too.
    ///
    /// # Errors
    ///
    /// It is a replica, or does not answer.
    pub(crate) async fn check_role(&self, commands: &Commands) -> RedisResult<()> {
        if self.is_cluster() {
            return Ok(());
        }
        match commands.send(&cmd("ROLE")).await? {
            Value::Array(parts) if parts.first() == Some(&Value::BulkString(b"slave".to_vec())) => Err(replica()),
            Value::Array(_) => Ok(()),
            // Users may not be allowed to ask.
            Value::ServerError(error) => {
                tracing::debug!(code = error.code(), "the server does not say whether it is a master");
                Ok(())
            }
            _ => Err(unexpected()),
        }
    }

    /// Asks who owns what now. Who is `avoided` has failed, and is asked last.
    pub(crate) async fn resolve(&self, known: Option<&Map>, avoided: Option<&Address>) -> RedisResult<Map> {
        let (question, mut servers, login) = match &self.topology {
            Topology::Single(address) => return Ok(Map::one(address.clone())),
            Topology::Sentinel { service, sentinels } => {
                let mut question = cmd("SENTINEL");
                question.arg("GET-MASTER-ADDR-BY-NAME").arg(service);
                (question, sentinels.clone(), &self.sentinel_login)
            }
            Topology::Cluster { seeds } => {
                let known = known.into_iter().flat_map(|map| map.owners().iter().chain(map.replicas()));
                let mut servers: Vec<_> = known.cloned().collect();
                servers.extend(seeds.iter().filter(|seed| !servers.contains(seed)).cloned().collect::<Vec<_>>());
                let mut question = cmd("CLUSTER");
                question.arg("SLOTS");
                (question, servers, &self.login)
            }
        };
        servers.shuffle(&mut rand::rng());
        servers.sort_by_key(|each| Some(each) == avoided);
        let mut last = self.asked.lock().take().filter(|(address, _)| avoided.is_none() && servers.contains(address));
        if let Some((address, _)) = &last {
            servers.sort_by_key(|each| each != address);
        }
        let mut failed = unexpected();
        for address in servers {
            let connected = last.take().map(|(_, connection)| connection);
            match self.ask(&question, &address, login, connected).await {
                Ok((map, connection)) => {
                    *self.asked.lock() = Some((address, connection));
                    return Ok(map);
                }
                Err(error) => {
                    tracing::debug!(server = %address, %error, "it does not say who is master");
                    failed = error;
                }
            }
        }
        Err(failed)
    }

    async fn ask(
        &self,
        question: &Cmd,
        address: &Address,
        login: &RedisConnectionInfo,
        connected: Option<Commands>,
    ) -> RedisResult<(Map, Commands)> {
        let patience = self.timeout.min(PATIENCE);
        let commands = match connected {
            Some(commands) => commands,
            None => connect(&self.endpoint(address), login, patience, patience, |_| {}).await?.commands,
        };
        let answer = commands.send(question).await?.extract_error()?;
        let map = match self.topology {
            Topology::Sentinel { .. } => Map::one(master(answer)?),
            _ => Map::read(answer, address)
                .ok_or_else(|| RedisError::from((ErrorKind::UnexpectedReturnType, "a cluster without slots")))?,
        };
        Ok((map, commands))
    }

    /// How a server is reached.
    fn endpoint(&self, address: &Address) -> Endpoint {
        match &self.socket {
            Some(path) => Endpoint::Unix(path.clone()),
            None => {
                let Address { host, port } = self.reached_at.get(address).unwrap_or(address).clone();
                Endpoint::Tcp { host, port, tls: self.tls.clone() }
            }
        }
    }
}

/// The master that a sentinel names.
fn master(answer: Value) -> RedisResult<Address> {
    let parts = match answer {
        Value::Nil => return Err((ErrorKind::MasterNameNotFoundBySentinel, "no such service").into()),
        Value::Array(parts) => parts,
        _ => return Err(unexpected()),
    };
    match <[Value; 2]>::try_from(parts) {
        Ok([Value::BulkString(host), Value::BulkString(port)]) => {
            let text = |bytes| String::from_utf8(bytes).map_err(|_| unexpected());
            let port = text(port)?.parse().map_err(|_| unexpected())?;
            Ok(Address::new(&text(host)?, port))
        }
        _ => Err(unexpected()),
    }
}

fn replica() -> RedisError {
    let text = "the server is a replica: who is connected to it does not reach those who are connected to its master";
    (ErrorKind::InvalidClientConfig, text).into()
}

fn unexpected() -> RedisError {
    (ErrorKind::UnexpectedReturnType, "an answer that says nothing of masters").into()
}

/// How long a server may take to say who is master, at most: the next one is asked then.
const PATIENCE: Duration = Duration::from_secs(2);
