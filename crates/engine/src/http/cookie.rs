//! The cookie that a handshake may set so that a load balancer can recognize the session.

use std::{fmt::Write as _, time::Duration};

use ::http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// A cookie sent with the handshake response of a long-polling session, for sticky load balancing.
///
/// Its value is the Engine.IO session id. The server itself never reads it back.
///
/// # Example
///
/// ```
/// use std::time::Duration;
///
/// use sockeye_engine::{Cookie, SameSite};
///
/// let cookie = Cookie::new("io").same_site(SameSite::None).secure(true).max_age(Duration::from_secs(86_400));
/// # let _ = cookie;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cookie {
    name: String,
    path: String,
    domain: String,
    max_age: Option<Duration>,
    http_only: bool,
    secure: bool,
    partitioned: bool,
    same_site: Option<SameSite>,
}

/// When a browser sends the [`Cookie`] with a request that another site caused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    /// Only when the user follows a link to the site.
    Lax,
    /// Never.
    Strict,
    /// Always; browsers want [`Cookie::secure`] with it.
    None,
}

impl Cookie {
    /// A cookie with this name, `Path=/`, `HttpOnly` and `SameSite=Lax`.
    ///
    /// # Panics
    ///
    /// If the name is empty or holds characters not allowed in a cookie's name.
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        assert!(is_name(&name), "not a valid name for a cookie: {name:?}");
        Self {
            name,
            path: "/".to_owned(),
            domain: String::new(),
            max_age: None,
            http_only: true,
            secure: false,
            partitioned: false,
            same_site: Some(SameSite::Lax),
        }
    }

    /// The path of the requests that carry the cookie; empty leaves it to the browser. Default: `/`.
    ///
    /// # Panics
    ///
    /// If the path holds `;`, `<`, control characters or characters outside ASCII.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        let path = path.into();
        assert!(is_path(&path), "not a valid path for a cookie: {path:?}");
        self.path = path;
        self
    }

    /// The domain whose hosts get the cookie; empty for this host alone. Default: empty.
    ///
    /// # Panics
    ///
    /// If it is not a domain name in ASCII.
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        let domain = domain.into();
        assert!(domain.is_empty() || is_domain(&domain), "not a valid domain for a cookie: {domain:?}");
        self.domain = domain;
        self
    }

    /// How long the browser keeps the cookie, in whole seconds. Default: until the browser closes.
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = Some(max_age);
        self
    }

    /// Whether the cookie is out of reach of the page's scripts. Default: true.
    pub fn http_only(mut self, http_only: bool) -> Self {
        self.http_only = http_only;
        self
    }

    /// Whether the cookie travels over TLS only. Default: false.
    pub fn secure(mut self, secure: bool) -> Self {
        self.secure = secure;
        self
    }

    /// Whether the cookie is kept apart for each site that embeds this one. Default: false.
    pub fn partitioned(mut self, partitioned: bool) -> Self {
        self.partitioned = partitioned;
        self
    }

    /// When the cookie travels with requests of other sites. Default: [`SameSite::Lax`].
    pub fn same_site(mut self, same_site: SameSite) -> Self {
        self.same_site = Some(same_site);
        self
    }

    /// Leaves the `SameSite` attribute out, and the choice to the browser.
    pub fn without_same_site(mut self) -> Self {
        self.same_site = None;
        self
    }

    /// The `Set-Cookie` header for a session, with the attributes in the order of the npm module `cookie`.
    pub(crate) fn header_value(&self, sid: &str) -> HeaderValue {
        let mut text = format!("{}={}", self.name, utf8_percent_encode(sid, ESCAPED));
        if let Some(max_age) = self.max_age {
            // Writing to a string cannot fail.
            write!(text, "; Max-Age={}", max_age.as_secs()).ok();
        }
        for (attribute, value) in [("; Domain=", &self.domain), ("; Path=", &self.path)] {
            if !value.is_empty() {
                text.push_str(attribute);
                text.push_str(value);
            }
        }
        let flags = [(self.http_only, "; HttpOnly"), (self.secure, "; Secure"), (self.partitioned, "; Partitioned")];
        for (_, flag) in flags.iter().filter(|(set, _)| *set) {
            text.push_str(flag);
        }
        text.push_str(match self.same_site {
            Some(SameSite::Lax) => "; SameSite=Lax",
            Some(SameSite::Strict) => "; SameSite=Strict",
            Some(SameSite::None) => "; SameSite=None",
            None => "",
        });
        HeaderValue::try_from(text).expect("the parts were checked or escaped to printable ASCII")
    }
}

