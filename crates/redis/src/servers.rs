//! The servers of Redis: how they are found, and how they are connected to.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use rand::seq::SliceRandom;
use redis::aio::MultiplexedConnection;
use redis::{
    Client, ClientTlsConfig, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, ProtocolVersion, PushInfo, RedisError,
    RedisResult, TlsCertificates, Value, cmd,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::adapter::UrlError;
use crate::connection::{Connection, connect};
use crate::map::{Address, AddressError, Map};
use crate::options::RedisOptions;
use crate::topology::{Parsed, Topology, parse};

/// The servers that an adapter talks to.
pub(crate) struct Servers {
    topology: Topology,
    /// How to connect to a server, its address aside.
    base: ConnectionInfo,
    /// How to connect to a sentinel, its address aside.
    sentinel: ConnectionInfo,
    /// Where servers are reached that call themselves otherwise.
    reached_at: HashMap<Address, Address>,
    timeout: Duration,
    /// Whom to ask: the one that answered last.
    asked: Mutex<Option<(Address, MultiplexedConnection)>>,
}

impl Servers {
    /// Reads the url and the certificates; nothing is connected yet.
    pub(crate) fn new(options: &RedisOptions) -> Result<Self, UrlError> {
        let Parsed { topology, base } = parse(&options.url).map_err(|error| UrlError::new("the url", &error))?;
        let base = with_certificates(base, options).map_err(|error| UrlError::new("a certificate or key", &error))?;
        let settings = base.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let tcp = base.tcp_settings().clone().set_nodelay(true);
        let base = base.set_redis_settings(settings).set_tcp_settings(tcp);
        let mut login = redis::RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP3);
        if let Some(user) = &options.sentinel.user {
            login = login.set_username(user);
        }
        if let Some(password) = &options.sentinel.password {
            login = login.set_password(password);
        }
        let sentinel = base.clone().set_redis_settings(login);
        let reached_at = options.addresses.iter().map(|(named, real)| Ok((named.parse()?, real.parse()?)));
        let reached_at = reached_at.collect::<Result<_, AddressError>>().map_err(|AddressError| {
            let error = (ErrorKind::InvalidClientConfig, "it must be a host, a colon and a port").into();
            UrlError::new("an address", &error)
        })?;
        Ok(Self { topology, base, sentinel, reached_at, timeout: options.timeout, asked: Mutex::default() })
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
        handle: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> RedisResult<Connection> {
        let info = match self.topology {
            Topology::Single(_) => self.base.clone(),
            _ => self.at(&self.base, address),
        };
        let mut connection = connect(&Client::open(info)?, self.timeout, response_timeout, handle).await?;
        if let Topology::Sentinel { .. } = self.topology {
            let role = connection.commands.send_packed_command(&cmd("ROLE")).await?.extract_error()?;
            let Value::Array(parts) = role else { return Err(unexpected()) };
            if parts.first() != Some(&Value::BulkString(b"master".to_vec())) {
                return Err((ErrorKind::InvalidClientConfig, "the server that the sentinels name is no master").into());
            }
        }
        Ok(connection)
    }

    /// Asks who owns what now. Who is `avoided` has failed, and is asked last.
    pub(crate) async fn resolve(&self, known: Option<&Map>, avoided: Option<&Address>) -> RedisResult<Map> {
        let (question, mut servers, info) = match &self.topology {
            Topology::Single(address) => return Ok(Map::one(address.clone())),
            Topology::Sentinel { service, sentinels } => {
                let mut question = cmd("SENTINEL");
                question.arg("GET-MASTER-ADDR-BY-NAME").arg(service);
                (question, sentinels.clone(), &self.sentinel)
            }
            Topology::Cluster { seeds } => {
                let known = known.into_iter().flat_map(|map| map.owners().iter().chain(map.replicas()));
                let mut servers: Vec<_> = known.cloned().collect();
                servers.extend(seeds.iter().filter(|seed| !servers.contains(seed)).cloned().collect::<Vec<_>>());
                let mut question = cmd("CLUSTER");
                question.arg("SLOTS");
                (question, servers, &self.base)
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
            match self.ask(&question, &address, info, connected).await {
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
        info: &ConnectionInfo,
        connected: Option<MultiplexedConnection>,
    ) -> RedisResult<(Map, MultiplexedConnection)> {
        let patience = self.timeout.min(PATIENCE);
        let mut connection = match connected {
            Some(connection) => connection,
            None => connect(&Client::open(self.at(info, address))?, patience, patience, |_| {}).await?.commands,
        };
        let answer = connection.send_packed_command(question).await?.extract_error()?;
        let map = match self.topology {
            Topology::Sentinel { .. } => Map::one(master(answer)?),
            _ => Map::read(answer, address)
                .ok_or_else(|| RedisError::from((ErrorKind::UnexpectedReturnType, "a cluster without slots")))?,
        };
        Ok((map, connection))
    }

    /// How to connect to another address in the same way.
    fn at(&self, info: &ConnectionInfo, address: &Address) -> ConnectionInfo {
        let address = self.reached_at.get(address).unwrap_or(address);
        let host = address.host.to_string();
        let port = address.port;
        info.clone().set_addr(match info.addr() {
            ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
                ConnectionAddr::TcpTls { host, port, insecure: *insecure, tls_params: tls_params.clone() }
            }
            _ => ConnectionAddr::Tcp(host, port),
        })
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

/// With the certificates of the options, which are read here.
fn with_certificates(base: ConnectionInfo, options: &RedisOptions) -> RedisResult<ConnectionInfo> {
    let tls = &options.tls;
    let is_encrypted = matches!(base.addr(), ConnectionAddr::TcpTls { .. });
    if is_encrypted && rustls::crypto::CryptoProvider::get_default().is_none() {
        // Another thread may have been faster, with what the program prefers.
        let _theirs = rustls::crypto::aws_lc_rs::default_provider().install_default();
    }
    let client_tls = match (&tls.certificate, &tls.key) {
        (Some(certificate), Some(key)) => {
            Some(ClientTlsConfig { client_cert: certificate.clone(), client_key: key.clone() })
        }
        (None, None) => None,
        _ => return Err((ErrorKind::InvalidClientConfig, "one without the other: both are needed, or none").into()),
    };
    if client_tls.is_none() && tls.ca.is_none() {
        return Ok(base);
    }
    if !is_encrypted {
        return Err((
            ErrorKind::InvalidClientConfig,
            "the url must begin with rediss, or the connection is not encrypted",
        )
            .into());
    }
    for pem in [&tls.ca, &tls.certificate].into_iter().flatten() {
        let mut found = CertificateDer::pem_slice_iter(pem).peekable();
        if found.peek().is_none() || found.any(|each| each.is_err()) {
            return Err((ErrorKind::InvalidClientConfig, "there is no certificate in it, in PEM").into());
        }
    }
    let certificates = TlsCertificates { client_tls, root_cert: tls.ca.clone() };
    Ok(Client::build_with_tls(base, certificates)?.get_connection_info().clone())
}

fn unexpected() -> RedisError {
    (ErrorKind::UnexpectedReturnType, "an answer that says nothing of masters").into()
}

/// How long a server may take to say who is master, at most: the next one is asked then.
const PATIENCE: Duration = Duration::from_secs(2);
