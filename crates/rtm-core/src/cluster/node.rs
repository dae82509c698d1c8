//! A node: its membership and its post as one machine, which takes and gives the payloads of the bus.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use bytes::Bytes;

use super::{
    envelope::{Envelope, Frame, Priority, Sealed},
    lease::{
        EngineKey, EngineOp, Membership, MembershipConfig, MembershipEvent, MembershipOutput, OpId, Outcome, Standing,
        Stored,
    },
    names::NodeId,
    post::{Condition, NotSent, Post, PostConfig, PostEvent, PostOutput, Ticket},
    view::View,
};
use crate::Now;

/// How a node is one of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeConfig {
    /// As a member.
    pub membership: MembershipConfig,
    /// What it holds for the others.
    pub post: PostConfig,
}

/// What comes out of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeOutput {
    /// Ask the engine, and report with [`handle_outcome`](Node::handle_outcome).
    Engine(OpId, EngineOp),
    /// Publish this to the subject of the node with this name.
    Publish {
        /// To whom.
        to: NodeId,
        /// What.
        payload: Bytes,
        /// Whether it goes ahead of what is not: over the second connection.
        is_urgent: bool,
    },
    /// Something about membership, for the layer above.
    Membership(MembershipEvent),
    /// Something that came by post, for the layer above.
    Post(PostEvent),
    /// There is nothing to do until the next input, or until then.
    Wait(Option<Instant>),
}

/// Payloads that were dropped, in figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Dropped {
    /// They could not be read.
    pub undecodable: u64,
    /// They were for another life of this node.
    pub for_another_life: u64,
    /// They came from nodes that are not in the view.
    pub from_strangers: u64,
}

/// One server of a cluster, without its sockets.
///
/// What happens goes in by the `handle` methods and by [`send`](Self::send); what is to be done comes from
/// [`poll_output`](Self::poll_output), until it says [`NodeOutput::Wait`].
#[derive(Debug)]
pub struct Node {
    membership: Membership,
    post: Post,
    post_config: PostConfig,
    post_of: NodeId,
    out: VecDeque<NodeOutput>,
    dropped: Dropped,
}

impl Node {
    /// A node that is to join. `seed` decides its incarnations and its pauses.
    #[must_use]
    pub fn new(config: NodeConfig, seed: u64, now: Now) -> Self {
        let membership = Membership::new(config.membership, seed, now);
        let me = membership.id().clone();
        Self {
            post: Post::new(config.post, me.clone(), now.instant),
            membership,
            post_config: config.post,
            post_of: me,
            out: VecDeque::new(),
            dropped: Dropped::default(),
        }
    }

    /// The node's name and present life.
    #[must_use]
    pub fn id(&self) -> &NodeId {
        self.membership.id()
    }

    /// The newest view that it knows.
    #[must_use]
    pub fn view(&self) -> &Arc<View> {
        self.membership.view()
    }

    /// Where it stands.
    #[must_use]
    pub fn standing(&self, now: Now) -> Standing {
        self.membership.standing(now)
    }

    /// When the last renewal of its lease was sent that was acknowledged.
    #[must_use]
    pub fn renewed_at(&self) -> Option<Instant> {
        self.membership.renewed_at()
    }

    /// Until when it is certain to be a [`Member`](Standing::Member), as far as it is known at `now`.
    #[must_use]
    pub fn certain_until(&self, now: Now) -> Option<Instant> {
        self.membership.certain_until(now)
    }

    /// Whether it is in touch with another node, in both directions.
    #[must_use]
    pub fn hears(&self, node: &NodeId) -> bool {
        self.membership.hears(node)
    }

    /// How another member takes what is sent to it.
    #[must_use]
    pub fn condition(&self, node: &NodeId) -> Option<Condition> {
        self.post.condition(node)
    }

    /// How many bytes wait for another member.
    #[must_use]
    pub fn waiting_bytes(&self, node: &NodeId) -> usize {
        self.post.waiting_bytes(node)
    }

    /// The payloads that were dropped.
    #[must_use]
    pub fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// Puts a parcel into the box of another member: see [`Post::send`].
    ///
    /// # Errors
    ///
    /// [`NotSent`]; then nothing happened.
    pub fn send(
        &mut self,
        now: Instant,
        to: &NodeId,
        priority: Priority,
        parcel: Sealed,
        ticket: Option<Ticket>,
    ) -> Result<(), NotSent> {
        self.post.send(now, to, priority, parcel, ticket)
    }

