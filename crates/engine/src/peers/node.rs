//! This node as one of several: the ids that it makes, the requests that it sends to the owners of others, and those it gets.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode, Uri, uri};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::directory::{Directory, NodeTag};
use super::metrics::{ForwardFailure, PeerMetrics};
use super::options::PeerOptions;
use super::owners::Owners;
use super::secret::Secret;
use crate::Id;
use crate::metrics::Gauge;
use crate::request::{Forwarded, RemoteAddr, Secure};

/// The body of a request that is forwarded.
pub(crate) type ForwardBody = UnsyncBoxBody<Bytes, std::io::Error>;

/// This node among its peers.
pub(crate) struct Peers {
    tag: NodeTag,
    secret: Secret,
    owners: Owners,
    client: Client<HttpConnector, ForwardBody>,
    requests: Arc<Semaphore>,
    websockets: Arc<Semaphore>,
    metrics: Arc<PeerMetrics>,
}

/// What a request that is forwarded says of itself, beside the header with the proof: client's address, whether it is `secure`
/// or `plain`, and the proof that a node says so, of this request and to this owner.
const FORWARDED: HeaderName = HeaderName::from_static("sockeye-forwarded");
/// The answer to a request on the listener for nodes that comes from none of them, or is meant for another.
pub(crate) const REFUSED: StatusCode = StatusCode::MISDIRECTED_REQUEST;
/// How long a connection to another node stays open without a request.
const IDLE: Duration = Duration::from_secs(60);
/// After which silence the system asks whether another node is still there, and how long from one question to the next.
const KEEPALIVE: Duration = Duration::from_secs(5);

impl Peers {
    pub(crate) fn new(options: &PeerOptions, directory: Arc<dyn Directory>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(options.connect_timeout));
        connector.set_keepalive(Some(KEEPALIVE));
        connector.set_keepalive_interval(Some(KEEPALIVE));
        connector.set_keepalive_retries(Some(2));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(options.max_idle)
            .build(connector);
        let metrics = options.metrics.clone();
        Self {
            tag: NodeTag::random(),
            secret: Secret::new(&options.secret),
            owners: Owners::new(directory, options.connect_timeout, options.max_nodes, metrics.clone()),
            client,
            requests: places(options.max_requests),
            websockets: places(options.max_websockets),
            metrics,
        }
    }

    pub(crate) const fn tag(&self) -> NodeTag {
        self.tag
    }

    pub(crate) fn metrics(&self) -> &PeerMetrics {
        &self.metrics
    }

    /// A fresh session id of this node.
    pub(crate) fn session_id(&self) -> Id {
        self.secret.session_id(self.tag)
    }

    /// The node that has the session, if that is another.
    pub(crate) fn owner(&self, sid: &str) -> Option<NodeTag> {
        self.secret.owner(sid).filter(|owner| *owner != self.tag)
    }

    /// A place among the requests, or the WebSockets, that may be forwarded at a time.
    pub(crate) fn admit(&self, is_upgrade: bool) -> Result<Place, ForwardFailure> {
        let places = if is_upgrade { &self.websockets } else { &self.requests };
        let permit = places.clone().try_acquire_owned().map_err(|_| ForwardFailure::Busy)?;
        let place = Place { is_upgrade, metrics: self.metrics.clone(), _permit: permit };
        place.gauge().add(1);
        Ok(place)
    }

    /// Sends a request, whose URI is path and query only, to the owner of its session.
    pub(crate) async fn send(
        &self,
        owner: NodeTag,
        mut request: Request<ForwardBody>,
    ) -> Result<Response<Incoming>, ForwardFailure> {
        let address = self.owners.find(owner).await?;
        let origin = Origin::of(&request);
        let proof = self.secret.prove(&origin.statement(owner, &request));
        // Both are printable ASCII.
        let value = HeaderValue::try_from(format!("{} {proof}", origin.0)).map_err(|_| ForwardFailure::Unknown)?;
        request.headers_mut().insert(FORWARDED, value);
        let mut parts = uri::Parts::from(std::mem::take(request.uri_mut()));
        parts.scheme = Some(uri::Scheme::HTTP);
        parts.authority = Some(address);
        *request.uri_mut() = Uri::from_parts(parts).map_err(|_| ForwardFailure::Unknown)?;
        match self.client.request(request).await {
            Ok(response) if response.status() == REFUSED => {
                // Another node has the address now.
                self.owners.forget(owner);
                Err(ForwardFailure::Unknown)
            }
            Ok(response) => Ok(response),
            Err(error) => {
                tracing::debug!(%owner, %error, "the owner of a session did not answer");
                self.owners.forget(owner);
                Err(if error.is_connect() { ForwardFailure::Unreachable } else { ForwardFailure::Lost })
            }
        }
    }

    /// Takes from a request what only other nodes may say.
    pub(crate) fn strip(headers: &mut HeaderMap) {
        headers.remove(FORWARDED);
    }

    /// Believes what a request says of itself, if another node says it, and to this one.
    pub(crate) fn accept<B>(&self, request: &mut Request<B>) -> Option<()> {
        let value = request.headers_mut().remove(FORWARDED)?;
        let (origin, proof) = value.to_str().ok()?.rsplit_once(' ')?;
        let origin = Origin(origin.to_owned());
        self.secret.is_proof(proof, &origin.statement(self.tag, request)).then_some(())?;
        let (address, is_secure) = origin.parse();
        let extensions = request.extensions_mut();
        extensions.insert(Forwarded);
        if let Some(address) = address {
            extensions.insert(RemoteAddr(address));
        }
        if is_secure {
            extensions.insert(Secure);
        }
        self.metrics.served.increment();
        Some(())
    }
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peers").field("tag", &self.tag).finish_non_exhaustive()
    }
}

/// As many places, or as many as there can be.
pub(crate) fn places(count: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)))
}

/// A place among what may be forwarded at a time; dropping it gives it back.
pub(crate) struct Place {
    is_upgrade: bool,
    metrics: Arc<PeerMetrics>,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    fn gauge(&self) -> &Gauge {
        if self.is_upgrade { &self.metrics.websockets } else { &self.metrics.waiting }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.gauge().add(-1);
    }
}

/// Where a client's request comes from, as text for the header.
struct Origin(String);

impl Origin {
    fn of<B>(request: &Request<B>) -> Self {
        let kind = if request.extensions().get::<Secure>().is_some() { "secure" } else { "plain" };
        Self(match request.extensions().get::<RemoteAddr>() {
            Some(RemoteAddr(address)) => format!("{address} {kind}"),
            None => format!("unknown {kind}"),
        })
    }

    fn parse(&self) -> (Option<SocketAddr>, bool) {
        let (address, kind) = self.0.split_once(' ').unwrap_or_default();
        (address.parse().ok(), kind == "secure")
    }

    /// What the proof is of. The owner's tag is another each time it starts, and who sees a request on its way sees the session's
    /// id: sending it again is nothing that the public listener would not allow.
    fn statement<B>(&self, owner: NodeTag, request: &Request<B>) -> [String; 4] {
        let target = request.uri().path_and_query().map_or("", uri::PathAndQuery::as_str);
        [owner.to_string(), request.method().to_string(), target.to_owned(), self.0.clone()]
    }
}
