//! Compressed messages.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sockeye_websocket::fuzz::fuzz_inflate(data));
