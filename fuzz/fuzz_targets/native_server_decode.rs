//! A server of the native wire against any bytes of a client.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rtm_fuzz_inputs::native_server_decode(bytes));
