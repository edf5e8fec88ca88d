//! How the connection to NATS is encrypted.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::connection::OptionsError;
use crate::options::TlsOptions;

/// Reads the certificates. The cryptography is that of the provider that the program has chosen for rustls, or else of `aws_lc_rs`.
pub(crate) fn config(options: &TlsOptions) -> Result<ClientConfig, OptionsError> {
    let mut roots = RootCertStore::empty();
    match &options.ca {
        Some(pem) => {
            for certificate in certificates(pem)? {
                roots.add(certificate).map_err(unusable)?;
            }
        }
        None => {
            // Some of a system may be of a kind that is not known.
            let (_taken, _refused) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = CryptoProvider::get_default().cloned();
    let provider = provider.unwrap_or_else(|| Arc::new(aws_lc_rs::default_provider()));
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(unusable)?.with_root_certificates(roots);
    match (&options.certificate, &options.key) {
        (None, None) => Ok(builder.with_no_client_auth()),
        (Some(certificate), Some(key)) => {
            let key = PrivateKeyDer::from_pem_slice(key).map_err(unusable)?;
            builder.with_client_auth_cert(certificates(certificate)?, key).map_err(unusable)
        }
        _ => Err(unusable("a certificate without its key, or a key without a certificate")),
    }
}

/// The certificates of a PEM file: at least one.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, OptionsError> {
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().map_err(unusable)?;
    if certificates.is_empty() { Err(unusable("there is no certificate in it, in PEM")) } else { Ok(certificates) }
}

#[allow(clippy::needless_pass_by_value, reason = "it is what `map_err` takes")]
fn unusable<T: ToString>(why: T) -> OptionsError {
    OptionsError::new("the certificates", &why)
}
