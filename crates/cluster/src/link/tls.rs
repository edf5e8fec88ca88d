//! How the connection to a broker is encrypted.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;

/// Encryption of the connections to a broker.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct TlsOptions {
    /// Certificates, in PEM, of the authorities that are trusted instead of the system's.
    pub ca: Option<Vec<u8>>,
    /// The certificate that this node shows, and those that lead to its root, in PEM. With [`key`](Self::key) only.
    pub certificate: Option<Vec<u8>>,
    /// Its private key, in PEM.
    pub key: Option<Vec<u8>>,
}

/// Certificates that cannot be used.
#[derive(Clone, Debug, Error)]
#[error("{0}")]
pub struct TlsError(String);

/// Whether there is one, and nothing of it.
impl fmt::Debug for TlsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ca, certificate, key } = self;
        f.debug_struct("TlsOptions")
            .field("ca", &ca.is_some())
            .field("certificate", &certificate.is_some())
            .field("key", &key.is_some())
            .finish()
    }
}

impl TlsOptions {
    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self.ca.is_none() && self.certificate.is_none() && self.key.is_none()
    }

    /// Reads the certificates. The cryptography is that of the provider that the program has chosen for rustls, or else of
    /// `aws_lc_rs`.
    ///
    /// # Errors
    ///
    /// Something in them cannot be used.
    pub fn client_config(&self) -> Result<ClientConfig, TlsError> {
        let identity = match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => Some((certificates(certificate)?, key)),
            (None, None) => None,
            _ => return Err(TlsError("one without the other: both are needed, or none".to_owned())),
        };
        let mut roots = RootCertStore::empty();
        match &self.ca {
            Some(pem) => {
                for certificate in certificates(pem)? {
                    let added = roots.add(certificate);
                    added.map_err(|error| TlsError(format!("an authority's certificate is refused: {error}")))?;
                }
            }
            None => {
                // Some of a system may be of a kind that is not known.
                let (_taken, _refused) =
                    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        let provider = CryptoProvider::get_default().cloned();
        let provider = provider.unwrap_or_else(|| Arc::new(aws_lc_rs::default_provider()));
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| TlsError(format!("the provider of rustls cannot be used: {error}")))?;
        let builder = builder.with_root_certificates(roots);
        let Some((certificates, key)) = identity else { return Ok(builder.with_no_client_auth()) };
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|_| TlsError("there is no private key in it, in PEM".to_owned()))?;
        let config = builder.with_client_auth_cert(certificates, key);
        config.map_err(|error| TlsError(format!("the certificate and its key cannot be used: {error}")))
    }
}

/// The certificates of a PEM file: at least one.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.ok().filter(|certificates| !certificates.is_empty());
    certificates.ok_or_else(|| TlsError("there is no certificate in it, in PEM".to_owned()))
}
