//! Certificates and a user, for servers that want both.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// A certificate for this machine, and whom to trust for it, in PEM.
#[derive(Clone)]
pub(crate) struct Secrets {
    pub(crate) ca: Vec<u8>,
    pub(crate) cert: Vec<u8>,
    pub(crate) key: Vec<u8>,
}

/// Of the user `sockeye`: the only one there is. Needs to be percent-encoded in a url.
pub(crate) const PASSWORD: &str = "p@ss/word:#1";

impl Secrets {
    pub(crate) fn new() -> Self {
        // Before the clients of the tests need it.
        let _already = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "tests");
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        let cert = CertificateParams::new(names).unwrap().signed_by(&key, &ca).unwrap();
        Self { ca: ca.pem().into_bytes(), cert: cert.pem().into_bytes(), key: key.serialize_pem().into_bytes() }
    }

    /// What a server needs that listens with TLS only, to clients with a certificate and a password.
    pub(crate) fn config(&self, folder: &Path, port: u16) -> String {
        let mut config = format!("port 0\ntls-port {port}\ntls-replication yes\n");
        for (name, file, data) in [
            ("tls-ca-cert-file", "ca.pem", &self.ca),
            ("tls-cert-file", "cert.pem", &self.cert),
            ("tls-key-file", "key.pem", &self.key),
        ] {
            fs::write(folder.join(file), data).unwrap();
            writeln!(config, "{name} {}", folder.join(file).display()).unwrap();
        }
        writeln!(config, "user default off\nuser sockeye on \">{PASSWORD}\" ~* &* +@all").unwrap();
        config
    }

    /// The url of these servers.
    pub(crate) fn url(&self, scheme: &str, ports: &[u16]) -> String {
        let hosts: Vec<_> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        format!("{scheme}://sockeye:p%40ss%2Fword%3A%231@{}", hosts.join(","))
    }
}
