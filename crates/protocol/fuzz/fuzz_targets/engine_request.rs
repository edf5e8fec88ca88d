//! A query and the checks of its request; JSONP both ways.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sockeye_protocol::engine::fuzz::fuzz_request(data));
