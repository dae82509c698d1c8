//! Between the cores of a node's projects and its post: which parcel is for which core, and whose tickets are settled.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Instant,
};

use rtm_codec::AppId;

use super::{
    envelope::{Parcel, Priority},
    names::NodeId,
    node::Node,
    post::{NotSent, PostEvent, Settled, Ticket},
    project::{Posted, Posting, ProjectParcel},
};

/// Something for the core of a project.
#[derive(Debug, Clone, PartialEq)]
pub enum ForCore {
    /// The same project on another node says something: [`Core::handle_parcel`](crate::Core::handle_parcel).
    Parcel {
        /// Which project.
        app_id: AppId,
        /// Which of this node's cores of it.
        worker: u16,
        /// Whose core says it.
        from: NodeId,
        /// What.
        parcel: ProjectParcel,
    },
    /// What became of a parcel: [`Core::handle_posted`](crate::Core::handle_posted).
    Posted {
        /// Which project.
        app_id: AppId,
        /// Which of this node's cores of it.
        worker: u16,
        /// The ticket that its core gave out.
        ticket: Ticket,
        /// What became of it.
        posted: Posted,
    },
    /// The post from a node began anew: every project is to find out what it missed.
    Restarted {
        /// Which node.
        from: NodeId,
    },
}

/// Carries what the cores of a node's projects say to the node's post, and back; and what cores of one node say to each other.
#[derive(Debug, Default)]
pub struct Router {
    next: u64,
    tickets: BTreeMap<Ticket, (AppId, u16, Ticket)>,
    out: VecDeque<ForCore>,
    refused: u64,
}

impl Router {
    /// A core has this to say. What no box takes is settled at once, or is news that its receiver is to ask for again.
    pub fn post(&mut self, node: &mut Node, now: Instant, app_id: &AppId, posting: Posting) {
        self.post_from(0, node, now, app_id, posting);
    }

    /// The same for one of several cores of a project, by its number.
    pub fn post_from(&mut self, worker: u16, node: &mut Node, now: Instant, app_id: &AppId, posting: Posting) {
        let Posting { to, parcel, ticket } = posting;
        let (to, to_worker) = to.node_and_worker();
        if to == *node.id() {
            return self.hand_over(&to, worker, to_worker, app_id, parcel, ticket);
        }
        let number = ticket.map(|_| {
            self.next += 1;
            Ticket(self.next)
        });
        let sealed = parcel.seal_between(app_id, worker, to_worker);
        let sent = match parcel {
            // What becomes of the message follows soon.
            ProjectParcel::Placed { .. } => node.send_in_company(now, &to, PROJECTS, sealed, number),
            _ => node.send(now, &to, PROJECTS, sealed, number),
        };
        match (sent, number, ticket) {
            (Ok(()), Some(number), Some(ticket)) => {
                self.tickets.insert(number, (app_id.clone(), worker, ticket));
            }
            (Err(why), _, Some(ticket)) => {
                let posted = if why == NotSent::Left { Posted::Left } else { Posted::Dropped };
                self.out.push_back(ForCore::Posted { app_id: app_id.clone(), worker, ticket, posted });
            }
            (Err(NotSent::Full | NotSent::TooLarge), _, None) => node.reset(now, &to, PROJECTS),
            (Err(NotSent::Left), _, None) | (Ok(()), _, _) => {}
        }
    }

    /// Something came by post. A parcel that cannot be read is counted, and its sender begins anew.
    pub fn handle(&mut self, node: &mut Node, now: Instant, event: PostEvent) {
        match event {
            PostEvent::Received { from, priority, parcel } => {
                let (from_worker, worker, app_id, head, body) = match parcel {
                    Parcel::Project { app_id, head, body } => (0, 0, app_id, head, body),
                    Parcel::Workers { from, to, app_id, head, body } => (from, to, app_id, head, body),
                };
                match ProjectParcel::open(&head, body) {
                    Ok(parcel) => {
                        if !parcel.ack_may_wait() {
                            node.hurry_ack(now, &from);
                        }
                        let from = from.worker(from_worker);
                        self.out.push_back(ForCore::Parcel { app_id, worker, from, parcel });
                    }
                    Err(_) => {
                        self.refused += 1;
                        node.refuse(now, &from, priority);
                    }
                }
            }
            PostEvent::Settled(number, settled) => {
                if let Some((app_id, worker, ticket)) = self.tickets.remove(&number) {
                    let posted = match settled {
                        Settled::Taken => Posted::Taken,
                        Settled::Left => Posted::Left,
                        Settled::Reset => Posted::Dropped,
                    };
                    self.out.push_back(ForCore::Posted { app_id, worker, ticket, posted });
                }
            }
            PostEvent::Restarted { from, .. } => self.out.push_back(ForCore::Restarted { from }),
            PostEvent::Refused { .. } | PostEvent::Condition(..) => {}
        }
    }

