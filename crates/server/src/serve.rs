//! Serves until asked to stop.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use sockeye::peers::{PeerError, PeerOptions};
use sockeye::{Server, ServerBuilder};
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::task::TaskTracker;

use crate::admin;
use crate::backend::Backend;
use crate::config::{Config, NamespaceRule};
use crate::log::complain;
use crate::metrics::{Metrics, Sources};
use crate::readiness::{Phase, Readiness};
use crate::routes::{Stopping, install};
use crate::signals::Signals;
use crate::{log, page, startup, sticky, tls};

/// Serves until a signal. The exit status is that of the process.
pub(crate) fn run(config: Config) -> ExitCode {
    let log = match log::start(&config.log) {
        Ok(log) => log,
        Err(error) => return complain(&[format!("cannot start threads: {error}")]),
    };
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    // Every connection is a file, and the usual limit is far below what the machine can hold.
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(files) => tracing::debug!(files, "the limit of open files"),
        Err(error) => tracing::warn!(%error, "the limit of open files could not be raised"),
    }
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(workers) = config.workers {
        builder.worker_threads(workers);
    }
    let runtime = match builder.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&[format!("cannot start threads: {error}")]),
    };
    let code = runtime.block_on(serve(config, log.is_text));
    // What has not ended by now had its time.
    runtime.shutdown_timeout(Duration::from_millis(100));
    code
}

async fn serve(config: Config, is_text: bool) -> ExitCode {
    let (local, listener) = match listen(&config).await {
        Ok(listening) => listening,
        Err(error) => return complain(&[cannot_listen(&config, &error)]),
    };
    let mut signals = match Signals::catch() {
        Ok(signals) => signals,
        Err(error) => return complain(&[format!("cannot catch signals: {error}")]),
    };
    // Threads of their own suit connections whose handlers do not wait. What goes through a cluster does, and some routes.
    let waits = config.cluster.is_some() || config.namespaces.iter().any(NamespaceRule::may_wait);
    let mut builder = ServerBuilder::from(config.options.clone()).dedicated_threads(!waits);
    if let Some(cluster) = &config.cluster {
        let backend = cluster.backend.clone();
        builder = builder.adapter(move |local| backend.adapter(local));
    }
    let server = builder.build();
    let readiness = Readiness::new(config.cluster.as_ref().map(|cluster| cluster.backend.clone()));
    let admin = match start_admin(&config, &server, &readiness).await {
        Ok(address) => address,
        Err(error) => return complain(&[error]),
    };
    let stopping = Stopping::default();
    install(&server, &config.namespaces, &stopping);
    // Who asks whether the server is ready does not wait for a client: it may be what sends the clients.
    server.start();
    if let Some(cluster) = &config.cluster
        && let Some(peers) = &cluster.peers
    {
        let joined = tokio::select! {
            joined = join_peers(&server, peers, &*cluster.backend) => joined,
            (signal, _) = signals.next() => {
                tracing::info!(signal, "stopped before it has served");
                return ExitCode::SUCCESS;
            }
        };
        if let Err(error) = joined {
            return complain(&[match error {
                PeerError::Listen(error) => cannot_listen_for("cluster.peers", peers.listen, &error),
                error => format!("cluster.peers: {error}"),
            }]);
        }
    }
    if config.cluster.as_ref().is_some_and(|cluster| cluster.peers.is_none()) {
        tokio::spawn(sticky::watch(server.clone()));
    }
    match is_text {
        true => print(&startup::banner(&config, local, admin)),
        false => startup::log(&config, local),
    }
    readiness.set(Phase::Serving);
    let tasks = TaskTracker::new();
    let router = page::router(config.demo, &config.options);
    let listening = async {
        match config.tls {
            Some(tls) => tls::serve(server.clone(), listener, tls, router, tasks.clone()).await,
            None => server.serve(listener, router).await,
        }
    };
    let stop = async {
        let (signal, _) = signals.next().await;
        tracing::info!(signal, "stopping; clients are told to come back");
        readiness.set(Phase::Stopping);
        stopping.set();
    };
    tokio::pin!(listening);
    let is_listening = tokio::select! {
        // It ends only when the server is closed.
        () = &mut listening => false,
        () = stop => true,
    };
    let closed = async {
        let closed = close(&server, &tasks, config.shutdown_timeout);
        // Long-polling clients come for what was sent to them, on new connections perhaps.
        if is_listening { tokio::join!(closed, listening).0 } else { closed.await }
    };
    tokio::select! {
        code = closed => code,
        (signal, status) = signals.next() => {
            tracing::warn!(signal, "stopping at once");
            log::flush();
            #[expect(clippy::exit, reason = "nothing is waited for any more")]
            std::process::exit(status)
        }
    }
}

