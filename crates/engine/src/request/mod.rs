//! What is kept of the request that opened a connection.

mod hooks;
mod interned;

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use http::header;
use http::request::Parts;

pub(crate) use self::hooks::RequestHooks;
use self::interned::Interned;
pub(crate) use self::interned::Interner;
use crate::addresses::Key;
use crate::budget::{Account, Accounts, Holder};

/// The address of the peer, as an extension of a request.
///
/// The server's own listener puts it there. In a program that accepts connections itself, a middleware should: clients whose address
/// is not known count as one, which gets half of the bounds that all clients share at the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteAddr(pub SocketAddr);

/// Marks a request that came over TLS, as an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Secure;

/// Marks a request that another node has forwarded: it is not forwarded again.
#[derive(Clone, Copy)]
pub(crate) struct Forwarded;

/// The request that opened a connection: address, URL, headers. A clone shares it.
///
/// It is stored small, for it lives as long as the connection; headers are parsed when asked for.
#[derive(Clone)]
pub struct RequestInfo(Arc<Inner>);

struct Inner {
    /// Path and query.
    url: Interned,
    /// `name:value` lines of the headers that clients have in common. A header's value has no line break.
    headers: Interned,
    /// The same of the others.
    own_headers: Box<str>,
    address: Option<SocketAddr>,
    secure: bool,
    issued: SystemTime,
    /// Who is charged for this, and for all that the connection holds.
    account: Arc<Account>,
}

/// Headers whose value is another for each client, as a rule. To take one for common costs a few bytes, no more.
const OWN_HEADERS: [&str; 16] = [
    "authorization",
    "cf-connecting-ip",
    "cf-ray",
    "content-length",
    "cookie",
    "forwarded",
    "if-none-match",
    "traceparent",
    "tracestate",
    "true-client-ip",
    "x-amzn-trace-id",
    "x-correlation-id",
    "x-forwarded-for",
    "x-forwarded-port",
    "x-real-ip",
    "x-request-id",
];

impl RequestInfo {
    /// What is kept of a request; none if its address may not hold it.
    pub(crate) fn new(parts: &Parts, interner: &Interner, accounts: &Accounts) -> Option<Self> {
        let (mut headers, mut own_headers) = (String::new(), String::new());
        for (name, value) in &parts.headers {
            if name == header::SEC_WEBSOCKET_KEY {
                continue; // a number used once, and that was for the handshake
            }
            let lines = if OWN_HEADERS.contains(&name.as_str()) { &mut own_headers } else { &mut headers };
            lines.push_str(name.as_str());
            lines.push(':');
            lines.push_str(&String::from_utf8_lossy(value.as_bytes()));
            lines.push('\n');
        }
        let address = parts.extensions.get::<RemoteAddr>().map(|address| address.0);
        let account = accounts.of(Key::of(address));
        let url = interner.intern(parts.uri.path_and_query().map_or("/", |path| path.as_str()), &account)?;
        let headers = interner.intern(&headers, &account)?;
        let is_allowed = account.take(Holder::Requests, 0, own_headers.len() + size_of::<Inner>());
        is_allowed.then(|| {
            Self(Arc::new(Inner {
                url,
                headers,
                own_headers: own_headers.into_boxed_str(),
                address,
                secure: parts.extensions.get::<Secure>().is_some(),
                issued: SystemTime::now(),
                account,
            }))
        })
    }

    /// Who is charged for what the connection holds.
    pub(crate) fn account(&self) -> &Arc<Account> {
        &self.0.account
    }

    /// Path and query, as the client sent them.
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// The value of the first header of this name, in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().find_map(|(each, value)| (each == name).then_some(value))
    }

    /// All headers but `sec-websocket-key`: names in lower case, and values.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let lines = self.0.headers.lines().chain(self.0.own_headers.lines());
        lines.filter_map(|line| line.split_once(':'))
    }

    /// The first value of a query parameter, decoded.
    pub fn query(&self, name: &str) -> Option<Cow<'_, str>> {
        self.queries().find_map(|(each, value)| (each == name).then_some(value))
    }

    /// All query parameters, decoded.
    pub fn queries(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        let query = self.0.url.split_once('?').map_or("", |(_, query)| query);
        form_urlencoded::parse(query.as_bytes())
    }

    /// The address of the client, where it is known: that of the peer, or, where the peer is one of
    /// [`Options::trusted_proxies`](crate::Options::trusted_proxies), the one that it names (with port 0, if it names none).
    pub fn address(&self) -> Option<SocketAddr> {
        self.0.address
    }

    /// Whether the connection is encrypted up to this server.
    pub fn is_secure(&self) -> bool {
        self.0.secure
    }

    /// Whether the request has an `Origin` header, as those of browsers from other sites have.
    pub fn is_cross_domain(&self) -> bool {
        self.header("origin").is_some()
    }

    /// When the request came.
    pub fn issued(&self) -> SystemTime {
        self.0.issued
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.account.give_back(Holder::Requests, self.own_headers.len() + size_of::<Self>());
    }
}

impl fmt::Debug for RequestInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestInfo")
            .field("url", &self.url())
            .field("address", &self.address())
            .finish_non_exhaustive()
    }
}
