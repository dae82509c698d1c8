//! Several cores as one: what users see of it, and the schedules that would break it.

mod claims;
mod harness;
mod messages;
