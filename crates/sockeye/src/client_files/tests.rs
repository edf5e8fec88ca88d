//! Loading from a folder and the responses.

use std::{
    io::Write as _,
    path::PathBuf,
    process,
    sync::atomic::{AtomicUsize, Ordering},
};

use super::*;

/// A package folder that goes away with the test.
struct Package(PathBuf);

impl Package {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("sockeye-client-files-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let root = std::env::temp_dir().join(name);
        fs::create_dir_all(root.join("client-dist")).unwrap();
        Self(root)
    }

    fn dir(&self) -> PathBuf {
        self.0.join("client-dist")
    }

    fn with(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        fs::write(self.dir().join(name), content).unwrap();
        self
    }

    fn load(&self) -> io::Result<ClientFiles> {
        ClientFiles::load(&self.dir())
    }
}

impl Drop for Package {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

fn script() -> String {
    format!("/*!\n * Socket.IO v4.8.4\n * and more\n */\n{}", "io();\n".repeat(500))
}

fn request(headers: &[(::http::HeaderName, &'static str)]) -> HeaderMap {
    headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
}

fn get(files: &ClientFiles, name: &str, headers: &[(::http::HeaderName, &'static str)]) -> Option<Response<Bytes>> {
    files.respond(name, &Method::GET, &request(headers))
}

#[test]
fn scripts_and_maps_have_the_headers_of_the_official_server() {
    let files = Package::new().with("socket.io.js", script()).with("socket.io.js.map", "{}").load().unwrap();
    assert_eq!(files.version(), "4.8.4");
    let response = get(&files, "socket.io.js", &[]).unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[CACHE_CONTROL], "public, max-age=0");
    assert_eq!(response.headers()[CONTENT_TYPE], "application/javascript; charset=utf-8");
    assert_eq!(response.headers()[ETAG], "\"4.8.4\"");
    assert_eq!(response.headers().get(CONTENT_ENCODING), None);
    assert_eq!(response.body(), script().as_bytes());
    let response = get(&files, "socket.io.js.map", &[]).unwrap();
    assert_eq!(response.headers()[CONTENT_TYPE], "application/json; charset=utf-8");
    assert_eq!(response.body().as_ref(), b"{}");
}

#[test]
fn only_the_exact_names_are_served() {
    let package = Package::new().with("socket.io.min.js", script()).with("secret.js", "x");
    let files = package.load().unwrap();
    assert!(get(&files, "socket.io.min.js", &[]).is_some());
    for name in
        ["", "secret.js", "socket.io.js", "/socket.io.min.js", "../client-dist/socket.io.min.js", "SOCKET.IO.MIN.JS"]
    {
        assert!(get(&files, name, &[]).is_none(), "{name}");
    }
}

#[test]
fn a_client_that_has_the_version_gets_304() {
    let files = Package::new().with("socket.io.js", script()).load().unwrap();
    for tag in ["\"4.8.4\"", "W/\"4.8.4\"", "\"4.8.3\", W/\"4.8.4\"", "*"] {
        let response = get(&files, "socket.io.js", &[(IF_NONE_MATCH, tag)]).unwrap();
        assert_eq!(response.status(), StatusCode::NOT_MODIFIED, "{tag}");
        assert!(response.body().is_empty());
    }
    for tag in ["\"4.8.3\"", "4.8.4", "w/\"4.8.4\"", ""] {
        let response = get(&files, "socket.io.js", &[(IF_NONE_MATCH, tag)]).unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{tag}");
    }
}

#[test]
fn bodies_are_encoded_as_asked() {
    let files = Package::new().with("socket.io.js", script()).load().unwrap();
    for (accept, expected) in [
        ("gzip, deflate, br", Some("gzip")),
        ("br", Some("br")),
        ("deflate", Some("deflate")),
        ("*", Some("br")),
        ("zstd", None),
    ] {
        let response = get(&files, "socket.io.js", &[(ACCEPT_ENCODING, accept)]).unwrap();
        let encoding = response.headers().get(CONTENT_ENCODING).map(|value| value.to_str().unwrap());
        assert_eq!(encoding, expected, "{accept}");
        assert_eq!(response.headers()[CONTENT_LENGTH], response.body().len().to_string());
        assert_eq!(response.body().len() < script().len(), expected.is_some());
        let again = get(&files.clone(), "socket.io.js", &[(ACCEPT_ENCODING, accept)]).unwrap();
        assert_eq!(again.body().as_ptr(), response.body().as_ptr());
    }
}

#[test]
fn head_tells_the_length_without_the_body() {
    let files = Package::new().with("socket.io.js", script()).load().unwrap();
    let response = files.respond("socket.io.js", &Method::HEAD, &HeaderMap::new()).unwrap();
    assert_eq!(response.headers()[CONTENT_LENGTH], script().len().to_string());
    assert!(response.body().is_empty());
}

#[test]
fn the_version_may_come_from_the_package() {
    let package = Package::new().with("socket.io.js", "io();").with("../package.json", r#"{"version":"5.0.0-rc.1"}"#);
    assert_eq!(package.load().unwrap().version(), "5.0.0-rc.1");
    let package = package.with("socket.io.min.js", script());
    assert_eq!(package.load().unwrap().version(), "4.8.4");
}

#[test]
fn folders_without_a_usable_client_are_refused() {
    let kind = |package: &Package| package.load().unwrap_err().kind();
    assert_eq!(kind(&Package::new()), io::ErrorKind::NotFound);
    let package = Package::new().with("socket.io.js", "io();");
    assert_eq!(kind(&package), io::ErrorKind::InvalidData);
    let package = package.with("../package.json", "{\"version\":\"4\\\"\\r\\n\"}");
    assert_eq!(kind(&package), io::ErrorKind::InvalidData);
}

#[test]
fn a_file_beyond_the_bound_is_refused() {
    let package = Package::new().with("socket.io.js", script());
    let mut file = fs::OpenOptions::new().append(true).open(package.dir().join("socket.io.js")).unwrap();
    file.set_len(MAX_FILE).unwrap();
    assert!(package.load().is_ok());
    file.write_all(b"x").unwrap();
    assert_eq!(package.load().unwrap_err().kind(), io::ErrorKind::InvalidData);
}
