//! How connections to Redis and to sentinels are encrypted.

use std::sync::Arc;

use redis::{ErrorKind, RedisError, RedisResult};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::options::TlsOptions;

/// Reads the certificates; none if connections are not to be encrypted. The cryptography is that of the provider that the program
/// has chosen for rustls, or else of `aws_lc_rs`.
///
/// # Errors
///
/// Something in them cannot be used, or they are for nothing.
pub(crate) fn config(options: &TlsOptions, is_encrypted: bool) -> RedisResult<Option<Arc<ClientConfig>>> {
    let identity = match (&options.certificate, &options.key) {
        (Some(certificate), Some(key)) => Some((certificates(certificate)?, key)),
        (None, None) => None,
        _ => return Err(unusable("one without the other: both are needed, or none")),
    };
    let own_roots = options.ca.as_deref().map(certificates).transpose()?;
    if !is_encrypted {
        return match (identity, own_roots) {
            (None, None) => Ok(None),
            _ => Err(unusable("the url must begin with rediss, or the connection is not encrypted")),
        };
    }
    let mut roots = RootCertStore::empty();
    match own_roots {
        Some(certificates) => {
            for certificate in certificates {
                roots.add(certificate).map_err(|error| detailed("an authority's certificate is refused", &error))?;
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
    let builder = builder.map_err(|error| detailed("the provider of rustls cannot be used", &error))?;
    let builder = builder.with_root_certificates(roots);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some((certificates, key)) => {
            let key =
                PrivateKeyDer::from_pem_slice(key).map_err(|_| unusable("there is no private key in it, in PEM"))?;
            let config = builder.with_client_auth_cert(certificates, key);
            config.map_err(|error| detailed("the certificate and its key cannot be used", &error))?
        }
    };
    Ok(Some(Arc::new(config)))
}

/// The certificates of a PEM file: at least one.
fn certificates(pem: &[u8]) -> RedisResult<Vec<CertificateDer<'static>>> {
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.ok().filter(|certificates| !certificates.is_empty());
    certificates.ok_or_else(|| unusable("there is no certificate in it, in PEM"))
}

fn unusable(what: &'static str) -> RedisError {
    (ErrorKind::InvalidClientConfig, what).into()
}

fn detailed(what: &'static str, error: &rustls::Error) -> RedisError {
    (ErrorKind::InvalidClientConfig, what, error.to_string()).into()
}
