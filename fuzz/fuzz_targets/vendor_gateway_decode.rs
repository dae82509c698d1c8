//! The gateway's HTTP bodies, both halves, against any bytes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rtm_codec::vendor::gateway::{Endpoint, GatewayAnswer, GatewayRequest};

fuzz_target!(|body: &[u8]| {
    for endpoint in [Endpoint::Gateway, Endpoint::OfflineMessages, Endpoint::ChannelHistory, Endpoint::PeerHistory] {
        if let Ok(request) = GatewayRequest::decode(endpoint, body) {
            assert_eq!(GatewayRequest::decode(endpoint, request.encode().as_bytes()), Ok(request));
        }
        if let Ok(answer) = GatewayAnswer::decode(endpoint, body) {
            let _ = answer.encode();
        }
    }
});
