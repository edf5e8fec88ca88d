//! Received bytes, cut in several ways.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sockeye_websocket::fuzz::fuzz_decoder(data));
