//! Load on an RTM server: users that log in, send and receive as fast as they are let.
//!
//! Everything goes through [`rtm_client`] as an application's calls do. Nothing here knows threads or processes: who
//! measures decides where the parts run.

mod error;
mod latency;
mod messages;
mod target;
mod window;

pub use error::LoadError;
pub use latency::Latency;
pub use messages::{echo, ping, publish_to_channel, receive, send_to_peer};
pub use target::{Target, User};
pub use window::Window;
