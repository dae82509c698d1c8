//! What a node of a cluster reads from the bus and from the engine.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rtm_fuzz_inputs::cluster_decode(bytes));
