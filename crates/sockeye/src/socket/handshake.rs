//! A socket's handshake, as the official server describes it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};
use sockeye_protocol::socket::date_string;

use super::Socket;
use sockeye_engine::RequestInfo;

/// Headers of which the first counts, as in Node.js. The values of others that come more than once are joined.
const ONCE: [&str; 12] = [
    "age",
    "authorization",
    "content-length",
    "content-type",
    "from",
    "host",
    "if-modified-since",
    "if-unmodified-since",
    "max-forwards",
    "proxy-authorization",
    "referer",
    "user-agent",
];

impl Socket {
    /// The handshake with the fields of the official server, as other nodes and [`RemoteSocket`](crate::RemoteSocket) have it:
    /// `headers`, `time`, `address`, `xdomain`, `secure`, `issued`, `url`, `query` and `auth`.
    ///
    /// `time` and `issued` are those of the CONNECT to the namespace; all but `auth` is of the request that opened the connection,
    /// which [`request`](Self::request) has without this being made. The header `sec-websocket-key` is not kept.
    pub fn handshake(&self) -> Value {
        let request = self.request();
        let issued = self.issued().duration_since(UNIX_EPOCH).unwrap_or_default();
        let issued = i64::try_from(issued.as_millis()).unwrap_or(i64::MAX);
        json!({
            "headers": headers(request),
            "time": date_string(issued),
            "address": request.address().map(|address| address.ip().to_string()),
            "xdomain": request.is_cross_domain(),
            "secure": request.is_secure(),
            "issued": issued,
            "url": request.url(),
            "query": query(request),
            "auth": self.auth::<Value>().unwrap_or_default(),
        })
    }

    /// When the client asked to join the namespace.
    fn issued(&self) -> SystemTime {
        self.request().issued() + Duration::from_millis(self.0.joined_after.into())
    }
}

/// How long after its request a connection asks to join a namespace, in milliseconds: now.
pub(super) fn time_since(request: &RequestInfo) -> u32 {
    let elapsed = request.issued().elapsed().unwrap_or_default();
    u32::try_from(elapsed.as_millis()).unwrap_or(u32::MAX)
}

fn headers(request: &RequestInfo) -> Map<String, Value> {
    let mut headers = Map::new();
    for (name, value) in request.headers() {
        match headers.get_mut(name) {
            Some(Value::String(_)) if ONCE.contains(&name) => {}
            Some(Value::String(values)) => {
                values.push_str(if name == "cookie" { "; " } else { ", " });
                values.push_str(value);
            }
            _ => drop(headers.insert(name.to_owned(), value.into())),
        }
    }
    headers
}

/// A parameter that comes more than once is an array, as in Node.js.
fn query(request: &RequestInfo) -> Map<String, Value> {
    let mut query = Map::new();
    for (name, value) in request.queries() {
        let value = Value::from(value);
        match query.get_mut(&*name) {
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
            None => drop(query.insert(name.into_owned(), value)),
        }
    }
    query
}
