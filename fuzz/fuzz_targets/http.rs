//! A server's port against any bytes: each connection ends, and whatever is said is HTTP.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rtm_fuzz_inputs::http(bytes));
