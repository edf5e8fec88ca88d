//! The extensions a client asks for.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &str| sockeye_websocket::fuzz::fuzz_negotiate(data));
