//! permessage-deflate as this server uses it: without context takeover, so that a message for many is compressed once.

use sockeye_websocket::deflate::{Agreed, DeflateConfig, negotiate};
use sockeye_websocket::{Inflater, Role};

/// What was agreed on with a client.
pub(crate) struct Agreement {
    /// The value of the response header.
    pub(crate) header: String,
    pub(crate) inflater: Inflater,
}

/// Answers a client's offers; none if we would need a compressor just for it (a smaller window).
pub(crate) fn agree(offers: &str) -> Option<Agreement> {
    let (agreed, header) = negotiate(offers, &DeflateConfig::default())?;
    let is_shared =
        agreed.server_no_context_takeover && agreed.server_max_window_bits == shared().server_max_window_bits;
    is_shared.then(|| Agreement { header, inflater: Inflater::new(&agreed, Role::Server) })
}

/// The parameters that all connections share for what we send.
pub(crate) fn shared() -> Agreed {
    let config = DeflateConfig::default();
    Agreed {
        server_no_context_takeover: config.server_no_context_takeover,
        client_no_context_takeover: config.client_no_context_takeover,
        server_max_window_bits: config.server_max_window_bits,
        client_max_window_bits: config.client_max_window_bits,
        level: config.level,
    }
}
