//! permessage-deflate as this server uses it. What it sends is without context takeover, so that a message for many is compressed
//! once. A client may keep its context, for some cannot do without (`clientNoContextTakeover: false` of `ws`); its offer does not
//! tell which. The server then keeps a window for it, and of these not more than a bound allows.

use std::sync::Arc;

use sockeye_websocket::deflate::{Agreed, DeflateConfig, negotiate};
use sockeye_websocket::{Inflater, Role};

/// What was agreed on with a client.
pub(crate) struct Agreement {
    /// The value of the response header.
    pub(crate) header: String,
    pub(crate) inflater: Inflater,
    /// It may keep no context, as too many do.
    pub(crate) at_limit: bool,
}

/// Answers a client's offers; none if we would need a compressor just for it (a smaller window). It may keep its context if no more than
/// `limit` do, whoever has a clone of `contexts`.
pub(crate) fn agree(contexts: &Arc<()>, limit: usize, offers: &str) -> Option<Agreement> {
    // The server's own handle is one of them.
    answer(offers, Arc::strong_count(contexts) <= limit, contexts)
}

fn answer(offers: &str, may_keep: bool, contexts: &Arc<()>) -> Option<Agreement> {
    let config = DeflateConfig { client_no_context_takeover: !may_keep, ..DeflateConfig::default() };
    let (agreed, header) = negotiate(offers, &config)?;
    let is_shared =
        agreed.server_no_context_takeover && agreed.server_max_window_bits == shared().server_max_window_bits;
    let mut inflater = Inflater::new(&agreed, Role::Server);
    if !agreed.client_no_context_takeover {
        inflater = inflater.counted(contexts.clone());
    }
    is_shared.then_some(Agreement { header, inflater, at_limit: !may_keep })
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

#[cfg(test)]
mod tests {
    use super::*;
    use sockeye_websocket::Deflater;

    fn header(offers: &str, may_keep: bool) -> Option<String> {
        answer(offers, may_keep, &Arc::default()).map(|agreement| agreement.header)
    }

    #[test]
    fn a_client_may_keep_its_context_unless_it_offers_not_to_or_too_many_do() {
        let usual = "permessage-deflate; client_max_window_bits";
        let ours = "permessage-deflate; server_no_context_takeover";
        assert_eq!(header(usual, true).unwrap(), ours);
        assert_eq!(header("permessage-deflate", true).unwrap(), ours);
        let neither = format!("{ours}; client_no_context_takeover");
        assert_eq!(header("permessage-deflate; client_no_context_takeover", true).unwrap(), neither);
        assert_eq!(header(usual, false).unwrap(), neither);
        assert_eq!(header("permessage-deflate; server_max_window_bits=10", true), None);
    }

    #[test]
    fn what_a_client_compresses_with_its_context_is_understood_and_counted() {
        let contexts = Arc::default();
        let mut inflater = answer("permessage-deflate", true, &contexts).unwrap().inflater;
        let mut deflater = Deflater::new(&Agreed { client_no_context_takeover: false, ..shared() }, Role::Client);
        let mut sizes = Vec::new();
        for _ in 0..3 {
            let (mut packed, mut text) = (Vec::new(), Vec::new());
            deflater.compress(b"the same long message, once more and again", &mut packed).unwrap();
            inflater.inflate(&packed, &mut text, 1000).unwrap();
            assert_eq!(text, b"the same long message, once more and again");
            sizes.push(packed.len());
        }
        assert!(sizes[1] < sizes[0] / 2, "{sizes:?}");
        assert_eq!(Arc::strong_count(&contexts), 2);
        drop(inflater);
        assert_eq!(Arc::strong_count(&contexts), 1);
    }
}
