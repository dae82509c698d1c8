//! A client of the vendor's wire against any messages of a server: one on each line.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rtm_fuzz_inputs::vendor_client_decode(bytes));
