//! From packets of Socket.IO to messages of the engine.

use sockeye_engine::{Encoded, Encoder};
use sockeye_protocol::socket::{Args, Packet, Parser};

/// A packet, with its attachments, encoded once for all its recipients.
pub(crate) fn encode(packet: &Packet, parser: Parser, compress: bool) -> Encoded {
    let mut encoder = Encoder::default();
    match parser {
        Parser::Json => {
            encoder.text(packet.json_len(), |out| packet.encode_json_into(out));
            for attachment in packet.args().map_or(&[][..], Args::attachments) {
                encoder.binary(attachment);
            }
        }
        Parser::MsgPack => {
            let mut payload = Vec::new();
            packet.encode_msgpack_into(&mut payload);
            encoder.binary(&payload);
        }
    }
    encoder.finish(compress)
}