    /// Puts a parcel there that nobody waits for: see [`Post::send_in_company`].
    ///
    /// # Errors
    ///
    /// [`NotSent`]; then nothing happened.
    pub fn send_in_company(
        &mut self,
        now: Instant,
        to: &NodeId,
        priority: Priority,
        parcel: Sealed,
        ticket: Option<Ticket>,
    ) -> Result<(), NotSent> {
        self.post.send_in_company(now, to, priority, parcel, ticket)
    }

    /// Somebody waits for an acknowledgement: see [`Post::hurry_ack`].
    pub fn hurry_ack(&mut self, now: Instant, to: &NodeId) {
        self.post.hurry_ack(now, to);
    }

    /// A parcel that came cannot be taken: see [`Post::refuse`].
    pub fn refuse(&mut self, now: Instant, from: &NodeId, priority: Priority) {
        self.post.refuse(now, from, priority);
    }

    /// Drops what waits for a member, and tells it so: see [`Post::reset`].
    pub fn reset(&mut self, now: Instant, to: &NodeId, priority: Priority) {
        self.post.reset(now, to, priority);
    }

    /// A payload came over the bus, to the subject of this node.
    pub fn handle_payload(&mut self, now: Now, payload: Bytes) {
        let Ok(envelope) = Envelope::decode(payload) else {
            self.dropped.undecodable += 1;
            return;
        };
        let Envelope { from, to, epoch, frame } = envelope;
        if to != self.id().incarnation {
            self.dropped.for_another_life += 1;
            return;
        }
        self.membership.handle_frame(now, &from, epoch, &frame);
        self.gather(now.instant);
        let is_posts = matches!(frame, Frame::Data(_) | Frame::Ack(_) | Frame::Reset { .. });
        if self.post_of == *self.membership.id() && self.membership.view().has(&from) {
            self.post.handle_frame(now.instant, &from, frame);
        } else if is_posts {
            self.dropped.from_strangers += 1;
        }
    }

    /// What the engine answered.
    pub fn handle_outcome(&mut self, now: Now, id: OpId, outcome: Outcome) {
        self.membership.handle_outcome(now, id, outcome);
        self.gather(now.instant);
    }

    /// The engine's watch tells of a key.
    pub fn handle_watched(&mut self, now: Now, key: &EngineKey, stored: &Stored) {
        self.membership.handle_watched(now, key, stored);
        self.gather(now.instant);
    }

    /// Nobody listens to the subject of a node.
    pub fn handle_no_responders(&mut self, now: Now, to: &NodeId) {
        self.membership.handle_no_responders(now, to);
        self.gather(now.instant);
    }

    /// A clock jumped which the node is not given.
    pub fn handle_jump(&mut self, now: Now) {
        self.membership.handle_jump(now);
        self.gather(now.instant);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        self.membership.handle_timeout(now);
        self.gather(now.instant);
        self.post.handle_timeout(now.instant);
    }

    /// It is going to leave: see [`Membership::drain`].
    pub fn drain(&mut self, now: Now) {
        self.membership.drain(now);
        self.gather(now.instant);
    }

    /// It leaves, now: see [`Membership::leave`].
    pub fn leave(&mut self, now: Now) {
        self.membership.leave(now);
        self.gather(now.instant);
    }