    /// Hands what one core says to another of this node: it has it at once.
    pub fn hand_over(
        &mut self,
        node: &NodeId,
        from: u16,
        to: u16,
        app_id: &AppId,
        parcel: ProjectParcel,
        ticket: Option<Ticket>,
    ) {
        self.out.push_back(ForCore::Parcel { app_id: app_id.clone(), worker: to, from: node.worker(from), parcel });
        self.out.extend(ticket.map(|ticket| ForCore::Posted {
            app_id: app_id.clone(),
            worker: from,
            ticket,
            posted: Posted::Taken,
        }));
    }

    /// The next thing for a core.
    pub fn take(&mut self) -> Option<ForCore> {
        self.out.pop_front()
    }

    /// How many parcels could not be read.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// The node is no member any more: nobody waits for anything.
    pub fn clear(&mut self) {
        self.tickets.clear();
        self.out.clear();
    }
}

/// All that cores say stays in order.
const PROJECTS: Priority = Priority::Bulk;

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use rtm_codec::UserId;

    use super::*;
    use crate::{
        Now,
        cluster::{
            Change, Envelope, Frame, MembershipConfig, NodeConfig, NodeName, NodeOutput, PostConfig, PresenceParcel,
            View,
        },
    };

    fn app(letter: char) -> AppId {
        AppId::new(letter.to_string().repeat(32)).unwrap()
    }

    fn watch(user: &str) -> ProjectParcel {
        ProjectParcel::Presence(PresenceParcel::Watch { user_id: UserId::new(user).unwrap() })
    }

    fn posting(to: &NodeId, ticket: Option<u64>) -> Posting {
        Posting { to: to.clone(), parcel: watch("u"), ticket: ticket.map(Ticket) }
    }

    /// A node whose post knows another one.
    fn node(now: Now) -> (Node, NodeId) {
        let config =
            NodeConfig { membership: MembershipConfig::new(NodeName::new("a").unwrap()), post: PostConfig::default() };
        let mut node = Node::new(config, 1, now);
        let other = NodeId { name: NodeName::new("b").unwrap(), incarnation: 7 };
        let view = View::empty(0).next(&[Change::Join(node.id().clone(), 1, 1), Change::Join(other.clone(), 1, 1)]);
        node.set_post_view(now.instant, &view);
        (node, other)
    }

    #[expect(clippy::disallowed_methods, reason = "any moment will do")]
    fn now() -> Now {
        Now { instant: Instant::now(), unix_ms: 1_700_000_000_000 }
    }

    #[test]
    fn tickets_of_two_projects_with_one_number_are_told_apart() {
        let now = now();
        let (mut node, other) = node(now);
        let mut router = Router::default();
        router.post(&mut node, now.instant, &app('a'), posting(&other, Some(1)));
        router.post(&mut node, now.instant, &app('b'), posting(&other, Some(1)));
        assert_eq!(router.take(), None);
        for (number, letter) in [(2, 'b'), (1, 'a')] {
            router.handle(&mut node, now.instant, PostEvent::Settled(Ticket(number), Settled::Taken));
            let posted = ForCore::Posted { app_id: app(letter), worker: 0, ticket: Ticket(1), posted: Posted::Taken };
            assert_eq!(router.take(), Some(posted));
        }
        router.handle(&mut node, now.instant, PostEvent::Settled(Ticket(1), Settled::Taken));
        assert_eq!(router.take(), None, "a ticket is settled once");
    }

    #[test]
    fn what_one_core_says_to_another_of_its_node_is_there_at_once() {
        let now = now();
        let (mut node, _) = node(now);
        let me = node.id().clone();
        let mut router = Router::default();
        router.post_from(1, &mut node, now.instant, &app('a'), posting(&me.worker(2), Some(5)));
        let parcel = watch("u");
        let from = me.worker(1);
        assert_eq!(router.take(), Some(ForCore::Parcel { app_id: app('a'), worker: 2, from, parcel }));
        let posted = ForCore::Posted { app_id: app('a'), worker: 1, ticket: Ticket(5), posted: Posted::Taken };
        assert_eq!((router.take(), router.take()), (Some(posted), None));
    }

    #[test]
    fn what_cores_of_two_nodes_say_names_the_cores() {
        let now = now();
        let (mut node, other) = node(now);
        let mut router = Router::default();
        let sealed = watch("u").seal_between(&app('a'), 3, 1);
        let received = PostEvent::Received { from: other.clone(), priority: PROJECTS, parcel: sealed.open().unwrap() };
        router.handle(&mut node, now.instant, received);
        let (from, parcel) = (other.worker(3), watch("u"));
        assert_eq!(router.take(), Some(ForCore::Parcel { app_id: app('a'), worker: 1, from, parcel }));
        router.post_from(1, &mut node, now.instant, &app('a'), posting(&other.worker(3), Some(1)));
        assert_eq!(router.take(), None, "it is on its way");
        router.handle(&mut node, now.instant, PostEvent::Settled(Ticket(1), Settled::Taken));
        let posted = ForCore::Posted { app_id: app('a'), worker: 1, ticket: Ticket(1), posted: Posted::Taken };
        assert_eq!(router.take(), Some(posted));
    }

    #[test]
    fn what_no_box_takes_is_settled_at_once() {
        let now = now();
        let (mut node, other) = node(now);
        let mut router = Router::default();
        let stranger = NodeId { incarnation: 8, ..other.clone() };
        router.post(&mut node, now.instant, &app('a'), posting(&stranger, Some(1)));
        let posted = |ticket, posted| ForCore::Posted { app_id: app('a'), worker: 0, ticket: Ticket(ticket), posted };
        assert_eq!(router.take(), Some(posted(1, Posted::Left)));
        let mut sent = 1;
        let refused = loop {
            sent += 1;
            router.post(&mut node, now.instant, &app('a'), posting(&other, Some(sent)));
            if let Some(refused) = router.take() {
                break refused;
            }
            assert!(sent < 1_000_000, "the box is bounded");
        };
        assert_eq!(refused, posted(sent, Posted::Dropped));
        // News that nobody waits for begins anew, with all that waits before it.
        router.post(&mut node, now.instant, &app('a'), posting(&other, None));
        let mut dropped = 0;
        while let NodeOutput::Post(event) = node.poll_output() {
            router.handle(&mut node, now.instant, event);
            dropped += usize::from(matches!(router.take(), Some(ForCore::Posted { posted: Posted::Dropped, .. })));
        }
        assert_eq!(dropped as u64, sent - 2);
    }

    #[test]
    fn a_parcel_that_cannot_be_read_is_refused_and_counted() {
        let now = now();
        let (mut node, other) = node(now);
        let mut router = Router::default();
        let received = |head: &'static [u8]| PostEvent::Received {
            from: other.clone(),
            priority: PROJECTS,
            parcel: Parcel::Project { app_id: app('a'), head: Bytes::from_static(head), body: Bytes::new() },
        };
        router.handle(&mut node, now.instant, received(&[11, 1, 1, b'u']));
        let parcel = watch("u");
        assert_eq!(router.take(), Some(ForCore::Parcel { app_id: app('a'), worker: 0, from: other.clone(), parcel }));
        router.handle(&mut node, now.instant, received(&[99]));
        assert_eq!((router.take(), router.refused()), (None, 1));
        let NodeOutput::Publish { payload, .. } = std::iter::repeat_with(|| node.poll_output())
            .take(100)
            .find(|output| matches!(output, NodeOutput::Publish { to, .. } if *to == other))
            .unwrap()
        else {
            panic!("nothing is sent")
        };
        assert!(matches!(Envelope::decode(payload).unwrap().frame, Frame::Reset { .. }));
    }
}
