//! Where a server is.

use std::io;
use std::net::SocketAddr;
use std::str::FromStr;

use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

/// The address of a server, given as `http://host:port` or `https://host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The name that its certificate must have; none without TLS.
    name: Option<ServerName<'static>>,
    /// `host:port`, as requests name it.
    authority: String,
}

impl Target {
    pub(crate) fn is_encrypted(&self) -> bool {
        self.name.is_some()
    }

    /// Looks the host up. `connector` is for a target with TLS.
    pub(crate) async fn resolve(&self, connector: Option<&TlsConnector>) -> io::Result<Resolved> {
        let address = tokio::net::lookup_host(&self.authority).await?.next();
        let address = address.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))?;
        let tls = connector.cloned().zip(self.name.clone());
        Ok(Resolved { url: self.to_string(), authority: self.authority.clone(), address, tls })
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let uri: http::Uri = url.parse().map_err(|_| HOW.to_owned())?;
        let (is_encrypted, usual_port) = match uri.scheme_str() {
            Some("http" | "ws") => (false, 80),
            Some("https" | "wss") => (true, 443),
            _ => return Err(HOW.to_owned()),
        };
        if !matches!(uri.path_and_query().map(http::uri::PathAndQuery::as_str), None | Some("/")) {
            return Err(format!("{HOW}; a path is given by --path"));
        }
        let authority = uri.authority().filter(|it| !it.as_str().contains('@')).ok_or_else(|| HOW.to_owned())?;
        let (host, port) = (authority.host(), authority.port_u16().unwrap_or(usual_port));
        let name = match is_encrypted {
            // Of an IPv6 address without the brackets.
            true => Some(ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).map_err(|_| HOW.to_owned())?),
            false => None,
        };
        Ok(Self { name, authority: format!("{host}:{port}") })
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}", if self.is_encrypted() { "https" } else { "http" }, self.authority)
    }
}

/// A [`Target`] whose host has been looked up.
pub(crate) struct Resolved {
    pub(crate) url: String,
    pub(crate) authority: String,
    pub(crate) address: SocketAddr,
    pub(crate) tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl std::fmt::Debug for Resolved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.url)
    }
}

/// What a target must look like.
const HOW: &str = "must look like http://host:port or https://host:port";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_or_refused_with_a_hint() {
        for (url, expected) in [
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://localhost:3000/", "http://localhost:3000"),
            ("ws://[::1]:3000", "http://[::1]:3000"),
            ("http://example.com", "http://example.com:80"),
            ("https://example.com", "https://example.com:443"),
            ("wss://[::1]:3000", "https://[::1]:3000"),
        ] {
            assert_eq!(url.parse::<Target>().unwrap().to_string(), expected);
        }
        for (url, hint) in [
            ("localhost:3000", "http://host:port"),
            ("http://localhost:3000/socket.io/", "--path"),
            ("http://user@localhost:3000", "http://host:port"),
        ] {
            let complaint = url.parse::<Target>().unwrap_err();
            assert!(complaint.contains(hint), "{url}: {complaint}");
        }
    }
}
