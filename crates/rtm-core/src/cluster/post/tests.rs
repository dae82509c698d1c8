//! The post over a bus that loses, repeats and stands still.

use std::collections::VecDeque;

use bytes::Bytes;
use rtm_codec::AppId;

use super::*;
use crate::cluster::{envelope::Envelope, names::NodeName, view::Change};

/// Two posts, and what is on its way between them.
struct Pair {
    now: Instant,
    view: View,
    posts: [Post; 2],
    ids: [NodeId; 2],
    /// To each of them.
    bus: [VecDeque<Bytes>; 2],
    events: [Vec<PostEvent>; 2],
    payloads: usize,
}

impl Pair {
    fn new(config: PostConfig) -> Self {
        Self::in_company(PostConfig { company_within: Duration::ZERO, ..config })
    }

    #[expect(clippy::disallowed_methods, reason = "virtual time needs some instant to start from")]
    fn in_company(config: PostConfig) -> Self {
        let now = Instant::now();
        let ids = ["a", "b"].map(|name| NodeId { name: NodeName::new(name).unwrap(), incarnation: 1 });
        let view = View::empty(0).next(&ids.clone().map(|id| Change::Join(id, 1, 1)));
        let posts = ids.clone().map(|id| {
            let mut post = Post::new(config, id, now);
            post.set_view(now, &view);
            post
        });
        Self { now, view, posts, ids, bus: Default::default(), events: Default::default(), payloads: 0 }
    }

    fn send(&mut self, from: usize, priority: Priority, text: &str, ticket: Option<u64>) -> Result<(), NotSent> {
        self.posts[from].send(self.now, &self.ids[1 - from], priority, parcel(text), ticket.map(Ticket))
    }

    /// Takes what the posts have to say.
    fn poll(&mut self) {
        for at in 0..2 {
            loop {
                match self.posts[at].poll_output() {
                    PostOutput::Send(to, frame) => {
                        assert_eq!(to, self.ids[1 - at]);
                        let payload = Envelope { from: self.ids[at].clone(), to: 1, epoch: 1, frame }.encode();
                        assert!(payload.len() <= PostConfig::default().payload_bytes);
                        self.payloads += 1;
                        self.bus[1 - at].push_back(payload);
                    }
                    PostOutput::Event(event) => self.events[at].push(event),
                    PostOutput::Wait(_) => break,
                }
            }
        }
    }

    /// Carries what passes the filter, until nothing is under way.
    fn carry(&mut self, mut passes: impl FnMut(usize, &Frame) -> bool) {
        self.poll();
        while let Some(to) = (0..2).find(|&to| !self.bus[to].is_empty()) {
            let payload = self.bus[to].pop_front().unwrap();
            let envelope = Envelope::decode(payload).unwrap();
            if passes(to, &envelope.frame) {
                self.posts[to].handle_frame(self.now, &envelope.from, envelope.frame);
            }
            self.poll();
        }
    }

    fn pass(&mut self, time: Duration, mut passes: impl FnMut(usize, &Frame) -> bool) {
        let until = self.now + time;
        self.carry(&mut passes);
        while let Some(at) = self.posts.iter().filter_map(Post::next_timeout).min().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            for post in &mut self.posts {
                post.handle_timeout(at);
            }
            self.carry(&mut passes);
        }
        self.now = until;
    }

    fn texts(&self, at: usize) -> Vec<String> {
        let received = self.events[at].iter().filter_map(|event| match event {
            PostEvent::Received { parcel: Parcel::Project { body, .. }, .. } => {
                Some(String::from_utf8_lossy(body).into_owned())
            }
            _ => None,
        });
        received.collect()
    }

    fn settled(&self, at: usize) -> Vec<(u64, Settled)> {
        let settled = self.events[at].iter().filter_map(|event| match event {
            PostEvent::Settled(Ticket(number), settled) => Some((*number, *settled)),
            _ => None,
        });
        settled.collect()
    }
}

fn parcel(text: &str) -> Sealed {
    let app_id = AppId::new("0123456789abcdef0123456789abcdef").unwrap();
    Parcel::Project { app_id, head: Bytes::new(), body: Bytes::copy_from_slice(text.as_bytes()) }.seal()
}

fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

#[test]
fn parcels_arrive_in_order_many_in_one_payload_and_their_senders_are_told() {
    let mut pair = Pair::new(PostConfig::default());
    for number in 0..500 {
        pair.send(0, Priority::Bulk, &number.to_string(), Some(number)).unwrap();
    }
    pair.carry(|_, _| true);
    assert_eq!(pair.texts(1), numbers(0..500));
    assert_eq!(pair.settled(0), (0..500).map(|number| (number, Settled::Taken)).collect::<Vec<_>>());
    assert!(pair.payloads <= 3, "{} payloads", pair.payloads);
    assert_eq!(pair.posts[0].waiting_bytes(&pair.ids[1]), 0);
    assert_eq!(pair.posts[0].next_timeout().is_some(), pair.posts[0].peers[&pair.ids[1]].look_at.is_some());
}

