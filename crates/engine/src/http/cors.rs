//! Cross-origin resource sharing, with the rules of the npm module `cors` that the official server uses.

use std::{fmt, sync::Arc, time::Duration};

use ::http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
        ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
        ACCESS_CONTROL_REQUEST_HEADERS, CONTENT_LENGTH, ORIGIN, VARY,
    },
};
use regex::Regex;

#[cfg(test)]
mod tests;

/// Which pages of other origins may talk to the server over HTTP.
///
/// The rules say whose pages may *read* what the server answers to long-polling, and the served client files. Browsers apply
/// them neither to WebSocket nor to scripts (JSONP), and send a simple POST before they look. To turn away the pages of foreign
/// origins there too, name the others with [`allowed_origins`](crate::Options::allowed_origins).
///
/// # Example
///
/// ```
/// use std::time::Duration;
///
/// use sockeye_engine::Cors;
///
/// let one = Cors::origin("https://app.example.com").credentials(true);
/// let some = Cors::origins(["https://app.example.com", "https://admin.example.com"]).max_age(Duration::from_secs(600));
/// let asked = Cors::with(|origin| origin.ends_with(".example.com"));
/// # let _ = (one, some, asked);
/// ```
#[derive(Clone, Debug)]
pub struct Cors {
    origin: Origin,
    credentials: bool,
    /// `None` when the list is empty: the header is then left out.
    methods: Option<HeaderValue>,
    allowed_headers: AllowedHeaders,
    exposed_headers: Option<HeaderValue>,
    max_age: Option<HeaderValue>,
    options_success_status: StatusCode,
    preflight_continue: bool,
}

/// One entry of the list given to [`Cors::origins`]: an exact origin or a pattern.
#[derive(Clone, Debug)]
pub enum OriginPattern {
    /// This origin, letter by letter, such as `https://app.example.com`.
    Exact(String),
    /// Any origin in which the expression finds a match; anchor it with `^` and `$`.
    Matching(Regex),
}

impl Cors {
    /// Allows every origin: `Access-Control-Allow-Origin: *`. Browsers refuse this together with credentials.
    pub fn any() -> Self {
        Self::new(Origin::Any)
    }

    /// Allows one origin, and names it in every response, whichever origin asked.
    ///
    /// `"*"` is the same as [`any`](Self::any), the empty string the same as [`off`](Self::off).
    ///
    /// # Panics
    ///
    /// If `origin` holds characters that a header cannot carry.
    pub fn origin(origin: impl AsRef<str>) -> Self {
        Self::new(match origin.as_ref() {
            "" => Origin::Off,
            "*" => Origin::Any,
            fixed => Origin::Fixed(header_value(fixed)),
        })
    }

    /// Allows the origins of a list; each entry is a string or a [`Regex`]. `"*"` has no special meaning here.
    pub fn origins(origins: impl IntoIterator<Item = impl Into<OriginPattern>>) -> Self {
        Self::new(Origin::List(origins.into_iter().map(Into::into).collect()))
    }

    /// Allows the origins in which `regex` finds a match; anchor it with `^` and `$`, and escape the dots.
    pub fn matching(regex: Regex) -> Self {
        Self::origins([regex])
    }

    /// Allows the origins for which `allow` answers true. A request that it refuses gets no CORS header at all, and a
    /// preflight that it refuses is treated as any other request.
    ///
    /// `allow` runs for each HTTP request that names an origin, and must not block.
    pub fn with(allow: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self::new(Origin::Predicate(Arc::new(allow)))
    }

    /// Allows every origin by naming it back. With [`credentials`](Self::credentials) any site can then act with the
    /// cookies of its visitors.
    pub fn reflect() -> Self {
        Self::new(Origin::Reflect)
    }

    /// Sends no CORS header and answers no preflight, as without any configuration.
    pub fn off() -> Self {
        Self::new(Origin::Off)
    }

    /// Whether browsers may send cookies and other credentials along. Default: false.
    pub fn credentials(mut self, credentials: bool) -> Self {
        self.credentials = credentials;
        self
    }

