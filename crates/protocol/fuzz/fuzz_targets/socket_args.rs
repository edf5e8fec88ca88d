//! The text of arguments, read in every way.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sockeye_protocol::socket::fuzz::fuzz_args(data));