#[test]
fn what_is_lost_is_sent_again_and_what_is_repeated_is_taken_once() {
    let mut pair = Pair::new(PostConfig::default());
    let mut count = 0;
    for number in 0..300 {
        pair.send(0, Priority::Bulk, &number.to_string(), Some(number)).unwrap();
        pair.send(1, Priority::Urgent, &number.to_string(), None).unwrap();
        pair.pass(Duration::from_millis(20), |_, _| {
            count += 1;
            count % 3 != 0
        });
    }
    pair.pass(Duration::from_secs(20), |_, _| true);
    assert_eq!(pair.texts(1), numbers(0..300));
    assert_eq!(pair.texts(0), numbers(0..300));
    assert_eq!(pair.settled(0).len(), 300);
}

#[test]
fn old_payloads_that_come_late_change_nothing() {
    let mut pair = Pair::new(PostConfig::default());
    pair.send(0, Priority::Bulk, "one", None).unwrap();
    pair.poll();
    let old = pair.bus[1].clone();
    pair.carry(|_, _| true);
    pair.posts[0].reset(pair.now, &pair.ids[1].clone(), Priority::Bulk);
    pair.send(0, Priority::Bulk, "two", None).unwrap();
    pair.carry(|_, _| true);
    pair.bus[1] = old;
    pair.carry(|_, _| true);
    assert_eq!(pair.texts(1), ["one", "two"]);
}

#[test]
fn urgent_parcels_go_before_others() {
    let mut pair = Pair::new(PostConfig::default());
    for _ in 0..20 {
        pair.send(0, Priority::Bulk, &"x".repeat(60_000), None).unwrap();
    }
    pair.send(0, Priority::Urgent, "claim", None).unwrap();
    pair.carry(|_, _| true);
    assert_eq!(pair.texts(1)[0], "claim");
    assert_eq!(pair.texts(1).len(), 21);
}

#[test]
fn a_full_box_says_so_and_takes_more_when_it_has_room() {
    let mut pair = Pair::new(PostConfig { bulk_bytes: 10_000, ..PostConfig::default() });
    let text = "x".repeat(1000);
    let taken = (0..100).take_while(|_| pair.send(0, Priority::Bulk, &text, None).is_ok()).count();
    assert_eq!(taken, 9);
    assert_eq!(pair.send(0, Priority::Bulk, &text, Some(1)), Err(NotSent::Full));
    assert_eq!(pair.send(0, Priority::Urgent, "claim", None), Ok(()), "the other box has room");
    pair.carry(|_, _| true);
    assert_eq!(pair.send(0, Priority::Bulk, &text, None), Ok(()));
    assert_eq!(pair.settled(0), [], "the refused ticket is not used");
}

#[test]
fn what_does_not_fit_into_a_payload_is_refused() {
    let mut pair = Pair::new(PostConfig::default());
    assert_eq!(pair.send(0, Priority::Bulk, &"x".repeat(1024 * 1024), None), Err(NotSent::TooLarge));
    pair.send(0, Priority::Bulk, &"x".repeat(1024 * 1024 - 400), None).unwrap();
    pair.carry(|_, _| true);
    assert_eq!(pair.texts(1).len(), 1);
}

#[test]
fn who_waits_for_a_node_that_leaves_is_told_once() {
    let mut pair = Pair::new(PostConfig::default());
    pair.send(0, Priority::Bulk, "one", Some(1)).unwrap();
    pair.send(0, Priority::Urgent, "two", Some(2)).unwrap();
    pair.pass(Duration::from_secs(60), |_, _| false);
    assert_eq!(pair.settled(0), [], "no timer gives a parcel up");
    let next = pair.view.next(&[Change::Leave(pair.ids[1].clone())]);
    pair.posts[0].set_view(pair.now, &next);
    pair.carry(|_, _| false);
    let mut settled = pair.settled(0);
    settled.sort_unstable();
    assert_eq!(settled, [(1, Settled::Left), (2, Settled::Left)]);
    assert_eq!(pair.send(0, Priority::Bulk, "three", None), Err(NotSent::Left));
}

#[test]
fn the_box_of_a_node_that_does_not_answer_stays_bounded_and_quiet() {
    let mut pair = Pair::new(PostConfig { bulk_bytes: 100_000, ..PostConfig::default() });
    while pair.send(0, Priority::Bulk, &"x".repeat(1000), None).is_ok() {}
    pair.pass(Duration::from_secs(40), |_, _| false);
    assert!(pair.payloads < 40, "{} payloads in 40 s", pair.payloads);
    assert!(pair.posts[0].waiting_bytes(&pair.ids[1]) <= 100_000);
    pair.pass(Duration::from_secs(3), |_, _| true);
    assert!(pair.texts(1).len() > 90);
    assert_eq!(pair.posts[0].waiting_bytes(&pair.ids[1]), 0);
}

