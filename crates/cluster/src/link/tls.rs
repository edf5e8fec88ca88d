//! How the connection to a broker is encrypted.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};

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
#[derive(Clone, Debug, thiserror::Error)]
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
        let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| TlsError(format!("the provider of rustls cannot be used: {error}")))?;
        let builder = match self.ca {
            None => builder.with_root_certificates(roots),
            Some(_) => {
                let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
                let verifier = verifier
                    .map_err(|error| TlsError(format!("an authority's certificate cannot be used: {error}")))?;
                builder.dangerous().with_custom_certificate_verifier(Arc::new(Explaining(verifier)))
            }
        };
        let Some((certificates, key)) = identity else { return Ok(builder.with_no_client_auth()) };
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|_| TlsError("there is no private key in it, in PEM".to_owned()))?;
        let config = builder.with_client_auth_cert(certificates, key);
        config.map_err(|error| TlsError(format!("the certificate and its key cannot be used: {error}")))
    }
}

/// The usual checks of a server's certificate, with a better word for one that fails often.
#[derive(Debug)]
struct Explaining(Arc<WebPkiServerVerifier>);

/// Why a server's certificate is refused.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Explained(&'static str);

impl ServerCertVerifier for Explaining {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        verified.map_err(|error| match is_ca_used_as_server(&error) {
            true => Error::Other(OtherError(Arc::new(Explained(CA_USED_AS_SERVER)))),
            false => error,
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// `openssl req -x509` makes a certificate of an authority. Many give it to the server as well, and other libraries take it.
fn is_ca_used_as_server(error: &Error) -> bool {
    // The library has no other name for it.
    matches!(error, Error::InvalidCertificate(CertificateError::Other(other)) if format!("{other:?}").contains("CaUsedAsEndEntity"))
}

const CA_USED_AS_SERVER: &str = "the server shows the certificate of an authority (CA:TRUE), perhaps the one in `ca`, as its own. \
                                 Sign one for the server with it, or make the server's self-signed one without CA:TRUE \
                                 (openssl req -x509 -addext basicConstraints=critical,CA:FALSE)";

/// The certificates of a PEM file: at least one.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.ok().filter(|certificates| !certificates.is_empty());
    certificates.ok_or_else(|| TlsError("there is no certificate in it, in PEM".to_owned()))
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use rustls::{ClientConnection, Connection, ServerConfig, ServerConnection};

    use super::*;

    /// What becomes of a handshake with a server that has this certificate and key, where this authority is trusted.
    fn shake_hands(ca: &str, cert: &str, key: &str) -> Result<(), Error> {
        let tls = TlsOptions { ca: Some(ca.into()), ..TlsOptions::default() };
        let name = ServerName::try_from("localhost").unwrap();
        let client = ClientConnection::new(Arc::new(tls.client_config().unwrap()), name).unwrap();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let server = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(certificates(cert.as_bytes()).unwrap(), key)
            .unwrap();
        let server = ServerConnection::new(Arc::new(server)).unwrap();
        let mut sides = [Connection::Client(client), Connection::Server(server)];
        while sides.iter().any(|side| side.is_handshaking()) {
            for from in [0, 1] {
                let mut bytes = Vec::new();
                while sides[from].wants_write() {
                    sides[from].write_tls(&mut bytes).unwrap();
                }
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    sides[1 - from].read_tls(&mut rest).unwrap();
                    sides[1 - from].process_new_packets()?;
                }
            }
        }
        Ok(())
    }

    fn params(is_ca: bool) -> CertificateParams {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.is_ca = if is_ca { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::ExplicitNoCa };
        params
    }

    #[test]
    fn an_authority_that_is_the_server_is_explained() {
        let key = KeyPair::generate().unwrap();
        let own = params(true).self_signed(&key).unwrap();
        let error = shake_hands(&own.pem(), &own.pem(), &key.serialize_pem()).unwrap_err().to_string();
        assert!(error.contains("make the server's self-signed one without CA:TRUE"), "{error}");
    }

    #[test]
    fn who_is_trusted_and_who_is_not() {
        let key = KeyPair::generate().unwrap();
        let own = params(false).self_signed(&key).unwrap();
        assert_eq!(shake_hands(&own.pem(), &own.pem(), &key.serialize_pem()), Ok(()));
        let ca = CertifiedIssuer::self_signed(params(true), KeyPair::generate().unwrap()).unwrap();
        let signed = params(false).signed_by(&key, &ca).unwrap();
        assert_eq!(shake_hands(&ca.pem(), &signed.pem(), &key.serialize_pem()), Ok(()));
        let other = CertifiedIssuer::self_signed(params(true), KeyPair::generate().unwrap()).unwrap();
        let error = shake_hands(&other.pem(), &signed.pem(), &key.serialize_pem()).unwrap_err();
        assert!(matches!(error, Error::InvalidCertificate(_)), "{error}");
    }
}