    /// Its clients are gone after a long isolation: see [`Membership::give_up`].
    pub fn give_up(&mut self, now: Now) {
        self.membership.give_up(now);
        self.gather(now.instant);
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> NodeOutput {
        match self.out.pop_front() {
            Some(output) => output,
            None => match self.post.poll_output() {
                PostOutput::Wait(_) => NodeOutput::Wait(self.next_timeout()),
                output => self.posted(output),
            },
        }
    }

    /// What is to be done next but for acknowledgements that stand alone: see [`Post::poll_before_acks`].
    pub fn poll_before_acks(&mut self) -> Option<NodeOutput> {
        self.out.pop_front().or_else(|| self.post.poll_before_acks().map(|output| self.posted(output)))
    }

    fn posted(&self, output: PostOutput) -> NodeOutput {
        match output {
            PostOutput::Send(to, frame) => self.publish(to, frame),
            PostOutput::Event(event) => NodeOutput::Post(event),
            PostOutput::Wait(at) => NodeOutput::Wait(at),
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called next.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        [self.membership.next_timeout(), self.post.next_timeout()].into_iter().flatten().min()
    }

    /// The post sends to the members of this view.
    #[cfg(test)]
    pub(super) fn set_post_view(&mut self, now: Instant, view: &View) {
        self.post.set_view(now, view);
    }

    /// Takes what membership says, in order with what came by post before.
    fn gather(&mut self, now: Instant) {
        loop {
            match self.membership.poll_output() {
                MembershipOutput::Engine(id, op) => self.out.push_back(NodeOutput::Engine(id, op)),
                MembershipOutput::Send(to, frame) => {
                    let publish = self.publish(to, frame);
                    self.out.push_back(publish);
                }
                MembershipOutput::Event(event) => {
                    self.gather_post();
                    match &event {
                        MembershipEvent::View(view) => {
                            if self.post_of != *self.membership.id() {
                                self.post_of = self.membership.id().clone();
                                self.post = Post::new(self.post_config, self.post_of.clone(), now);
                            }
                            self.post.set_view(now, view);
                        }
                        MembershipEvent::LeftOut(_) => self.post.set_view(now, &View::empty(0)),
                        _ => {}
                    }
                    self.out.push_back(NodeOutput::Membership(event));
                    self.gather_post();
                }
                MembershipOutput::Wait(_) => return,
            }
        }
    }

    fn gather_post(&mut self) {
        while let Some(event) = self.post.take_event() {
            self.out.push_back(NodeOutput::Post(event));
        }
    }

    fn publish(&self, to: NodeId, frame: Frame) -> NodeOutput {
        let is_urgent = !matches!(&frame, Frame::Data(data) if data.priority == Priority::Bulk);
        let from = self.membership.id().clone();
        let epoch = self.membership.view().epoch();
        let payload = Envelope { from, to: to.incarnation, epoch, frame }.encode();
        NodeOutput::Publish { to, payload, is_urgent }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{Change, NodeName};

    fn id(name: &str) -> NodeId {
        NodeId { name: NodeName::new(name).unwrap(), incarnation: 7 }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "virtual time needs some instant to start from")]
    fn a_view_of_a_stranger_is_not_believed_but_read() {
        let now = Now { instant: Instant::now(), unix_ms: 1_700_000_000_000 };
        let membership = MembershipConfig::new(NodeName::new("me").unwrap());
        let mut node = Node::new(NodeConfig { membership, post: PostConfig::default() }, 1, now);
        let first = View::empty(0).next(&[Change::Join(id("other"), 3, 1)]);
        let second = first.next(&[Change::Join(id("third"), 3, 1)]);
        let says = |node: &mut Node, from: &NodeId, view: &View| {
            let frame = Frame::View(view.clone());
            let envelope = Envelope { from: from.clone(), to: 0, epoch: view.epoch(), frame };
            node.handle_payload(now, envelope.encode());
            let outputs: Vec<_> = std::iter::from_fn(|| Some(node.poll_output()))
                .take_while(|output| !matches!(output, NodeOutput::Wait(_)))
                .collect();
            let is_read =
                |output: &NodeOutput| matches!(output, NodeOutput::Engine(_, EngineOp::Read { key: EngineKey::View }));
            outputs.iter().any(is_read)
        };
        assert!(says(&mut node, &id("other"), &first), "it looks for itself");
        assert_eq!(node.view().epoch(), 0);

        node.handle_watched(now, &EngineKey::View, &Stored { revision: 1, value: first.encode() });
        assert_eq!(**node.view(), first);
        assert!(!says(&mut node, &id("stranger"), &first), "what is known is not read again");
        says(&mut node, &id("stranger"), &second);
        assert_eq!(**node.view(), first);
        says(&mut node, &NodeId { incarnation: 6, ..id("other") }, &second);
        assert_eq!(**node.view(), first, "the life before is a stranger too");
        says(&mut node, &id("other"), &second);
        assert_eq!(**node.view(), second);
    }
}
