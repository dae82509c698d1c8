//! The PROXY header with which a connection begins.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rtm_fuzz_inputs::proxy_header(bytes));
