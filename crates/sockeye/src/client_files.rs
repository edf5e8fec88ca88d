//! The browser client, served from the files of its npm package.

use std::{
    fmt, fs,
    io::{self, Read as _},
    path::Path,
    sync::{Arc, OnceLock},
};

use ::http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode,
    header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH},
};
use bytes::Bytes;
use sockeye_engine::internal::content::{Encoding, compress, joined, negotiate, vary};

#[cfg(test)]
mod tests;

/// The JavaScript client, served beside the Socket.IO path as `socket.io.js`, `socket.io.min.js`,
/// `socket.io.esm.min.js` and `socket.io.msgpack.min.js`, each with its source map.
///
/// The files come from the folder `client-dist` of the npm package `socket.io`. They are read once, at the start.
///
/// # Example
///
/// ```no_run
/// use std::path::Path;
///
/// use sockeye::ClientFiles;
///
/// let files = ClientFiles::load(Path::new("node_modules/socket.io/client-dist"))?;
/// println!("serving version {} of the client", files.version());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct ClientFiles(Arc<Inner>);

struct Inner {
    version: String,
    etag: HeaderValue,
    files: Vec<File>,
}

struct File {
    name: &'static str,
    content_type: HeaderValue,
    plain: Bytes,
    // Made when first asked for.
    brotli: OnceLock<Bytes>,
    gzip: OnceLock<Bytes>,
    deflate: OnceLock<Bytes>,
}

impl ClientFiles {
    /// Reads the files of the client that the folder holds; others in it are left alone.
    ///
    /// # Errors
    ///
    /// Of kind `NotFound` if the folder holds none of the files; of kind `InvalidData` if one is larger than 8 MiB, or
    /// if neither their first lines nor the `package.json` beside the folder tell the version; else as the file system
    /// reports.
    pub fn load(dir: &Path) -> io::Result<Self> {
        let mut files = Vec::new();
        for name in FILE_NAMES {
            if let Some(plain) = read_bounded(&dir.join(name))? {
                files.push(File::new(name, plain));
            }
        }
        if files.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("no file of the Socket.IO client in {}", dir.display()),
            ));
        }
        let version = match files.iter().find_map(|file| banner_version(&file.plain)) {
            Some(version) => Some(version),
            None => read_bounded(&dir.join("../package.json"))?.as_deref().and_then(package_version),
        };
        let Some((version, etag)) = version.and_then(|version| etag(&version).map(|etag| (version, etag))) else {
            let what = format!("cannot tell the version of the Socket.IO client in {}", dir.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        };
        Ok(Self(Arc::new(Inner { version, etag, files })))
    }

    /// The version of the client, such as `4.8.4`.
    pub fn version(&self) -> &str {
        &self.0.version
    }

    /// The response for a file, named by what follows the path of the server and its slash, without the query; `None`
    /// if it is not one of these files. The CORS headers are the caller's to add.
    pub(crate) fn respond(
        &self,
        file_name: &str,
        method: &Method,
        request_headers: &HeaderMap,
    ) -> Option<Response<Bytes>> {
        let file = self.0.files.iter().find(|file| file.name == file_name)?;
        let mut response = Response::new(Bytes::new());
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=0"));
        headers.insert(ETAG, self.0.etag.clone());
        // The tag is the same for all encodings, so caches must keep them apart by other means.
        vary(headers, "Accept-Encoding");
        if self.is_current(request_headers) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return Some(response);
        }
        headers.insert(CONTENT_TYPE, file.content_type.clone());
        let accept_encoding = joined(request_headers, &ACCEPT_ENCODING);
        let accept_encoding = accept_encoding.as_ref().and_then(|value| value.to_str().ok());
        let encoding = negotiate(accept_encoding, &[Encoding::Brotli, Encoding::Gzip, Encoding::Deflate]);
        if let Some(encoding) = encoding {
            headers.insert(CONTENT_ENCODING, encoding.header_value());
        }
        let body = file.body(encoding);
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        if method != Method::HEAD {
            *response.body_mut() = body;
        }
        Some(response)
    }

    /// Whether the request names the version that it would get.
    fn is_current(&self, request_headers: &HeaderMap) -> bool {
        let known = request_headers.get_all(IF_NONE_MATCH).iter();
        known.flat_map(|value| value.as_bytes().split(|&byte| byte == b',')).any(|tag| {
            let tag = tag.trim_ascii();
            tag == b"*" || tag.strip_prefix(b"W/").unwrap_or(tag) == self.0.etag.as_bytes()
        })
    }
}

