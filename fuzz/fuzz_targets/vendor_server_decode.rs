//! A server of the vendor's wire against any messages of a client: one on each line.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rtm_fuzz_inputs::vendor_server_decode(bytes));