    /// The methods a preflight allows. Default: `GET,HEAD,PUT,PATCH,POST,DELETE`.
    ///
    /// # Panics
    ///
    /// If a method holds characters that a header cannot carry.
    pub fn methods(mut self, methods: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.methods = list_value(methods);
        self
    }

    /// The request headers a preflight allows. Default: those that the preflight asks for.
    ///
    /// # Panics
    ///
    /// If a name holds characters that a header cannot carry.
    pub fn allowed_headers(mut self, names: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.allowed_headers = AllowedHeaders::List(list_value(names));
        self
    }

    /// The response headers that a page may read. Default: none beyond those that browsers always show.
    ///
    /// # Panics
    ///
    /// If a name holds characters that a header cannot carry.
    pub fn exposed_headers(mut self, names: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.exposed_headers = list_value(names);
        self
    }

    /// How long a browser may remember the answer to a preflight, in whole seconds. Default: unsaid.
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = Some(HeaderValue::from(max_age.as_secs()));
        self
    }

    /// The status of the answer to a preflight. Default: 204; some very old browsers want 200.
    pub fn options_success_status(mut self, status: StatusCode) -> Self {
        self.options_success_status = status;
        self
    }

    /// Whether a preflight, given its headers, goes on to be handled as any other request. Default: false.
    pub fn preflight_continue(mut self, preflight_continue: bool) -> Self {
        self.preflight_continue = preflight_continue;
        self
    }

    /// Writes the CORS headers of the response to a request; error responses carry them too.
    pub(crate) fn apply(&self, method: &Method, request_headers: &HeaderMap, response_headers: &mut HeaderMap) {
        let origin = match self.decide(request_headers) {
            Decision::Skip => return,
            Decision::Everyone(origin) => Some(origin),
            Decision::ByOrigin(origin) => {
                vary(response_headers, "Origin");
                origin
            }
        };
        set(response_headers, ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if self.credentials {
            response_headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        if method == Method::OPTIONS {
            set(response_headers, ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
            let allowed_headers = match &self.allowed_headers {
                AllowedHeaders::List(names) => names.clone(),
                AllowedHeaders::Reflect => {
                    vary(response_headers, "Access-Control-Request-Headers");
                    joined(request_headers, &ACCESS_CONTROL_REQUEST_HEADERS)
                }
            };
            set(response_headers, ACCESS_CONTROL_ALLOW_HEADERS, allowed_headers);
            set(response_headers, ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        }
        set(response_headers, ACCESS_CONTROL_EXPOSE_HEADERS, self.exposed_headers.clone());
    }

    /// The answer to an OPTIONS request; `None` when it is to be handled as any other request.
    pub(crate) fn preflight(&self, request_headers: &HeaderMap) -> Option<Response<()>> {
        if self.preflight_continue || matches!(self.decide(request_headers), Decision::Skip) {
            return None;
        }
        let mut response = Response::new(());
        *response.status_mut() = self.options_success_status;
        self.apply(&Method::OPTIONS, request_headers, response.headers_mut());
        // Without it, some browsers wait for a body that never comes.
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        Some(response)
    }

    fn new(origin: Origin) -> Self {
        Self {
            origin,
            credentials: false,
            methods: Some(HeaderValue::from_static("GET,HEAD,PUT,PATCH,POST,DELETE")),
            allowed_headers: AllowedHeaders::Reflect,
            exposed_headers: None,
            max_age: None,
            options_success_status: StatusCode::NO_CONTENT,
            preflight_continue: false,
        }
    }

    fn decide(&self, request_headers: &HeaderMap) -> Decision {
        // Of an origin that is not plain ASCII only `reflect` takes notice: no browser sends one.
        let asking = || joined(request_headers, &ORIGIN);
        match &self.origin {
            Origin::Off => Decision::Skip,
            Origin::Any => Decision::Everyone(HeaderValue::from_static("*")),
            Origin::Fixed(origin) => Decision::ByOrigin(Some(origin.clone())),
            Origin::Reflect => Decision::ByOrigin(asking()),
            Origin::List(patterns) => Decision::ByOrigin(asking().filter(|origin| {
                origin.to_str().is_ok_and(|origin| patterns.iter().any(|pattern| pattern.allows(origin)))
            })),
            Origin::Predicate(allow) => match asking() {
                None if !request_headers.contains_key(&ORIGIN) || allow("") => Decision::ByOrigin(None),
                Some(origin) if origin.to_str().is_ok_and(&**allow) => Decision::ByOrigin(Some(origin)),
                _ => Decision::Skip,
            },
        }
    }
}

impl Default for Cors {
    /// The same as [`Cors::any`].
    fn default() -> Self {
        Self::any()
    }
}

impl OriginPattern {
    pub(crate) fn allows(&self, origin: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == origin,
            Self::Matching(regex) => regex.is_match(origin),
        }
    }
}

impl From<&str> for OriginPattern {
    fn from(origin: &str) -> Self {
        Self::Exact(origin.to_owned())
    }
}

impl From<String> for OriginPattern {
    fn from(origin: String) -> Self {
        Self::Exact(origin)
    }
}

impl From<Regex> for OriginPattern {
    fn from(regex: Regex) -> Self {
        Self::Matching(regex)
    }
}

#[derive(Clone)]
enum Origin {
    Off,
    Any,
    Fixed(HeaderValue),
    List(Vec<OriginPattern>),
    Reflect,
    Predicate(Arc<dyn Fn(&str) -> bool + Send + Sync>),
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("Off"),
            Self::Any => f.write_str("Any"),
            Self::Fixed(origin) => f.debug_tuple("Fixed").field(origin).finish(),
            Self::List(patterns) => f.debug_tuple("List").field(patterns).finish(),
            Self::Reflect => f.write_str("Reflect"),
            Self::Predicate(_) => f.write_str("Predicate"),
        }
    }
}

