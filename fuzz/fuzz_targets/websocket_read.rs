//! Both sides against any frames: however these are cut, the same comes of them, and tungstenite agrees.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rtm_fuzz_inputs::websocket_read(bytes));
