//! WebSocket frames.

use std::hint::black_box;

use sockeye_websocket::{Decoder, Input, Limits, OpCode, Role, write_header, write_masked_frame};

use crate::{Operation, Path, TEXT, repeat};

pub(crate) const PATHS: &[Path] = &[
    Path { name: "websocket/decode-text-64", runs: 2_000, per_run: 1, open: || decode(OpCode::Text, TEXT.as_bytes()) },
    Path { name: "websocket/decode-binary-64k", runs: 50, per_run: 1, open: || decode(OpCode::Binary, &[7; 64 << 10]) },
    Path { name: "websocket/encode-header", runs: 20_000, per_run: 1, open: encode_header },
];

fn decode(opcode: OpCode, payload: &[u8]) -> Operation {
    let mut wire = Vec::new();
    // Decoding unmasks in place, and what is unmasked twice would be no text. So the mask is one that changes nothing;
    // it is applied all the same.
    write_masked_frame(&mut wire, opcode, false, payload, [0; 4]);
    let mut decoder = Decoder::new(Role::Server, Limits::default());
    repeat(move || {
        let mut input = Input::new(&mut wire);
        let event = decoder.decode(&mut input).expect("a frame as clients send it");
        assert!(black_box(event).is_some());
    })
}

fn encode_header() -> Operation {
    let mut out = Vec::with_capacity(16);
    repeat(move || {
        out.clear();
        write_header(&mut out, OpCode::Text, false, black_box(64));
        black_box(&mut out);
    })
}