#[derive(Clone, Debug)]
enum AllowedHeaders {
    Reflect,
    /// `None` when the list is empty: the header is then left out.
    List(Option<HeaderValue>),
}

/// What `Access-Control-Allow-Origin` becomes for one request.
enum Decision {
    /// No CORS header at all.
    Skip,
    /// The same value for everybody.
    Everyone(HeaderValue),
    /// A value, or none, that caches must keep apart by origin.
    ByOrigin(Option<HeaderValue>),
}

/// All values of a header as one, joined as HTTP lets a list be joined; `None` when there is none or it is empty.
pub fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    let mut all: Option<Vec<u8>> = None;
    for value in values {
        let all = all.get_or_insert_with(|| first.as_bytes().to_vec());
        all.extend_from_slice(b", ");
        all.extend_from_slice(value.as_bytes());
    }
    let value = match all {
        None => first.clone(),
        Some(all) => HeaderValue::from_bytes(&all).ok()?,
    };
    (!value.is_empty()).then_some(value)
}

/// Adds a header's name to `Vary` unless it is there already.
pub fn vary(headers: &mut HeaderMap, name: &'static str) {
    let value = match joined(headers, &VARY) {
        None => HeaderValue::from_static(name),
        Some(present) => {
            let mut names = present.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
            if names.clone().any(|present| present == b"*") {
                HeaderValue::from_static("*")
            } else if names.any(|present| present.eq_ignore_ascii_case(name.as_bytes())) {
                present
            } else {
                let all = [present.as_bytes(), b", ", name.as_bytes()].concat();
                HeaderValue::from_bytes(&all).unwrap_or(present)
            }
        }
    };
    headers.insert(VARY, value);
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: Option<HeaderValue>) {
    if let Some(value) = value {
        headers.insert(name, value);
    }
}

fn list_value(items: impl IntoIterator<Item = impl AsRef<str>>) -> Option<HeaderValue> {
    let items: Vec<String> = items.into_iter().map(|item| item.as_ref().to_owned()).collect();
    let list = items.join(",");
    (!list.is_empty()).then(|| header_value(&list))
}

/// Only for values from the program's own configuration.
fn header_value(text: &str) -> HeaderValue {
    match HeaderValue::from_str(text) {
        Ok(value) => value,
        Err(_) => panic!("not a valid value for an HTTP header: {text:?}"),
    }
}
