//! The native wire: WebSocket binary frames of the subprotocol `rtm.v1`.
