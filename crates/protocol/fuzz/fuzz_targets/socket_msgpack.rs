//! A packet in MessagePack, and the data of one.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sockeye_protocol::socket::fuzz::fuzz_msgpack(data));