#[test]
fn a_slow_node_is_told_from_a_silent_one() {
    let mut pair = Pair::new(PostConfig::default());
    let conditions = |pair: &Pair| {
        let found = pair.events[0].iter().filter_map(|event| match event {
            PostEvent::Condition(_, condition) => Some(*condition),
            _ => None,
        });
        found.collect::<Vec<_>>()
    };
    pair.send(0, Priority::Bulk, "one", None).unwrap();
    for _ in 0..8 {
        pair.pass(Duration::from_millis(500), |_, _| false);
        pair.posts[0].handle_heard(pair.now, &pair.ids[1].clone());
    }
    assert_eq!(conditions(&pair), [Condition::Slow]);
    pair.pass(Duration::from_secs(4), |_, _| false);
    assert_eq!(conditions(&pair), [Condition::Slow, Condition::Silent]);
    pair.pass(Duration::from_secs(4), |_, _| true);
    assert_eq!(conditions(&pair).last(), Some(&Condition::Well));
    assert_eq!(pair.texts(1), ["one"]);
}

#[test]
fn a_parcel_from_a_newer_version_is_never_skipped_but_begins_the_box_anew() {
    let mut pair = Pair::new(PostConfig::default());
    pair.send(0, Priority::Bulk, "one", Some(1)).unwrap();
    let unknown = PostData {
        priority: Priority::Bulk,
        post: 1,
        first: 1,
        acks: Acks::default(),
        parcels: vec![crate::cluster::envelope::unknown_parcel(), parcel("behind")],
    };
    pair.carry(|_, _| true);
    let from = pair.ids[0].clone();
    pair.posts[1].handle_frame(pair.now, &from, Frame::Data(unknown));
    pair.carry(|_, _| true);
    assert_eq!(pair.texts(1), ["one"], "nothing behind it is taken");
    assert!(pair.events[0].iter().any(|event| matches!(event, PostEvent::Refused { priority: Priority::Bulk, .. })));
    assert!(pair.events[1].iter().any(|event| matches!(event, PostEvent::Restarted { priority: Priority::Bulk, .. })));
    pair.send(0, Priority::Bulk, "two", Some(2)).unwrap();
    pair.carry(|_, _| true);
    assert_eq!(pair.texts(1), ["one", "two"]);
    assert_eq!(pair.settled(0), [(1, Settled::Taken), (2, Settled::Taken)]);
}

#[test]
fn a_parcel_that_the_layer_above_refuses_begins_the_box_anew_and_drops_what_is_behind_it() {
    let mut pair = Pair::new(PostConfig::default());
    for number in 0..3 {
        pair.send(0, Priority::Bulk, &number.to_string(), Some(number)).unwrap();
    }
    pair.poll();
    let envelope = Envelope::decode(pair.bus[1].pop_front().unwrap()).unwrap();
    pair.posts[1].handle_frame(pair.now, &envelope.from, envelope.frame);
    assert!(matches!(pair.posts[1].poll_output(), PostOutput::Event(PostEvent::Received { .. })));
    pair.posts[1].refuse(pair.now, &envelope.from, Priority::Bulk);
    pair.carry(|_, frame| !matches!(frame, Frame::Ack(_)));
    assert_eq!(pair.texts(1), Vec::<String>::new());
    assert_eq!(pair.settled(0), (0..3).map(|number| (number, Settled::Reset)).collect::<Vec<_>>());
}

#[test]
fn a_box_that_is_begun_anew_says_so_without_a_parcel_even_if_that_is_lost() {
    let mut pair = Pair::new(PostConfig::default());
    pair.send(0, Priority::Bulk, "one", None).unwrap();
    pair.carry(|_, _| true);
    pair.posts[0].reset(pair.now, &pair.ids[1].clone(), Priority::Bulk);
    pair.carry(|_, _| false);
    pair.pass(Duration::from_secs(5), |_, _| true);
    let restarts = pair.events[1].iter().filter(|event| matches!(event, PostEvent::Restarted { .. })).count();
    assert_eq!(restarts, 1);
}

#[test]
fn acknowledgements_of_what_was_never_sent_are_passed_over() {
    let mut pair = Pair::new(PostConfig::default());
    pair.send(0, Priority::Bulk, "one", Some(1)).unwrap();
    let from = pair.ids[1].clone();
    for acks in [Acks { urgent: (1, 9), bulk: (1, 1) }, Acks { urgent: (0, 0), bulk: (7, 1) }] {
        pair.posts[0].handle_frame(pair.now, &from, Frame::Ack(acks));
    }
    pair.carry(|_, _| false);
    assert_eq!(pair.settled(0), []);
}

