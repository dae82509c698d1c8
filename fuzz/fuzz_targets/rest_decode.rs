//! Calls of back ends: path, query and body.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rtm_fuzz_inputs::rest_decode(bytes));
