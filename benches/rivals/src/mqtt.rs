//! rumqttd as a process of its own.

use rumqttd::{Broker, Config};
use serde_json::json;

/// Serves MQTT 3.1.1 without TLS. The figures are those of the `rumqttd.toml` that comes with it, but for what a client may have
/// under way.
pub(crate) fn broker(port: u16) -> anyhow::Result<()> {
    let config: Config = serde_json::from_value(json!({
        "id": 0,
        "router": {
            "max_connections": 10_010,
            "max_outgoing_packet_count": 200,
            "max_segment_size": 104_857_600,
            "max_segment_count": 10,
        },
        "v4": { "1": {
            "name": "v4-1",
            "listen": format!("127.0.0.1:{port}"),
            "next_connection_delay_ms": 1,
            "connections": {
                "connection_timeout_ms": 60_000,
                "max_payload_size": 20_480,
                "max_inflight_count": 1024,
                "dynamic_filters": true,
            },
        } },
    }))?;
    Broker::new(config).start()?;
    Ok(())
}
