//! What can go wrong, whose fault it is, and what to do.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option, or a combination of options, makes no sense.
    #[error("{0}")]
    Options(String),
    /// The system lets this process open fewer files than the clients need.
    #[error(
        "{clients} clients need {needed} open files, and the limit is {limit}: raise it with `ulimit -n {needed}` \
         (as root, or in /etc/security/limits.conf), or take fewer --clients"
    )]
    OpenFiles {
        /// How many clients were asked for.
        clients: u32,
        /// How many files they need.
        needed: u64,
        /// How many are allowed.
        limit: u64,
    },
    /// The host of a target cannot be looked up.
    #[error("the host of {url} cannot be looked up: {source}")]
    Host {
        /// The target.
        url: String,
        /// Why.
        source: io::Error,
    },
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}; --insecure needs no certificates of this system")]
    Tls(String),
    /// A process to observe cannot be observed.
    #[error("process {pid} cannot be observed: {source}; --pid takes the ids of running processes, on Linux")]
    Process {
        /// Its id.
        pid: u32,
        /// Why.
        source: io::Error,
    },
    /// The result cannot be written to a file.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The system refuses threads, or what a runtime needs.
    #[error("cannot start: {0}")]
    Start(io::Error),
}

/// Why a client failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("connection refused at {0}: is the server running, and is this its port?")]
    Refused(String),
    #[error(
        "no local port is left for {0}: about 28000 connections fit between two addresses; name more addresses of the server \
         (on this machine 127.0.0.2, 127.0.0.3, ...) or take fewer --clients"
    )]
    NoLocalPort(String),
    #[error("this system is out of open files: raise `ulimit -n` or fs.file-max, or take fewer --clients")]
    OpenFiles,
    #[error("cannot connect to {url}: {source}")]
    Connect { url: String, source: io::Error },
    #[error("no TLS with {url}: {source}; --insecure takes any certificate")]
    Tls { url: String, source: io::Error },
    #[error("the server does not agree to permessage-deflate: switch it on there, or leave --deflate out")]
    NoDeflate,
    #[error("{url} did not let a client in within {}: it is overloaded, or no Socket.IO server", humantime::format_duration(*timeout))]
    Slow { url: String, timeout: Duration },
    #[error("{url} refused the {what} with status {status}{hint}: {body}")]
    Status { url: String, what: &'static str, status: u16, body: String, hint: &'static str },
    #[error("the server refused the namespace {namespace}: {data}; --namespace and --auth set what it is asked for")]
    Namespace { namespace: String, data: String },
    #[error("the server ended the connection ({0}); its log should say why")]
    Ended(String),
    #[error("the server sent what is not Engine.IO 4 or Socket.IO 5: {0}")]
    Protocol(String),
}

impl Failure {
    /// Sorts what the system says about a connection that could not be made.
    pub(crate) fn of_connect(url: &str, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused(url.to_owned()),
            io::ErrorKind::AddrNotAvailable => Self::NoLocalPort(url.to_owned()),
            // EMFILE and ENFILE have no kind.
            _ if matches!(source.raw_os_error(), Some(23 | 24)) => Self::OpenFiles,
            _ => Self::Connect { url: url.to_owned(), source },
        }
    }

    /// A response that refuses a request. The body of an Engine.IO error is short; of others a part will do.
    pub(crate) fn of_status(url: &str, what: &'static str, status: u16, body: &[u8]) -> Self {
        let body = String::from_utf8_lossy(body.get(..MOST_OF_BODY).unwrap_or(body)).trim().to_owned();
        let hint = match status {
            404 => " (is --path right?)",
            401 | 403 => " (it wants other credentials)",
            429 | 503 => " (it is overloaded, or bounds its connections)",
            _ => "",
        };
        Self::Status { url: url.to_owned(), what, status, body, hint }
    }

    /// What became of an established connection.
    pub(crate) fn of_io(error: &io::Error) -> Self {
        Self::Ended(error.to_string())
    }
}

/// How much of a response is shown, in bytes.
const MOST_OF_BODY: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_whose_fault_it_is_and_what_to_do() {
        let of = |error: io::Error| Failure::of_connect("http://localhost:1", error).to_string();
        assert!(of(io::ErrorKind::ConnectionRefused.into()).contains("http://localhost:1: is the server running"));
        assert!(of(io::ErrorKind::AddrNotAvailable.into()).contains("127.0.0.2"));
        assert!(of(io::Error::from_raw_os_error(24)).contains("ulimit -n"));
        let body = br#"{"code":0,"message":"Transport unknown"}"#;
        let refused = Failure::of_status("http://localhost:1", "WebSocket", 400, body).to_string();
        assert!(refused.contains("status 400") && refused.contains("Transport unknown"), "{refused}");
        assert!(Failure::of_status("u", "handshake", 404, b"").to_string().contains("--path"));
    }
}
