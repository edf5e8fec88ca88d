//! The HTTP side: which requests are ours, and what they are answered.

mod admit;
mod compression;
mod cookie;
mod cors;
mod drain;
mod forward;
mod origins;
mod polling;
mod relay;
mod response;
mod route;
mod service;
mod upgrade;

pub use compression::HttpCompression;
pub use cookie::{Cookie, SameSite};
pub use cors::{Cors, OriginPattern};
pub(crate) use route::{handle, is_ours};
pub use service::{Layer, NotFound, ResponseBody, Service};

#[doc(hidden)]
pub mod content {
    //! What the files of a server above need of this: the encoding of a response, and lists in headers.
    pub use super::compression::{Encoding, compress, negotiate};
    pub use super::cors::{joined, vary};
}