/// Starts what operators ask, if that is wanted; gives back where it is.
async fn start_admin(config: &Config, server: &Server, readiness: &Readiness) -> Result<Option<SocketAddr>, String> {
    let Some(admin) = &config.admin else { return Ok(None) };
    let cluster = config.cluster.as_ref();
    let metrics = Metrics::new(Sources {
        server: server.clone(),
        readiness: readiness.clone(),
        backend: cluster.map(|cluster| cluster.backend.clone()),
        peers: cluster.and_then(|cluster| cluster.peers.as_ref()).map(|peers| peers.metrics.clone()),
    });
    let started = admin::start(admin, readiness.clone(), metrics).await;
    let address = started.map_err(|error| cannot_listen_for("admin", admin.address, &error))?;
    tracing::info!(%address, "the listener for operators");
    Ok(Some(address))
}

/// Joins the other nodes. While the broker is not reached it tries again: sessions that begin before would be found by no other node.
async fn join_peers(server: &Server, options: &PeerOptions, backend: &dyn Backend) -> Result<(), PeerError> {
    loop {
        match server.join_peers(options.clone(), backend.directory()).await {
            Err(PeerError::Directory(error)) => tracing::warn!(%error, "cannot join the other nodes yet"),
            joined => return joined,
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Listens on the first address of the host that can be listened on.
async fn listen(config: &Config) -> io::Result<(SocketAddr, TcpListener)> {
    let mut result = Err(io::Error::new(io::ErrorKind::AddrNotAvailable, "the host has no address"));
    for address in tokio::net::lookup_host((config.host.as_str(), config.port)).await? {
        result = listen_on(address);
        if result.is_ok() {
            break;
        }
    }
    result
}

fn listen_on(address: SocketAddr) -> io::Result<(SocketAddr, TcpListener)> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // On Windows it would mean to take the port from another program.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener = socket.listen(BACKLOG)?;
    Ok((listener.local_addr()?, listener))
}

/// Connections that the system accepts before we do: all clients come at once after a restart.
const BACKLOG: u32 = 4096;

async fn close(server: &Server, tasks: &TaskTracker, timeout: Duration) -> ExitCode {
    tasks.close();
    let closed = async {
        server.close().await;
        tasks.wait().await;
    };
    match tokio::time::timeout(timeout, closed).await {
        Ok(()) => tracing::info!("stopped"),
        Err(_) => tracing::warn!("server.shutdown_timeout has passed; some connections were cut"),
    }
    ExitCode::SUCCESS
}

/// What is wrong with the listener of a table of the configuration.
fn cannot_listen_for(table: &str, address: SocketAddr, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("{table}.listen: {address} is in use by another program\nchoose another with listen in [{table}]")
        }
        _ => format!("{table}.listen: cannot listen on {address}: {error}"),
    }
}

fn cannot_listen(config: &Config, error: &io::Error) -> String {
    let (host, port) = (&config.host, config.port);
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "port {port} is in use by another program\n\
             choose another with --port, with the environment variable PORT, or with port in [server]"
        ),
        io::ErrorKind::PermissionDenied => {
            format!("this user may not listen on port {port}: choose one from 1024 on, with --port for example")
        }
        io::ErrorKind::AddrNotAvailable => {
            format!("{host} is not an address of this machine: see --host, or host in [server]")
        }
        _ => format!("cannot listen on {host} port {port}: {error}"),
    }
}

/// Prints to standard output. Where that is gone, nobody reads it.
fn print(text: &str) {
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes()).and_then(|()| output.flush()).unwrap_or_default();
}
