//! Clients, server and network of RTM in one deterministic process: a simulation to test applications and RTM itself.
//!
//! A [`World`] holds the real parts (the client's connection machine, the server's core, both halves of both wires, so
//! bytes really pass) and makes up the rest: the network, the clock, the disk, and everything that goes wrong with them
//! ([`Faults`]). Time is virtual, and all chance comes from one seed, so a run of minutes takes milliseconds and can be
//! repeated to the last byte. What RTM promises is watched at every step: see [`Invariant`].
//!
//! # An application of your own
//!
//! Give each device an [`App`], or a closure, which is told of its events and makes its calls through a [`Handle`]:
//!
//! ```
//! use std::{cell::RefCell, rc::Rc, time::Duration};
//!
//! use rtm_codec::{UserId, Wire};
//! use rtm_connection::RtmEvent;
//! use rtm_sim::{DeviceConfig, Faults, Handle, Input, World};
//!
//! let mut world = World::new(7);
//! world.set_faults(Faults::train());
//!
//! // Alice says hello to Bob whenever a second has passed, and Bob listens, on a train.
//! let bob = UserId::new("bob")?;
//! let mut said = 0;
//! world.add("alice", DeviceConfig::new(Wire::Native), move |alice: &mut Handle<'_>, input: Input| match input {
//!     Input::Start => {
//!         alice.login(None).expect("nobody is logged in yet");
//!         alice.after(Duration::from_secs(1), 0);
//!     }
//!     Input::Timer(_) if said < 10 => {
//!         said += 1;
//!         alice.send_to_peer(&bob, format!("hello {said}"), true);
//!         alice.after(Duration::from_secs(1), 0);
//!     }
//!     _ => {}
//! })?;
//! let heard = Rc::new(RefCell::new(Vec::new()));
//! let hears = Rc::clone(&heard);
//! world.add("bob", DeviceConfig::new(Wire::Native), move |bob: &mut Handle<'_>, input: Input| match input {
//!     Input::Start => bob.login(None).expect("nobody is logged in yet"),
//!     Input::Event(RtmEvent::MessageFromPeer { message, .. }) => {
//!         hears.borrow_mut().push(message.as_text().unwrap_or_default().to_owned());
//!     }
//!     _ => {}
//! })?;
//!
//! world.run_for(Duration::from_secs(60))?;
//! world.heal();
//! world.run_for(Duration::from_secs(75))?;
//! world.check()?;
//! let said: Vec<String> = (1..=10).map(|n| format!("hello {n}")).collect();
//! assert_eq!(*heard.borrow(), said);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Chaos
//!
//! [`run_seed`] makes up a world from nothing but a seed (users on both wires, what they do, what goes wrong), lets it
//! run, and looks it over. The program of this crate does so for many seeds:
//!
//! ```text
//! cargo run --release -p rtm-sim -- --seeds 10000
//! cargo run --release -p rtm-sim -- --seed 4711 --trace
//! ```

mod agenda;
mod app;
mod bot;
mod chaos;
mod check;
mod device;
mod faults;
mod gateway;
mod mishap;
mod net;
mod rng;
mod server;
mod store;
mod trace;
mod world;

pub use app::{App, Handle, Input};
pub use chaos::{Outcome, run_seed};
pub use check::{Invariant, Violation};
pub use faults::Faults;
pub use world::{Counts, DeviceConfig, DeviceId, World};
