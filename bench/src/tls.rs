//! Serves encrypted connections.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sockeye::{NotFound, Server};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Reads a certificate and its key.
pub(crate) fn acceptor(certificate: &Path, key: &Path) -> io::Result<TlsAcceptor> {
    let of_file = |file: &Path, error: &dyn std::fmt::Display| io::Error::other(format!("{}: {error}", file.display()));
    let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.map_err(|error| of_file(certificate, &error))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| of_file(key, &error))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private));
    Ok(TlsAcceptor::from(Arc::new(config.map_err(|error| of_file(certificate, &error))?)))
}

/// Serves what comes in, until the server is closed.
pub(crate) async fn serve(io: &Server, listener: TcpListener, acceptor: TlsAcceptor) {
    while let Some((stream, remote)) = io.accept(&listener).await {
        let (io, acceptor) = (io.clone(), acceptor.clone());
        tokio::spawn(async move {
            match acceptor.accept(stream).await {
                Ok(stream) => io.serve_connection(stream, Some(remote), true, NotFound).await,
                Err(error) => eprintln!("TLS handshake with {remote} failed: {error}"),
            }
        });
    }
}
