//! The HTTP side: which requests are ours, and what they are answered.

mod client_files;
mod compression;
mod cookie;
mod cors;
mod drain;
mod engine;
mod forward;
mod origins;
mod polling;
mod relay;
mod service;
mod upgrade;

pub use client_files::ClientFiles;
pub use compression::HttpCompression;
pub use cookie::{Cookie, SameSite};
pub use cors::{Cors, OriginPattern};
pub(crate) use engine::{handle, is_ours};
pub use service::{NotFound, ResponseBody, SockeyeLayer, SockeyeService};
