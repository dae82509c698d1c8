//! A client's connection against any sequence of inputs.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rtm_fuzz_inputs::connection(bytes));
