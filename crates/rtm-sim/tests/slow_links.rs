//! What users behind a slow link have of it: it carries little, and what it carries counts.
#![expect(clippy::unwrap_used, reason = "a panic in a test is its failure")]

use std::{cell::RefCell, rc::Rc, time::Duration};

use rtm_codec::{Answer, ErrorKind, RequestId, SendOutcome, UserId, Wire};
use rtm_connection::{ConnectionState, RtmError, RtmEvent};
use rtm_sim::{DeviceConfig, DeviceId, Faults, Handle, Input, World};

/// What a user saw.
#[derive(Debug, Default)]
struct Seen {
    texts: Vec<String>,
    replies: Vec<(RequestId, Result<Answer, RtmError>)>,
    breaks: usize,
    gaps: usize,
}

impl Seen {
    fn look(&mut self, input: Input) {
        match input {
            Input::Reply { id, result, .. } => self.replies.push((id, result)),
            Input::Event(RtmEvent::MessageFromPeer { message, .. }) => {
                self.texts.push(message.as_text().unwrap().to_owned());
            }
            Input::Event(RtmEvent::ConnectionStateChanged { state: ConnectionState::Reconnecting, .. }) => {
                self.breaks += 1;
            }
            Input::Event(RtmEvent::Gap { .. }) => self.gaps += 1,
            _ => {}
        }
    }
}

/// A user who logs in, and sends these texts to another one after a second.
fn user(
    world: &mut World,
    name: &str,
    config: DeviceConfig,
    peer: &str,
    texts: Vec<String>,
) -> (DeviceId, Rc<RefCell<Seen>>) {
    let (seen, peer) = (Rc::<RefCell<Seen>>::default(), UserId::new(peer).unwrap());
    let all = Rc::clone(&seen);
    let app = move |client: &mut Handle<'_>, input: Input| match input {
        Input::Start => client.login(None).unwrap(),
        Input::LoggedIn(result) => {
            result.unwrap();
            client.after(Duration::from_secs(1), 0);
        }
        Input::Timer(_) => {
            for text in &texts {
                client.send_to_peer(&peer, text.as_str(), false);
            }
        }
        input => all.borrow_mut().look(input),
    };
    let device = world.add(name, config, app).unwrap();
    (device, seen)
}

fn bandwidth(bytes_per_second: u32) -> Faults {
    let mut faults = Faults::none();
    faults.bandwidth = Some(bytes_per_second);
    faults
}

/// Numbered texts of these lengths.
fn texts(lengths: impl IntoIterator<Item = usize>) -> Vec<String> {
    lengths.into_iter().enumerate().map(|(number, len)| format!("{number:<len$}")).collect()
}

#[test]
fn a_backlog_of_300_kb_comes_at_4_kb_a_second_over_three_breaks_once_and_in_order() {
    // Three of 32 KiB among them.
    let lengths = (0..30).map(|number| if number % 10 == 4 { 32 * 1024 } else { 7_400 });
    let all = texts(lengths);
    let sum: usize = all.iter().map(String::len).sum();
    assert!((295_000..305_000).contains(&sum), "{sum} bytes");
    for seed in 0..20 {
        let mut world = World::new(seed);
        let native = || DeviceConfig::new(Wire::Native);
        let (bob, seen) = user(&mut world, "bob", native(), "alice", Vec::new());
        world.run_for(Duration::from_millis(500)).unwrap();
        world.isolate(bob, Duration::from_secs(10));
        let _alice = user(&mut world, "alice", native(), "bob", all.clone());
        world.run_for(Duration::from_secs(9)).unwrap();
        assert_eq!(seen.borrow().texts, [""; 0]);
        world.set_faults(bandwidth(4_000));
        let before = world.counts().bytes_down;
        let read = |world: &World| usize::try_from(world.counts().bytes_down - before).unwrap();
        for enough in [70_000, 150_000, 230_000] {
            let enough = enough + 3_000 * usize::try_from(seed).unwrap();
            while read(&world) < enough {
                world.run_for(Duration::from_millis(100)).unwrap();
                assert!(world.now() < Duration::from_secs(200), "seed {seed}: {} bytes came", read(&world));
            }
            world.cut(bob);
        }
        while seen.borrow().texts.len() < all.len() {
            world.run_for(Duration::from_millis(100)).unwrap();
            assert!(world.now() < Duration::from_secs(200), "seed {seed}: {} came", seen.borrow().texts.len());
        }
        // What was received stays received: each break costs no more than the packet that it interrupts.
        let most = sum + sum / 50 + 3 * (8 + 32) * 1024;
        assert!(read(&world) < most, "seed {seed}: {} bytes were sent", read(&world));
        world.heal();
        world.run_for(Duration::from_secs(80)).unwrap();
        world.check().unwrap();
        let seen = seen.borrow();
        assert!(seen.texts == all, "seed {seed}: {} of {} came", seen.texts.len(), all.len());
        assert_eq!((seen.breaks, seen.gaps), (4, 0), "seed {seed}");
    }
}

/// Sends texts of these lengths up a link of so many bytes a second. Says what came of them, and what arrived.
fn sends(wire: Wire, is_sdk: bool, bytes_per_second: u32, lengths: &[usize]) -> (Vec<Result<bool, ErrorKind>>, usize) {
    let mut config = DeviceConfig::new(wire);
    config.has_sdk_habits = is_sdk;
    let mut world = World::new(7);
    let (_, received) = user(&mut world, "bob", DeviceConfig::new(Wire::Native), "alice", Vec::new());
    let all = texts(lengths.iter().copied());
    let (_, seen) = user(&mut world, "alice", config, "bob", all);
    world.run_for(Duration::from_millis(900)).unwrap();
    world.set_faults(bandwidth(bytes_per_second));
    world.run_for(Duration::from_millis(500)).unwrap();
    // What has to go through the narrow link stands there, and all that is sent later waits behind it. The way to the receiver is wide.
    world.set_faults(Faults::none());
    world.run_for(Duration::from_secs(120)).unwrap();
    world.heal();
    world.run_for(Duration::from_secs(80)).unwrap();
    world.check().unwrap();
    let (seen, received) = (seen.borrow(), received.borrow());
    assert_eq!(seen.breaks + received.breaks, 0, "{wire:?}, {is_sdk}: the link was given up");
    let outcome = |result: &Result<Answer, RtmError>| match result {
        Ok(Answer::SendMessageToPeer(outcome)) => Ok(*outcome == SendOutcome::Delivered),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.kind()),
    };
    (seen.replies.iter().map(|(_, result)| outcome(result)).collect(), received.texts.len())
}

const SENDERS: [(Wire, bool); 3] = [(Wire::Native, false), (Wire::Vendor, false), (Wire::Vendor, true)];

#[test]
fn a_message_of_32_kib_goes_up_at_4_500_bytes_a_second() {
    for (wire, is_sdk) in SENDERS {
        assert_eq!(sends(wire, is_sdk, 4_500, &[32 * 1024]), (vec![Ok(true)], 1), "{wire:?}, {is_sdk}");
    }
}

#[test]
fn what_goes_up_too_slowly_ends_the_call_and_not_the_link() {
    for (wire, is_sdk) in SENDERS {
        let (outcomes, received) = sends(wire, is_sdk, 2_000, &[32 * 1024, 32 * 1024, 32 * 1024]);
        assert_eq!(outcomes, [Err(ErrorKind::Timeout); 3], "{wire:?}, {is_sdk}");
        // That is what the error says: it may arrive all the same.
        assert_eq!(received, 3, "{wire:?}, {is_sdk}");
    }
}
