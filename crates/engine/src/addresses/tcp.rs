//! TCP connections that speak HTTP: how many an address may have, which gives way to a new one, and what each may open.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use http::Request;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tower_service::Service;

use super::{Addresses, Key, Kind};
use crate::id::Id;
use crate::metrics::{Bound, Metrics};

/// A TCP connection of the server's own listener, while it speaks HTTP. What a WebSocket has taken over is a session only.
pub(crate) struct TcpConnection {
    addresses: Arc<Addresses>,
    key: Key,
    number: u64,
    /// No request has come yet.
    is_silent: AtomicBool,
    is_gone: AtomicBool,
    evicted: Notify,
    /// The sessions that were opened on it and may be in no namespace yet, in order.
    unjoined: Mutex<Opened>,
}

#[derive(Default)]
struct Opened {
    ids: VecDeque<Id>,
    /// How many were entered since it was last looked which of them have joined.
    since: usize,
}

/// A TCP connection is served for as long as this lives.
pub(crate) struct Served {
    metrics: Arc<Metrics>,
    connection: Arc<TcpConnection>,
}

impl Served {
    /// A TCP connection has come. None: there are too many, and it is to be closed.
    ///
    /// An address that has its share already gives up its oldest connection on which no request has come.
    pub(crate) fn begin(
        addresses: &Arc<Addresses>,
        metrics: &Arc<Metrics>,
        limit: usize,
        peer: Option<SocketAddr>,
    ) -> Option<Self> {
        let key = addresses.key_of_peer(peer);
        let give_way = || {
            metrics.bound_reached(Bound::TcpConnections, "a TCP connection");
            addresses.take_silent(key).inspect(|oldest| oldest.give_way()).is_some()
        };
        addresses.place_or(key, Kind::Connections, limit, give_way)?.keep();
        let connection = Arc::new(TcpConnection {
            addresses: addresses.clone(),
            key,
            number: addresses.next.fetch_add(1, Ordering::Relaxed),
            is_silent: AtomicBool::new(true),
            is_gone: AtomicBool::new(false),
            evicted: Notify::new(),
            unjoined: Mutex::default(),
        });
        addresses.change(key, |held| {
            let silent = &mut held.yielding.get_or_insert_default().silent;
            silent.insert(connection.number, Arc::downgrade(&connection));
        });
        metrics.tcp_connections.add(1);
        Some(Self { metrics: metrics.clone(), connection })
    }

    /// Waits until the connection has to give way to a newer one.
    pub(crate) async fn evicted(&self) {
        self.connection.evicted.notified().await;
    }

    /// A service that tells the requests of this connection.
    pub(crate) fn watch<S>(&self, service: S) -> Watched<S> {
        Watched { service, connection: self.connection.clone() }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.connection.note_request();
        self.connection.release();
        self.metrics.tcp_connections.add(-1);
    }
}

impl Addresses {
    /// The oldest connection of an address on which no request has come.
    pub(crate) fn take_silent(&self, key: Key) -> Option<Arc<TcpConnection>> {
        let mut oldest = None;
        self.change(key, |held| {
            oldest = held.yielding.as_mut().and_then(|yielding| yielding.silent.pop_first());
        });
        oldest?.1.upgrade()
    }
}

impl TcpConnection {
    /// A request has come, or will not any more: the connection does not have to give way now.
    fn note_request(&self) {
        if self.is_silent.load(Ordering::Relaxed) && self.is_silent.swap(false, Ordering::AcqRel) {
            self.addresses.change(self.key, |held| {
                if let Some(yielding) = &mut held.yielding {
                    yielding.silent.remove(&self.number);
                }
            });
        }
    }

    /// Its place is free at once, and not only when its task has noticed.
    pub(crate) fn give_way(&self) {
        self.release();
        self.evicted.notify_one();
    }

    fn release(&self) {
        if !self.is_gone.swap(true, Ordering::AcqRel) {
            self.addresses.leave(self.key, Kind::Connections);
        }
    }

    /// A session was opened by a request on this connection. Where too many of them, more than `limit`, have joined no namespace, the
    /// oldest is given back: it is to be closed.
    pub(crate) fn note_session(&self, id: &Id, limit: usize, is_unjoined: impl Fn(&Id) -> bool) -> Option<Id> {
        // A proxy has one connection for the sessions of many.
        if self.key == Key::TRUSTED {
            return None;
        }
        let mut opened = self.unjoined.lock();
        let Opened { ids, since } = &mut *opened;
        // Mostly one has joined before the next one is opened, and then the list stays short.
        while ids.front().is_some_and(|id| !is_unjoined(id)) {
            ids.pop_front();
        }
        if ids.len() >= limit && *since > limit / 4 {
            ids.retain(is_unjoined);
            *since = 0;
        }
        let oldest = if ids.len() >= limit { ids.pop_front() } else { None };
        ids.push_back(id.clone());
        *since += 1;
        oldest
    }
}

/// Tells a connection of its requests, and the requests of their connection.
#[derive(Clone)]
pub(crate) struct Watched<S> {
    service: S,
    connection: Arc<TcpConnection>,
}

impl<S, B> Service<Request<B>> for Watched<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        self.connection.note_request();
        request.extensions_mut().insert(Opener(self.connection.clone()));
        self.service.call(request)
    }
}

/// The TCP connection that a request came on, as an extension.
#[derive(Clone)]
pub(crate) struct Opener(pub(crate) Arc<TcpConnection>);
