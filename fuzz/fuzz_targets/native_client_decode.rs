//! A client of the native wire against any bytes of a server.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rtm_fuzz_inputs::native_client_decode(bytes));