#[test]
fn nothing_is_acknowledged_before_it_is_taken() {
    let mut pair = Pair::new(PostConfig::default());
    pair.send(0, Priority::Bulk, "one", Some(1)).unwrap();
    pair.poll();
    let envelope = Envelope::decode(pair.bus[1].pop_front().unwrap()).unwrap();
    pair.posts[1].handle_frame(pair.now, &envelope.from, envelope.frame);
    assert!(matches!(pair.posts[1].poll_output(), PostOutput::Event(PostEvent::Received { .. })));
    assert!(matches!(pair.posts[1].poll_output(), PostOutput::Send(_, Frame::Ack(_))));
}

#[test]
fn an_answer_and_an_acknowledgement_share_a_payload() {
    let mut pair = Pair::new(PostConfig::default());
    pair.send(0, Priority::Bulk, "question", Some(1)).unwrap();
    pair.poll();
    let envelope = Envelope::decode(pair.bus[1].pop_front().unwrap()).unwrap();
    pair.posts[1].handle_frame(pair.now, &envelope.from, envelope.frame);
    assert!(matches!(pair.posts[1].poll_before_acks(), Some(PostOutput::Event(_))));
    assert_eq!(pair.posts[1].poll_before_acks(), None);
    pair.send(1, Priority::Bulk, "answer", None).unwrap();
    let before = pair.payloads;
    pair.poll();
    assert_eq!(pair.payloads, before + 1);
    pair.carry(|_, _| true);
    assert_eq!((pair.settled(0), pair.texts(0)), (vec![(1, Settled::Taken)], vec!["answer".to_owned()]));
}

#[test]
fn an_acknowledgement_that_nobody_waits_for_waits_for_something_else_to_say() {
    let mut pair = Pair::in_company(PostConfig::default());
    pair.send(0, Priority::Bulk, "1", Some(1)).unwrap();
    pair.pass(Duration::from_millis(9), |_, _| true);
    assert_eq!((pair.payloads, pair.settled(0)), (1, vec![]));
    pair.pass(Duration::from_millis(1), |_, _| true);
    assert_eq!((pair.payloads, pair.settled(0)), (2, vec![(1, Settled::Taken)]));
    pair.send(0, Priority::Bulk, "2", Some(2)).unwrap();
    pair.carry(|_, _| true);
    pair.send(1, Priority::Bulk, "3", None).unwrap();
    pair.carry(|_, _| true);
    assert_eq!((pair.payloads, pair.settled(0).len()), (4, 2));
}

#[test]
fn an_acknowledgement_that_somebody_waits_for_goes_at_once() {
    let mut pair = Pair::in_company(PostConfig::default());
    pair.send(0, Priority::Bulk, "1", Some(1)).unwrap();
    pair.carry(|_, _| true);
    let from = pair.ids[0].clone();
    // Time goes on until the layer above has looked at it.
    pair.posts[1].hurry_ack(pair.now + Duration::from_millis(1), &from);
    pair.carry(|_, _| true);
    assert_eq!((pair.payloads, pair.settled(0)), (2, vec![(1, Settled::Taken)]));
    // Much that is not acknowledged holds its sender up, and a repeat shows that an acknowledgement is lost.
    let much = "x".repeat(UNACKNOWLEDGED);
    pair.send(0, Priority::Bulk, &much, Some(2)).unwrap();
    pair.carry(|_, _| true);
    assert_eq!(pair.settled(0).len(), 2);
    pair.send(0, Priority::Bulk, "3", Some(3)).unwrap();
    pair.pass(Duration::from_millis(100), |_, frame| !matches!(frame, Frame::Ack(_)));
    pair.pass(Duration::from_millis(101), |_, _| true);
    assert_eq!((pair.settled(0).len(), pair.texts(1).len()), (3, 3));
}

#[test]
fn a_parcel_that_nobody_waits_for_goes_with_the_next_or_after_a_while() {
    let mut pair = Pair::in_company(PostConfig::default());
    let send = |pair: &mut Pair, text: &str| {
        let to = pair.ids[1].clone();
        pair.posts[0].send_in_company(pair.now, &to, Priority::Bulk, parcel(text), None).unwrap();
    };
    send(&mut pair, "1");
    pair.pass(Duration::from_millis(9), |_, _| true);
    assert_eq!(pair.payloads, 0);
    pair.send(0, Priority::Bulk, "2", None).unwrap();
    pair.carry(|_, _| true);
    assert_eq!((pair.payloads, pair.texts(1)), (1, vec!["1".to_owned(), "2".to_owned()]));
    send(&mut pair, "3");
    pair.pass(Duration::from_millis(10), |_, _| true);
    assert_eq!(pair.texts(1).len(), 3);
}
