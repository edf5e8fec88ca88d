//! Joining the other nodes: the listener for their requests, and the announcement of where it is.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::directory::{Directory, DirectoryError};
use super::node::{Peers, REFUSED, places};
use super::options::PeerOptions;
use crate::application::Application;
use crate::http::{handle, is_ours};
use crate::server::Server;
use crate::server::start;

/// Why a node could not join the others.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PeerError {
    /// The secret is too short: take at least [`PeerOptions::MIN_SECRET`] random bytes.
    #[error("the secret of the nodes is too short: {0} bytes")]
    Secret(usize),
    /// The address cannot be listened on.
    #[error("the listener for other nodes: {0}")]
    Listen(#[from] io::Error),
    /// The directory did not take the address.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The server makes its own session ids, with [`generate_id`](crate::Options::set_generate_id): they name no node.
    #[error("the server generates its own session ids, which name no node (generate_id)")]
    GeneratesIds,
    /// The server has joined before.
    #[error("the server has joined its peers already")]
    Joined,
}

/// How long a connection may be without a request; those of other nodes end sooner, by themselves.
const SILENCE: Duration = Duration::from_secs(90);
/// The most that the headers of a request may take: what a client's may, and what is added.
const MAX_HEADER_BYTES: usize = 34 * 1024;
/// The shortest time from one announcement to the next.
const MIN_PAUSE: Duration = Duration::from_millis(100);
/// How long to wait after a failure to accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

impl<A: Application> Server<A> {
    /// Makes this server one of several nodes that need no sticky sessions: a load balancer may send each request to any of
    /// them. Session ids name, unreadably, the node that has the session; a node that gets a request for another's session
    /// forwards it there. See the [module](crate::peers).
    ///
    /// Call it before clients come: sessions that are there already are not found by other nodes. Path, CORS and limits
    /// should be the same on all nodes. [`close`](Self::close) makes the node leave.
    ///
    /// # Errors
    ///
    /// The node did not join, and works alone: see [`PeerError`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped the node has not joined, though it may be in the directory until its time to live is over.
    pub async fn join_peers(&self, options: PeerOptions, directory: impl Directory) -> Result<(), PeerError> {
        if options.secret.len() < PeerOptions::MIN_SECRET {
            return Err(PeerError::Secret(options.secret.len()));
        }
        if self.app().engine().options.hooks.generates_ids() {
            return Err(PeerError::GeneratesIds);
        }
        if self.app().engine().peers.get().is_some() {
            return Err(PeerError::Joined);
        }
        start(self.app());
        let listener = TcpListener::bind(options.listen).await?;
        let directory: Arc<dyn Directory> = Arc::new(directory);
        let peers = Arc::new(Peers::new(&options, directory.clone()));
        let address = match &options.advertise {
            Some(address) => address.clone(),
            None => listener.local_addr()?.to_string(),
        };
        let announcement = Announcement { peers: peers.clone(), directory, address, options };
        announcement.announce().await?;
        if self.app().engine().peers.set(peers.clone()).is_err() {
            return Err(PeerError::Joined);
        }
        let mut stopping = self.app().engine().stopping_signal();
        let incoming = places(announcement.options.max_incoming);
        // Neither holds the server, which may be dropped.
        let app = Arc::downgrade(self.app());
        let _detached = tokio::spawn(async move {
            while let Some(stream) = accept(&listener, &mut stopping).await {
                let (Ok(place), Some(app)) = (incoming.clone().acquire_owned().await, app.upgrade()) else {
                    return;
                };
                let peers = peers.clone();
                let connection = serve(app.clone(), peers, stream);
                app.engine().spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
        });
        self.app().engine().spawn(announcement.renew(self.app().engine().stopping_signal()));
        Ok(())
    }
}

/// What the directory is told.
struct Announcement {
    peers: Arc<Peers>,
    directory: Arc<dyn Directory>,
    address: String,
    options: PeerOptions,
}

impl Announcement {
    async fn announce(&self) -> Result<(), DirectoryError> {
        let announce = self.directory.announce(self.peers.tag(), &self.address, self.options.time_to_live);
        let late = |_| Err(DirectoryError("it does not answer".to_owned()));
        tokio::time::timeout(self.options.connect_timeout, announce).await.unwrap_or_else(late)
    }

    /// Renews the address until the server closes and has told its clients, who may come by way of other nodes; then takes it back.
    async fn renew(self, mut stopping: watch::Receiver<bool>) {
        let pause = (self.options.time_to_live / 3).max(MIN_PAUSE);
        while tokio::time::timeout(pause, stopped(&mut stopping)).await.is_err() {
            if let Err(error) = self.announce().await {
                tracing::warn!(%error, "this node's address was not renewed");
            }
        }
        let withdraw = self.directory.withdraw(self.peers.tag());
        if let Ok(Err(error)) = tokio::time::timeout(self.options.connect_timeout, withdraw).await {
            tracing::warn!(%error, "this node's address was not taken back");
        }
    }
}

/// Waits until the server accepts nothing any more, or is gone.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    let _stopping = stopping.wait_for(|stopping| *stopping).await;
}

/// The next connection of another node, or `None` once the server accepts nothing any more.
async fn accept(listener: &TcpListener, stopping: &mut watch::Receiver<bool>) -> Option<TcpStream> {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(stopping) => return None,
        };
        match accepted {
            Ok((stream, _)) => {
                let _kept_as_it_was = stream.set_nodelay(true);
                return Some(stream);
            }
            Err(error) => {
                tracing::warn!(%error, "accept failed on the listener for other nodes");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves a connection of another node until it ends or becomes a WebSocket.
async fn serve<A: Application>(app: Arc<A>, peers: Arc<Peers>, stream: TcpStream) {
    let mut stopping = app.engine().stopping_signal();
    let service = service_fn(move |request| {
        let (app, peers) = (app.clone(), peers.clone());
        async move { Ok::<_, Infallible>(serve_request(&app, &peers, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(SILENCE)
        .max_buf_size(MAX_HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stopped(&mut stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection of another node ended");
    }
}

async fn serve_request<A: Application>(
    app: &Arc<A>,
    peers: &Peers,
    mut request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    if peers.accept(&mut request).is_none() || !is_ours(app.engine(), request.uri().path()) {
        peers.metrics().request_refused();
        let mut response = Response::new(Full::default());
        *response.status_mut() = REFUSED;
        return response;
    }
    handle(app, request).await
}
