//! The headers in which proxies name their clients.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rtm_fuzz_inputs::forwarded(bytes));
