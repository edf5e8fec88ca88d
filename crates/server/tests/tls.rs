//! Encryption, HTTP/2, and WebSocket over HTTP/2 (RFC 8441).

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::{Method, Request, Version};
use serde_json::json;
use support::{Client, PATIENCE, Process, config, get, sockeye};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A server with a certificate of its own, and what trusts it.
struct Secure {
    server: Process,
    roots: rustls::RootCertStore,
    _dir: tempfile::TempDir,
}

fn certificate(dir: &Path) -> rcgen::CertifiedKey<rcgen::KeyPair> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(dir.join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(dir.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    made
}

fn start() -> Secure {
    let dir = tempfile::tempdir().unwrap();
    let made = certificate(dir.path());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let path = dir.path().join("sockeye.toml");
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    let text = format!(
        "[server]\ndemo = true\n[admin]\nlisten = \"127.0.0.1:0\"\n[log]\nlevel = \"debug\"\n[server.tls]\ncert = {cert:?}\nkey = {key:?}\n[limits]\nclose_timeout = \"1s\"\n"
    );
    std::fs::write(&path, text).unwrap();
    Secure { server: Process::start(["--config", path.to_str().unwrap()]), roots, _dir: dir }
}

impl Secure {
    async fn connect(&self, protocols: &[&str]) -> TlsStream<TcpStream> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder =
            rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config = builder.with_root_certificates(self.roots.clone()).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(self.server.address).await.unwrap();
        let name = "localhost".try_into().unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
    }
}

type SendRequest = h2::client::SendRequest<Bytes>;

async fn http2<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S) -> SendRequest {
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(async move { drop(connection.await) });
    sender.ready().await.unwrap()
}

async fn fetch(sender: &mut SendRequest, method: Method, path: &str, body: &'static str) -> (u16, String) {
    let request = Request::builder().method(method).uri(format!("https://localhost{path}")).version(Version::HTTP_2);
    let (response, mut stream) = sender.send_request(request.body(()).unwrap(), body.is_empty()).unwrap();
    if !body.is_empty() {
        stream.send_data(Bytes::from_static(body.as_bytes()), true).unwrap();
    }
    let response = response.await.unwrap();
    let status = response.status().as_u16();
    let mut text = BytesMut::new();
    let mut stream = response.into_body();
    while let Some(data) = stream.data().await {
        text.extend_from_slice(&data.unwrap());
    }
    (status, String::from_utf8(text.to_vec()).unwrap())
}

/// Long-polling, from the handshake to an acknowledgement, on one HTTP/2 connection.
async fn poll(sender: &mut SendRequest) {
    let base = "/socket.io/?EIO=4&transport=polling";
    let (status, open) = fetch(sender, Method::GET, base, "").await;
    assert_eq!(status, 200);
    let open: serde_json::Value = serde_json::from_str(open.strip_prefix('0').unwrap()).unwrap();
    let path = format!("{base}&sid={}", open["sid"].as_str().unwrap());
    assert_eq!(fetch(sender, Method::POST, &path, "40").await, (200, "ok".to_owned()));
    assert!(fetch(sender, Method::GET, &path, "").await.1.starts_with("40{"));
    fetch(sender, Method::POST, &path, "420[\"x\"]").await;
    let answer = fetch(sender, Method::GET, &path, "").await.1;
    assert!(answer.starts_with("430[{") && answer.contains("unknown event"), "{answer}");
}

/// WebSocket on a stream of an HTTP/2 connection: a masked frame there, an unmasked one back.
async fn websocket(sender: &mut SendRequest) {
    let path = "https://localhost/socket.io/?EIO=4&transport=websocket";
    let mut request = Request::builder().method(Method::CONNECT).uri(path).version(Version::HTTP_2);
    request.extensions_mut().unwrap().insert(h2::ext::Protocol::from_static("websocket"));
    let request = request.header("sec-websocket-version", "13").body(()).unwrap();
    let (response, mut stream) = sender.send_request(request, false).unwrap();
    let response = response.await.unwrap();
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    let mut received = BytesMut::new();
    let mut sent = false;
    while !String::from_utf8_lossy(&received).contains("40{\"sid\"") {
        received.extend_from_slice(&body.data().await.unwrap().unwrap());
        if !sent {
            // "40", masked with zeros.
            stream.send_data(Bytes::from_static(&[0x81, 0x82, 0, 0, 0, 0, b'4', b'0']), false).unwrap();
            sent = true;
        }
    }
    assert_eq!((received[0], received[2]), (0x81, b'0'), "the first frame is the open packet");
}

#[tokio::test]
async fn websocket_and_https_work_over_tls() {
    let secure = start();
    let stream = secure.connect(&["http/1.1"]).await;
    let mut client = Client::over(stream, "wss", "/", json!({})).await.unwrap();
    client.assert_quiet().await;
    secure.server.signal("TERM");
    while client.message().await.is_some() {}
    assert_eq!(secure.server.wait().0.code(), Some(0));
}

