//! permessage-deflate (RFC 7692): negotiation and the compression of messages.
//!
//! By default both ends agree to compress each message on its own (`no_context_takeover`). Then no state is kept between
//! messages: compressors and decompressors are lent from a small store of the thread, an idle connection holds none, and a
//! compressed broadcast is the same for every recipient.

mod deflater;
mod inflater;
mod negotiation;

pub use deflater::Deflater;
pub use inflater::Inflater;
pub use negotiation::{Agreed, DeflateConfig, accept_response, negotiate, offer};

#[cfg(test)]
mod tests;