impl Default for Cookie {
    /// The cookie `io`, as the official server sends it.
    fn default() -> Self {
        Self::new("io")
    }
}

/// What `encodeURIComponent` escapes.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn is_path(path: &str) -> bool {
    path.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b';' && byte != b'<')
}

fn is_domain(domain: &str) -> bool {
    // A leading dot is of the past; browsers ignore it.
    domain.strip_prefix('.').unwrap_or(domain).split('.').all(|label| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SID: &str = "TvLfJd9RVlMyQ-kvAAAA";

    #[test]
    fn the_text_is_that_of_the_npm_module() {
        let cookie = Cookie::default;
        for (cookie, attributes) in [
            (cookie(), "; Path=/; HttpOnly; SameSite=Lax"),
            (cookie().path("/chat"), "; Path=/chat; HttpOnly; SameSite=Lax"),
            (cookie().path(""), "; HttpOnly; SameSite=Lax"),
            (cookie().http_only(false), "; Path=/; SameSite=Lax"),
            (cookie().same_site(SameSite::Strict), "; Path=/; HttpOnly; SameSite=Strict"),
            (cookie().same_site(SameSite::None).secure(true), "; Path=/; HttpOnly; Secure; SameSite=None"),
            (cookie().without_same_site(), "; Path=/; HttpOnly"),
            (cookie().domain(".example.com"), "; Domain=.example.com; Path=/; HttpOnly; SameSite=Lax"),
            (cookie().max_age(Duration::from_secs(3600)), "; Max-Age=3600; Path=/; HttpOnly; SameSite=Lax"),
            (cookie().max_age(Duration::ZERO), "; Max-Age=0; Path=/; HttpOnly; SameSite=Lax"),
            (cookie().partitioned(true).secure(true), "; Path=/; HttpOnly; Secure; Partitioned; SameSite=Lax"),
        ] {
            assert_eq!(cookie.header_value(SID), format!("io={SID}{attributes}"));
        }
        let full = Cookie::new("n")
            .path("/p")
            .same_site(SameSite::None)
            .secure(true)
            .domain("example.com")
            .max_age(Duration::from_millis(1900))
            .partitioned(true);
        let text = "n=TvLfJd9RVlMyQ-kvAAAA; Max-Age=1; Domain=example.com; Path=/p; HttpOnly; Secure; Partitioned; \
                    SameSite=None";
        assert_eq!(full.header_value(SID), text);
    }

    #[test]
    fn the_session_id_is_escaped() {
        let value = Cookie::default().header_value("a b;c\"'\\é%/(x)!~*.€");
        assert_eq!(value, "io=a%20b%3Bc%22'%5C%C3%A9%25%2F(x)!~*.%E2%82%AC; Path=/; HttpOnly; SameSite=Lax");
        assert_eq!(Cookie::default().header_value("a\r\nb"), "io=a%0D%0Ab; Path=/; HttpOnly; SameSite=Lax");
    }

    #[test]
    fn names_paths_and_domains_are_checked_as_in_the_npm_module() {
        for good in ["a.b", ".a.b", "a-b", "A9", "1", &"a".repeat(63)] {
            assert!(is_domain(good), "{good}");
        }
        for bad in ["", "a..b", "-a", "a-", "a.", "..a", "a_b", "é", "a;b", &"a".repeat(64)] {
            assert!(!is_domain(bad), "{bad}");
        }
        assert!(is_name("__Host-io") && !is_name("") && !is_name("a b") && !is_name("a=b") && !is_name("a;b"));
        assert!(is_path("/a b>=") && !is_path("/;x") && !is_path("/<") && !is_path("/\r\n") && !is_path("/é"));
    }

    #[test]
    #[should_panic(expected = "not a valid name for a cookie")]
    fn a_bad_name_is_refused() {
        Cookie::new("io;");
    }
}
