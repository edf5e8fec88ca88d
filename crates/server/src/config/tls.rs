//! The `[server.tls]` table: the files read, and what is wrong with them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::problems::{NOT_ZERO, Problems};
use super::raw::TlsSection;

/// Encryption.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    pub(crate) config: Arc<rustls::ServerConfig>,
    pub(crate) handshake_timeout: Duration,
}

/// The certificate and key; none where something is wrong with them, which is reported.
pub(super) fn tls(raw: &TlsSection, problems: &mut Problems) -> Option<Tls> {
    let mut require = |key: &str, path: &Option<PathBuf>| {
        if path.is_none() {
            problems.add(&format!("server.tls.{key}"), "is missing: the path of a PEM file");
        }
        path.clone()
    };
    let (cert, key) = (require("cert", &raw.cert), require("key", &raw.key));
    if raw.handshake_timeout.is_zero() {
        problems.add("server.tls.handshake_timeout", NOT_ZERO);
    }
    let (cert, key) = (cert?, key?);
    let chain = certificates(&cert).map_err(|error| problems.add("server.tls.cert", error)).ok();
    let key = private_key(&key).map_err(|error| problems.add("server.tls.key", error)).ok();
    let (chain, key) = (chain?, key?);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key));
    match config {
        Ok(mut config) => {
            config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            Some(Tls { config: Arc::new(config), handshake_timeout: raw.handshake_timeout })
        }
        Err(error) => {
            problems.add("server.tls", format!("certificate and key cannot be used: {error}"));
            None
        }
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let shown = path.display();
    match read_certificates(path) {
        Ok(chain) if chain.is_empty() => Err(match PrivateKeyDer::from_pem_file(path) {
            Ok(_) => format!("no certificate in {shown}: it holds a private key; are cert and key swapped?"),
            Err(_) => format!("no certificate in {shown}: it must hold one in PEM format"),
        }),
        Ok(chain) => Ok(chain),
        Err(error) => Err(format!("{shown}: {}", pem_error(&error))),
    }
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    CertificateDer::pem_file_iter(path).and_then(Iterator::collect)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let shown = path.display();
    PrivateKeyDer::from_pem_file(path).map_err(|error| match error {
        pem::Error::NoItemsFound if read_certificates(path).is_ok_and(|chain| !chain.is_empty()) => {
            format!("no private key in {shown}: it holds a certificate; are cert and key swapped?")
        }
        pem::Error::NoItemsFound if std::fs::read_to_string(path).is_ok_and(|text| text.contains(ENCRYPTED)) => {
            format!(
                "no private key in {shown} that can be read: it is encrypted; `openssl pkey -in {shown}` decrypts it"
            )
        }
        pem::Error::NoItemsFound => format!("no private key in {shown}: it must hold one in PEM format"),
        error => format!("{shown}: {}", pem_error(&error)),
    })
}

/// How a private key begins that wants a password.
const ENCRYPTED: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";

fn pem_error(error: &pem::Error) -> String {
    match error {
        pem::Error::Io(error) if error.kind() == io::ErrorKind::NotFound => "there is no such file".to_owned(),
        pem::Error::Io(error) => error.to_string(),
        other => other.to_string(),
    }
}
