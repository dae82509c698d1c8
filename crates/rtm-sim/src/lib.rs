//! Clients, server and network of RTM in one deterministic process: a simulation to test applications and RTM itself.
//!
//! A [`World`] contains the real state machines of client and server and the real codecs of both wires. It simulates the
//! rest: the network, the clock, the disk, and their faults ([`Faults`]). Time is virtual and all randomness comes from one seed,
//! so minutes take milliseconds, and every run can be repeated exactly. At every step the world checks the guarantees of RTM: see
//! [`Invariant`].
//!
//! # An application of your own
//!
//! Give each device an [`App`], or a closure: it gets the device's events and makes calls through a [`Handle`]. Your application can
//! have guarantees of its own: call [`Handle::broken`] if one is broken, and the world stops there. In this example a writer sends
//! numbers to a reader, each one only after the last one was delivered or stored. The reader expects all of them, in order.
//! `examples/tests/bot.rs` in the repository tests the logic of a bot in this way.
//!
//! ```
//! use std::{cell::Cell, rc::Rc, time::Duration};
//!
//! use rtm_codec::{Answer, SendOutcome, UserId, Wire};
//! use rtm_connection::RtmEvent;
//! use rtm_sim::{App, DeviceConfig, Faults, Handle, Input, World};
//!
//! struct Writer {
//!     reader: UserId,
//!     number: u32,
//! }
//!
//! impl Writer {
//!     fn write(&mut self, client: &mut Handle<'_>) {
//!         client.send_to_peer(&self.reader, self.number.to_string(), true);
//!     }
//! }
//!
//! impl App for Writer {
//!     fn handle(&mut self, client: &mut Handle<'_>, input: Input) {
//!         match input {
//!             Input::Start => client.login(None).expect("nobody is logged in yet"),
//!             Input::LoggedIn(Ok(())) | Input::Timer(_) => self.write(client),
//!             Input::LoggedIn(Err(_)) => client.login(None).expect("this login is over"),
//!             Input::Reply { result, .. } => {
//!                 if let Ok(Answer::SendMessageToPeer(SendOutcome::Delivered | SendOutcome::Stored)) = result {
//!                     self.number += 1;
//!                 }
//!                 client.after(Duration::from_secs(1), 0);
//!             }
//!             _ => {}
//!         }
//!     }
//! }
//!
//! for seed in 1..=20 {
//!     let mut world = World::new(seed);
//!     world.start_trace();
//!     world.set_faults(Faults::train());
//!     let writer = Writer { reader: UserId::new("reader")?, number: 0 };
//!     world.add("writer", DeviceConfig::new(Wire::Native), writer)?;
//!     let read = Rc::new(Cell::new(0));
//!     let reads = Rc::clone(&read);
//!     world.add("reader", DeviceConfig::new(Wire::Native), move |client: &mut Handle<'_>, input: Input| match input {
//!         Input::Start => client.login(None).expect("nobody is logged in yet"),
//!         Input::LoggedIn(Err(_)) => client.login(None).expect("this login is over"),
//!         Input::Event(RtmEvent::MessageFromPeer { message, .. }) => {
//!             let number: u32 = message.as_text().and_then(|text| text.parse().ok()).unwrap_or(u32::MAX);
//!             // A number whose sender was not told that it arrived comes again.
//!             if number > reads.get() {
//!                 client.broken(format!("{number} came, and {} did not", reads.get()));
//!             }
//!             reads.set(reads.get().max(number + 1));
//!         }
//!         _ => {}
//!     })?;
//!     let mut run = || {
//!         world.run_for(Duration::from_secs(60))?;
//!         world.heal();
//!         world.run_for(Duration::from_secs(75))?;
//!         world.check()
//!     };
//!     if let Err(violation) = run() {
//!         panic!("seed {seed}: {violation}\n{}", world.trace().join("\n"));
//!     }
//!     assert!(read.get() > 50, "seed {seed}: only {} numbers came", read.get());
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Chaos
//!
//! [`run_seed`] generates a world from a seed (users on both wires, their actions, the faults), runs it and checks it.
//! The program of this crate does so for many seeds:
//!
//! ```text
//! cargo run --release -p rtm-sim -- --seeds 10000
//! cargo run --release -p rtm-sim -- --seed 4711 --trace
//! cargo run --release -p rtm-sim -- --nodes 2..5 --seeds 120
//! ```
//!
//! The simulation itself is tested too: each file in `mutations` breaks one guarantee, and
//! `cargo test -p rtm-sim --test mutations -- --ignored --nocapture` applies each one and requires that the
//! simulation finds it.
//!
//! # What it cannot find
//!
//! Other tests look for faults outside of the state machines and codecs:
//!
//! | what | why not here | where it is tested |
//! |---|---|---|
//! | WebSocket, TLS, HTTP, proxies that hold answers back | packets go through without them | `interop/network.mjs`, `interop/proxies.mjs`, `rtm-server/tests` |
//! | a logout that overtakes the request that confirms stored messages | a device drops messages that it had | `rtm-connection/tests/machine/gateway.rs`, behind TLS proxies in `interop` |
//! | a damaged file | the store here has no file | `rtm-server/tests/backend_damaged.rs` |
//! | secrets in logs | the machines log nothing | `rtm-client/tests/secrets.rs`, `rtm-cli/tests/hostile/secrets.rs` |
//! | the vendor's SDK itself, browsers | a device has the SDK's habits and not its code | `interop` |

mod agenda;
mod app;
mod bot;
mod chaos;
mod check;
mod cluster;
mod device;
mod faults;
mod figures;
mod habits;
mod moving;
mod net;
mod nodes;
mod rng;
mod server;
mod store;
mod trace;
mod world;

pub use app::{App, Handle, Input};
pub use chaos::{Outcome, run_cluster, run_of_one, run_seed};
pub use check::{Invariant, Violation};
pub use faults::Faults;
pub use figures::{Counts, DeviceConfig, DeviceId};
pub use nodes::{NodesCounts, NodesInvariant, NodesOutcome, NodesViolation, run_nodes};
pub use world::World;
