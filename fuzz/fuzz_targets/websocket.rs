//! A server's socket against any frames: the connection ends, and whatever is said can be read.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rtm_fuzz_inputs::websocket(bytes));
