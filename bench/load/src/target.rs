//! Where a server is.

use std::io;
use std::net::SocketAddr;
use std::str::FromStr;

/// The address of a server, given as `http://host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// `host:port`, as requests name it.
    authority: String,
}

impl Target {
    /// Looks the host up.
    pub(crate) async fn resolve(&self) -> io::Result<Resolved> {
        let address = tokio::net::lookup_host(&self.authority).await?.next();
        let address = address.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))?;
        Ok(Resolved { url: self.to_string(), authority: self.authority.clone(), address })
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let uri: http::Uri = url.parse().map_err(|_| HOW.to_owned())?;
        match uri.scheme_str() {
            Some("http" | "ws") => {}
            Some("https" | "wss") => {
                return Err("TLS is not spoken here: give a port of the server that takes plain http".to_owned());
            }
            _ => return Err(HOW.to_owned()),
        }
        if !matches!(uri.path_and_query().map(http::uri::PathAndQuery::as_str), None | Some("/")) {
            return Err(format!("{HOW}; a path is given by --path"));
        }
        let authority = uri.authority().filter(|it| !it.as_str().contains('@')).ok_or_else(|| HOW.to_owned())?;
        let port = authority.port_u16().unwrap_or(80);
        Ok(Self { authority: format!("{}:{port}", authority.host()) })
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "http://{}", self.authority)
    }
}

/// A [`Target`] whose host has been looked up.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) url: String,
    pub(crate) authority: String,
    pub(crate) address: SocketAddr,
}

/// What a target must look like.
const HOW: &str = "must look like http://host:port";

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
        ] {
            assert_eq!(url.parse::<Target>().unwrap().to_string(), expected);
        }
        for (url, hint) in [
            ("https://localhost", "TLS"),
            ("localhost:3000", "http://host:port"),
            ("http://localhost:3000/socket.io/", "--path"),
            ("http://user@localhost:3000", "http://host:port"),
        ] {
            let complaint = url.parse::<Target>().unwrap_err();
            assert!(complaint.contains(hint), "{url}: {complaint}");
        }
    }
}
