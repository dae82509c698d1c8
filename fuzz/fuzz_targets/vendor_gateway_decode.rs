//! The gateway's HTTP bodies, both halves, against any bytes.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rtm_fuzz_inputs::vendor_gateway_decode(bytes));
