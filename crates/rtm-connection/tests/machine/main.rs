//! The connection against a scripted server, in virtual time: one protocol fact a test.

mod acks;
mod attributes;
mod channels;
mod invitations;
mod keep_alive;
mod limits;
mod login;
mod logout;
mod peer;
mod presence;
mod properties;
mod reconnect;
mod requests;
mod resume;
mod stream;
mod token;
