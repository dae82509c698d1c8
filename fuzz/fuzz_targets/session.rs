//! A server's core against any sequence of inputs.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rtm_fuzz_inputs::session(bytes));
