//! Connections to Redis: how they are made, how their end is noticed, and how long to wait before the next.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use redis::{ErrorKind, RedisConnectionInfo, RedisError, RedisResult, Value, cmd};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use crate::connection::commands::{Commands, Pushed};
use crate::options::RedisOptions;

/// A connection.
pub(crate) struct Connection {
    pub(crate) commands: Commands,
    /// Is notified when the connection is lost.
    pub(crate) lost: Arc<Notify>,
}

/// Where a server is.
#[derive(Clone)]
pub(crate) enum Endpoint {
    Tcp { host: Arc<str>, port: u16, tls: Option<Arc<ClientConfig>> },
    Unix(PathBuf),
}

/// Connects and logs in, which may take as long as `patience`. `handle` gets what is pushed: the messages of channels, and which
/// channels are heard; it must not wait.
pub(crate) async fn connect(
    endpoint: &Endpoint,
    login: &RedisConnectionInfo,
    patience: Duration,
    response_timeout: Duration,
    handle: impl Fn(Pushed<'_>) + Send + Sync + 'static,
) -> RedisResult<Connection> {
    let lost = Arc::new(Notify::new());
    let connected = async {
        let commands = match endpoint {
            Endpoint::Tcp { host, port, tls } => {
                let stream = TcpStream::connect((&**host, *port)).await?;
                stream.set_nodelay(true)?;
                match tls {
                    None => Commands::start(stream, response_timeout, lost.clone(), handle),
                    Some(config) => {
                        let name = ServerName::try_from(host.to_string()).map_err(std::io::Error::other)?;
                        let stream = TlsConnector::from(config.clone()).connect(name, stream).await?;
                        Commands::start(stream, response_timeout, lost.clone(), handle)
                    }
                }
            }
            #[cfg(unix)]
            Endpoint::Unix(path) => {
                let stream = tokio::net::UnixStream::connect(path).await?;
                Commands::start(stream, response_timeout, lost.clone(), handle)
            }
            #[cfg(not(unix))]
            Endpoint::Unix(path) => {
                let what = format!("this system has no Unix sockets: {}", path.display());
                return Err(std::io::Error::new(std::io::ErrorKind::Unsupported, what).into());
            }
        };
        log_in(&commands, login).await?;
        Ok(commands)
    };
    let late = |_| Err(RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut)));
    let commands = timeout(patience, connected).await.unwrap_or_else(late)?;
    Ok(Connection { commands, lost })
}

/// Says who this is, that it speaks RESP3, and which database it uses.
async fn log_in(commands: &Commands, login: &RedisConnectionInfo) -> RedisResult<()> {
    let mut hello = cmd("HELLO");
    hello.arg(3);
    if let Some(password) = login.password() {
        hello.arg("AUTH").arg(login.username().unwrap_or("default")).arg(password);
    }
    if let Value::ServerError(error) = commands.send(&hello).await? {
        if matches!(error.code(), "WRONGPASS" | "NOAUTH") {
            let what = "Redis does not take the user and the password";
            return Err((ErrorKind::AuthenticationFailed, what, error.to_string()).into());
        }
        return Err(error.into());
    }
    if login.db() != 0 {
        commands.send(cmd("SELECT").arg(login.db())).await?.extract_error()?;
    }
    Ok(())
}

/// How long to wait before the next try: twice as long each time, and not again so long once a connection has lasted.
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
    tried: Instant,
}

impl Backoff {
    pub(crate) fn new(options: &RedisOptions) -> Self {
        let RedisOptions { min_backoff, max_backoff, .. } = *options;
        Self { min: min_backoff, max: max_backoff, next: min_backoff, tried: Instant::now() }
    }

    /// Waits; called when a try has failed, or its connection has ended.
    pub(crate) async fn wait(&mut self) {
        if self.tried.elapsed() > self.max {
            self.next = self.min;
        }
        // Half of it is chance, so that the nodes do not come back all at once.
        tokio::time::sleep(self.next.mul_f64(rand::random_range(0.5..1.0))).await;
        self.next = (self.next * 2).min(self.max);
        self.tried = Instant::now();
    }
}

/// How long to wait before what a server could not do now is tried again.
pub(crate) const RETRY: Duration = Duration::from_millis(50);
