//! Access tokens of any form: explained and verified, never believed.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rtm_fuzz_inputs::token(bytes));
