//! The chat page and our own client, built into the program.

use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher as _;
use std::io::Write as _;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
    REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use sockeye::Options;

/// A file that is served.
struct Asset {
    content_type: HeaderValue,
    etag: HeaderValue,
    plain: Bytes,
    gzip: Bytes,
}

/// What the page may do: nothing but load its own files and connect to where it comes from.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Everything that is served beside Socket.IO: `/sockeye.js`, and with `demo` the chat page at `/`. The rest is 404.
pub(crate) fn router(demo: bool, options: &Options) -> Router {
    let script = "text/javascript; charset=utf-8";
    let mut router = route(Router::new(), "/sockeye.js", script, include_str!("../assets/sockeye.js"));
    if demo {
        router = route(router, "/", "text/html; charset=utf-8", chat(options));
        router = route(router, "/chat.js", script, include_str!("../assets/chat.js"));
        router = route(router, "/chat.css", "text/css; charset=utf-8", include_str!("../assets/chat.css"));
    }
    router.fallback(|| async { (StatusCode::NOT_FOUND, "not found\n") })
}

/// The chat page. It is told where Socket.IO is and where the official client, if that is served: asking for it in vain would leave
/// an error in the browser's console.
fn chat(options: &Options) -> String {
    let path = escape(options.path.trim_end_matches('/'));
    let client = options.serve_client.as_ref().map(|_| format!("{path}/socket.io.js")).unwrap_or_default();
    let page = include_str!("../assets/index.html");
    page.replace(PLACES, &format!("data-path=\"{path}\" data-client=\"{client}\""))
}

/// What the page has where it is told.
const PLACES: &str = "data-path=\"/socket.io\" data-client=\"\"";

/// Text as the value of an attribute.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;")
}

fn route(router: Router, path: &str, content_type: &'static str, content: impl Into<Bytes>) -> Router {
    let content = content.into();
    let asset = Arc::new(Asset::new(content_type, content));
    router.route(path, get(move |headers: HeaderMap| std::future::ready(asset.respond(&headers))))
}

impl Asset {
    fn new(content_type: &'static str, content: Bytes) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(&content);
        let etag = HeaderValue::try_from(format!("\"{:016x}\"", hasher.finish()));
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        let zipped = encoder.write_all(&content).and_then(|()| encoder.finish());
        Self {
            content_type: HeaderValue::from_static(content_type),
            etag: etag.unwrap_or(HeaderValue::from_static("\"\"")),
            plain: content,
            // Writing to memory does not fail; if it did, the file would be sent as it is.
            gzip: zipped.unwrap_or_default().into(),
        }
    }

    fn respond(&self, request: &HeaderMap) -> Response {
        let mut response = Response::new(Body::empty());
        let headers = response.headers_mut();
        for (name, value) in [
            (CACHE_CONTROL, "no-cache"),
            (VARY, "accept-encoding"),
            (CONTENT_SECURITY_POLICY, POLICY),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (REFERRER_POLICY, "no-referrer"),
            (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers.insert(ETAG, self.etag.clone());
        if self.is_known(request) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        headers.insert(CONTENT_TYPE, self.content_type.clone());
        if accepts_gzip(request) && !self.gzip.is_empty() {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            *response.body_mut() = Body::from(self.gzip.clone());
        } else {
            *response.body_mut() = Body::from(self.plain.clone());
        }
        response
    }

    /// Whether the client has it already.
    fn is_known(&self, request: &HeaderMap) -> bool {
        let tags = request.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        tags.flat_map(|value| value.split(',')).any(|tag| {
            let tag = tag.trim();
            tag == "*" || tag.trim_start_matches("W/").as_bytes() == self.etag.as_bytes()
        })
    }
}

/// Whether gzip is among the accepted encodings, and not with a quality of nothing.
fn accepts_gzip(request: &HeaderMap) -> bool {
    let values = request.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|item| {
        let (name, parameter) = item.split_once(';').unwrap_or((item, ""));
        let quality = parameter.trim().strip_prefix("q=").map_or(1.0, |quality| quality.trim().parse().unwrap_or(0.0));
        name.trim().eq_ignore_ascii_case("gzip") && quality > 0.0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_told_where_socket_io_is() {
        let mut options = Options::default();
        assert!(chat(&options).contains("data-path=\"/socket.io\" data-client=\"\""));
        options.path = "/a\"b/".to_owned();
        assert!(chat(&options).contains("data-path=\"/a&quot;b\" data-client=\"\""));
    }
}