/// The answer where no client files are served; `None` if it is none of them that is asked for.
pub(crate) fn missing(file_name: &str, method: &Method) -> Option<Response<Bytes>> {
    let name = FILE_NAMES.iter().find(|name| **name == file_name)?;
    let text = format!(
        "This server does not serve {name}. Load the client from elsewhere, such as https://cdn.socket.io, or name the folder \
         client-dist of the npm package socket.io: server.client_dir in the configuration of sockeye, or \
         ServerBuilder::serve_client(ClientFiles::load(folder)?) in a program.\n"
    );
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NOT_FOUND;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
    if method != Method::HEAD {
        *response.body_mut() = text.into();
    }
    Some(response)
}

impl fmt::Debug for ClientFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.0.files.iter().map(|file| file.name).collect();
        f.debug_struct("ClientFiles").field("version", &self.0.version).field("files", &names).finish()
    }
}

impl File {
    fn new(name: &'static str, plain: Bytes) -> Self {
        let content_type = HeaderValue::from_static(if name.ends_with(".map") {
            "application/json; charset=utf-8"
        } else {
            "application/javascript; charset=utf-8"
        });
        Self { name, content_type, plain, brotli: OnceLock::new(), gzip: OnceLock::new(), deflate: OnceLock::new() }
    }

    fn body(&self, encoding: Option<Encoding>) -> Bytes {
        let (encoding, cached) = match encoding {
            None => return self.plain.clone(),
            Some(Encoding::Brotli) => (Encoding::Brotli, &self.brotli),
            Some(Encoding::Gzip) => (Encoding::Gzip, &self.gzip),
            Some(Encoding::Deflate) => (Encoding::Deflate, &self.deflate),
        };
        cached.get_or_init(|| compress(encoding, LEVEL, &self.plain)).clone()
    }
}

/// The whole file; `None` if there is none.
fn read_bounded(path: &Path) -> io::Result<Option<Bytes>> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut content = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MAX_FILE {
        let what = format!("{} is larger than {MAX_FILE} bytes", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    Ok(Some(content.into()))
}

/// The version in the comment that each script begins with.
fn banner_version(script: &[u8]) -> Option<String> {
    let head = String::from_utf8_lossy(script.get(..script.len().min(BANNER))?).into_owned();
    let (_, rest) = head.split_once("Socket.IO v")?;
    let version = rest.split(char::is_whitespace).next()?;
    (!version.is_empty()).then(|| version.to_owned())
}

fn package_version(package: &[u8]) -> Option<String> {
    let package: serde_json::Value = serde_json::from_slice(package).ok()?;
    Some(package.get("version")?.as_str()?.to_owned())
}

/// The version as an entity tag; `None` for what no version looks like.
fn etag(version: &str) -> Option<HeaderValue> {
    let plausible = (1..=MAX_VERSION).contains(&version.len())
        && version.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-+".contains(&byte));
    if !plausible {
        return None;
    }
    HeaderValue::try_from(format!("\"{version}\"")).ok()
}

const FILE_NAMES: [&str; 8] = [
    "socket.io.js",
    "socket.io.js.map",
    "socket.io.min.js",
    "socket.io.min.js.map",
    "socket.io.esm.min.js",
    "socket.io.esm.min.js.map",
    "socket.io.msgpack.min.js",
    "socket.io.msgpack.min.js.map",
];

/// Bytes of one file; the largest of the official package has 0.3 MB.
const MAX_FILE: u64 = 8 * 1024 * 1024;
/// Bytes at the start of a script among which its version is looked for.
const BANNER: usize = 256;
/// Bytes of a version.
const MAX_VERSION: usize = 64;
/// Effort of the compression. The highest one would take a second for the larger files, while a client waits.
const LEVEL: u32 = 9;
