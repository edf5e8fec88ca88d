//! A session and whatever may happen to it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sockeye_protocol::engine::fuzz::fuzz_session(data));
