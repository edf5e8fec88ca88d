//! Which pages may connect at all: browsers ask no server before they open a WebSocket, load a script, or send a simple POST.

use http::HeaderMap;
use http::header::{HeaderName, ORIGIN, REFERER};

use super::cors::OriginPattern;

/// Whether a request comes from a page of an allowed origin, or from no page of another site: a program that is no browser,
/// or a GET of the server's own page, for which browsers name no origin.
pub(crate) fn is_allowed(allowed: &[OriginPattern], headers: &HeaderMap, is_jsonp: bool) -> bool {
    let allows = |origin: &str| allowed.iter().any(|pattern| pattern.allows(origin));
    let mut origins = headers.get_all(ORIGIN).iter();
    match (origins.next(), origins.next()) {
        (Some(origin), None) => origin.to_str().is_ok_and(allows),
        (Some(_), Some(_)) => false,
        // A script or an image of a foreign page: no origin is named, but new browsers tell that it is foreign, and most tell
        // which page it is.
        (None, _) if is_jsonp || is_foreign(headers) => referring_origin(headers).is_some_and(allows),
        (None, _) => true,
    }
}

fn is_foreign(headers: &HeaderMap) -> bool {
    headers.get(SEC_FETCH_SITE).is_some_and(|site| site == "cross-site" || site == "same-site")
}

fn referring_origin(headers: &HeaderMap) -> Option<&str> {
    let page = headers.get(REFERER)?.to_str().ok()?;
    let (scheme, rest) = page.split_once("://")?;
    let host = rest.split(['/', '?', '#']).next()?;
    page.get(..scheme.len() + "://".len() + host.len())
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