#[tokio::test]
async fn polling_and_websocket_work_over_http2_and_tls() {
    let secure = start();
    let stream = secure.connect(&["h2", "http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let mut sender = http2(stream).await;
    assert_eq!(fetch(&mut sender, Method::GET, "/", "").await.0, 200);
    poll(&mut sender).await;
    websocket(&mut sender).await;
    secure.server.signal("TERM");
    // The client's half of the connection must go on meanwhile: it answers the goodbye of HTTP/2.
    let ended = tokio::task::spawn_blocking(move || secure.server.wait()).await.unwrap();
    assert_eq!((ended.0.code(), ended.1.last().map(String::as_str)), (Some(0), Some("stopped")));
}

#[tokio::test]
async fn polling_and_websocket_work_over_http2_in_clear() {
    let server = Process::start([]);
    let address: SocketAddr = server.address;
    let mut sender = http2(TcpStream::connect(address).await.unwrap()).await;
    poll(&mut sender).await;
    websocket(&mut sender).await;
}

#[test]
fn refused_handshakes_are_counted() {
    let secure = start();
    let admin = secure.server.admin.unwrap();
    // Whoever speaks HTTP there is told so, and gone: then it is counted.
    let mut stream = std::net::TcpStream::connect(secure.server.address).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let until = Instant::now() + PATIENCE;
    loop {
        let page = String::from_utf8(get(admin, "/metrics", "").2).unwrap();
        if page.contains("sockeye_tls_refused_total 1\n") {
            break;
        }
        assert!(Instant::now() < until, "{page}");
        std::thread::sleep(Duration::from_millis(10));
    }
    secure.server.signal("TERM");
    let (_, messages) = secure.server.wait();
    assert!(messages.iter().any(|message| message == "TLS handshake failed"), "{messages:?}");
}

#[test]
fn wrong_files_are_named() {
    let dir = tempfile::tempdir().unwrap();
    certificate(dir.path());
    let other = tempfile::tempdir().unwrap();
    certificate(other.path());
    let (cert, key, foreign) = (dir.path().join("cert.pem"), dir.path().join("key.pem"), other.path().join("key.pem"));
    let missing = dir.path().join("none.pem");
    let (encrypted, empty) = (dir.path().join("encrypted.pem"), dir.path().join("empty.pem"));
    let text = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    std::fs::write(&encrypted, text).unwrap();
    std::fs::write(&empty, "").unwrap();
    for (cert, key, expected) in [
        (&missing, &key, "server.tls.cert: "),
        (&key, &key, "it holds a private key; are cert and key swapped?"),
        (&cert, &missing, "server.tls.key: "),
        (&cert, &cert, "it holds a certificate; are cert and key swapped?"),
        (&cert, &cert, &format!("server.tls.key: no private key in {}", cert.display())),
        (&cert, &encrypted, "it is encrypted"),
        (&cert, &empty, &format!("no private key in {}: it must hold one", empty.display())),
        (&empty, &key, &format!("server.tls.cert: no certificate in {}: it must hold one", empty.display())),
        (&cert, &foreign, "server.tls: certificate and key cannot be used"),
    ] {
        let (_dir, path) = config(&format!("[server.tls]\ncert = {cert:?}\nkey = {key:?}\n"));
        let output = sockeye(["check", "--config", &path]).output().unwrap();
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{complaint}");
        assert!(complaint.contains(expected), "{complaint}");
    }
}

/// Connections of one address that never begin a TLS handshake take no place of others.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn silent_connections_of_one_address_do_not_lock_out_others() {
    use tokio::io::AsyncReadExt as _;

    let dir = tempfile::tempdir().unwrap();
    let made = certificate(dir.path());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    let text = format!(
        "[server.tls]\ncert = {cert:?}\nkey = {key:?}\nhandshake_timeout = \"10m\"\n[limits]\nmax_handshakes = 40\n"
    );
    let path = dir.path().join("sockeye.toml");
    std::fs::write(&path, text).unwrap();
    let secure = Secure { server: Process::start(["--config", path.to_str().unwrap()]), roots, _dir: dir };
    let mut silent = Vec::new();
    for _ in 0..60 {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 2], 0).into()).unwrap();
        silent.push(socket.connect(secure.server.address).await.unwrap());
    }
    // The first half of the bound is its share; each further one is closed.
    for stream in &mut silent[20..] {
        assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0);
    }
    for _ in 0..5 {
        let stream = secure.connect(&["http/1.1"]).await;
        Client::over(stream, "wss", "/", json!({})).await.unwrap().assert_quiet().await;
    }
}
