//! A polling body: read, written and read again.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sockeye_protocol::engine::fuzz::fuzz_payload(data));
