//! The messages of a connection that speaks JSON: text and attachments.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sockeye_protocol::socket::fuzz::fuzz_json(data));
