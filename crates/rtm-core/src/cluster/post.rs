//! The post: for each other member two ordered and reliable boxes over a bus that loses, repeats and delays.

mod outbox;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use thiserror::Error;

use self::outbox::Outbox;
use super::{
    envelope::{Acks, Frame, Parcel, PostData, Priority, Sealed},
    names::NodeId,
    view::View,
};

/// How much the post holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PostConfig {
    /// The largest payload that the bus takes. 1 MiB, which is also the most.
    pub payload_bytes: usize,
    /// How many bytes of urgent parcels may wait for one node. 1 MiB.
    pub urgent_bytes: usize,
    /// How many bytes of other parcels may wait for one node. 8 MiB.
    pub bulk_bytes: usize,
    /// How long what nobody waits for, a parcel or an acknowledgement, waits for something else to the same node. 10 ms.
    pub company_within: Duration,
}

impl Default for PostConfig {
    fn default() -> Self {
        Self {
            payload_bytes: 1024 * 1024,
            urgent_bytes: 1024 * 1024,
            bulk_bytes: 8 * 1024 * 1024,
            company_within: Duration::from_millis(10),
        }
    }
}

/// A number by which the sender of a parcel is told what became of it. The post does not look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What became of a parcel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Settled {
    /// The other node has it.
    Taken,
    /// The other node left the view. It may have it or not.
    Left,
    /// The post began anew before the other node said that it has it. It may have it or not.
    Reset,
}

/// Why a parcel was not put into a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Error)]
pub enum NotSent {
    /// As much as may wait for this node waits already.
    #[error("too much waits for this node")]
    Full,
    /// This node is no member.
    #[error("this node is no member")]
    Left,
    /// It does not fit into a payload.
    #[error("larger than a payload")]
    TooLarge,
}

/// How another node takes what is sent to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Condition {
    /// It keeps up.
    Well,
    /// It is heard, and has taken nothing for 2 s.
    Slow,
    /// It is not heard either.
    Silent,
}

/// What comes out of the post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PostOutput {
    /// Send this frame.
    Send(NodeId, Frame),
    /// For the layer above.
    Event(PostEvent),
    /// There is nothing to do until the next input, or until then.
    Wait(Option<Instant>),
}

/// What the post tells the layer above.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PostEvent {
    /// A parcel came. The next ones of the same node and priority follow in order, and none comes twice.
    Received {
        /// From whom.
        from: NodeId,
        /// Among which.
        priority: Priority,
        /// What.
        parcel: Parcel,
    },
    /// What became of a parcel that was sent with a ticket.
    Settled(Ticket, Settled),
    /// This node's parcels begin anew: some that it sent before may be missing for ever.
    Restarted {
        /// Whose.
        from: NodeId,
        /// Which.
        priority: Priority,
    },
    /// The other node could not take a parcel. The post to it begins anew, and everything in that box is dropped.
    Refused {
        /// Who.
        by: NodeId,
        /// Which.
        priority: Priority,
    },
    /// Another node keeps up, or does not any more.
    Condition(NodeId, Condition),
}

/// The boxes to all other members.
///
/// It is fed with parcels ([`send`](Self::send)), with frames of other members ([`handle_frame`](Self::handle_frame)),
/// with views and with time. What is to be done comes from [`poll_output`](Self::poll_output), until it says
/// [`PostOutput::Wait`]. A parcel counts as taken when it was polled: no frame acknowledges it before.
#[derive(Debug)]
pub struct Post {
    config: PostConfig,
    me: NodeId,
    now: Instant,
    peers: BTreeMap<NodeId, Peer>,
    /// Those that may have something to be sent.
    ready: BTreeSet<NodeId>,
    /// Those of the rest that may have an acknowledgement to be sent.
    owing: BTreeSet<NodeId>,
    out: VecDeque<PostEvent>,
}

#[derive(Debug)]
struct Peer {
    urgent: Outbox,
    bulk: Outbox,
    from_urgent: Inbox,
    from_bulk: Inbox,
    /// When the parcels that came are to be acknowledged at the latest, if they are not.
    owes_ack: Option<Instant>,
    /// How many bytes these have.
    unacknowledged: usize,
    /// When parcels that wait for others are to be sent at the latest.
    waits_for_company: Option<Instant>,
    resets: Vec<(Priority, u64)>,
    heard_at: Instant,
    condition: Condition,
    look_at: Option<Instant>,
}

/// How far the parcels of a node have come.
#[derive(Debug, Default)]
struct Inbox {
    /// The number of the post; 0 before the first.
    post: u64,
    next: u64,
    /// One of its parcels cannot be taken: nothing behind it is.
    is_refused: bool,
}

impl Post {
    /// The post of a node that is in no view yet.
    #[must_use]
    pub fn new(config: PostConfig, me: NodeId, now: Instant) -> Self {
        let config =
            PostConfig { payload_bytes: config.payload_bytes.min(PostConfig::default().payload_bytes), ..config };
        Self {
            config,
            me,
            now,
            peers: BTreeMap::new(),
            ready: BTreeSet::new(),
            owing: BTreeSet::new(),
            out: VecDeque::new(),
        }
    }

    /// The members are these. What waits for those that left is settled as [`Settled::Left`].
    pub fn set_view(&mut self, now: Instant, view: &View) {
        self.now = now;
        let gone: Vec<NodeId> = self.peers.keys().filter(|id| !view.has(id)).cloned().collect();
        for id in gone {
            if let Some(mut peer) = self.peers.remove(&id) {
                for outbox in [&mut peer.urgent, &mut peer.bulk] {
                    outbox.restart(now, Settled::Left, &mut self.out);
                }
            }
            self.ready.remove(&id);
            self.owing.remove(&id);
        }
        for member in view.members().iter().filter(|member| member.id != self.me) {
            self.peers.entry(member.id.clone()).or_insert_with(|| Peer::new(now));
        }
    }

    /// Puts a parcel into the box of a member. Whoever gives a `ticket` is told what became of it, once.
    ///
    /// # Errors
    ///
    /// [`NotSent`]; then nothing happened, and the ticket is not used.
    pub fn send(
        &mut self,
        now: Instant,
        to: &NodeId,
        priority: Priority,
        parcel: Sealed,
        ticket: Option<Ticket>,
    ) -> Result<(), NotSent> {
        self.put(now, to, priority, parcel, ticket)?;
        self.ready.insert(to.clone());
        Ok(())
    }

    /// The same for a parcel that nobody waits for: it goes with the next that somebody does, or after
    /// [`company_within`](PostConfig::company_within).
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn send_in_company(
        &mut self,
        now: Instant,
        to: &NodeId,
        priority: Priority,
        parcel: Sealed,
        ticket: Option<Ticket>,
    ) -> Result<(), NotSent> {
        self.put(now, to, priority, parcel, ticket)?;
        let until = now + self.config.company_within;
        match self.peers.get_mut(to).filter(|_| until > now) {
            Some(peer) => drop(peer.waits_for_company.get_or_insert(until)),
            None => drop(self.ready.insert(to.clone())),
        }
        Ok(())
    }

    fn put(
        &mut self,
        now: Instant,
        to: &NodeId,
        priority: Priority,
        parcel: Sealed,
        ticket: Option<Ticket>,
    ) -> Result<(), NotSent> {
        self.now = now;
        let most = match priority {
            Priority::Urgent => self.config.urgent_bytes,
            Priority::Bulk => self.config.bulk_bytes,
        };
        let peer = self.peers.get_mut(to).ok_or(NotSent::Left)?;
        if parcel.bytes() + ENVELOPE_BYTES > self.config.payload_bytes {
            return Err(NotSent::TooLarge);
        }
        let outbox = peer.outbox(priority);
        if outbox.bytes() + parcel.bytes() > most {
            return Err(NotSent::Full);
        }
        outbox.push(now, parcel, ticket);
        peer.look_at.get_or_insert(now + STUCK);
        Ok(())
    }

    /// Somebody waits for the acknowledgement of what a member sent.
    pub fn hurry_ack(&mut self, now: Instant, to: &NodeId) {
        self.now = self.now.max(now);
        if let Some(by) = self.peers.get_mut(to).and_then(|peer| peer.owes_ack.as_mut()) {
            *by = now.min(*by);
            self.owing.insert(to.clone());
        }
    }

    /// A frame of a member came. Frames that are not the post's are passed over.
    pub fn handle_frame(&mut self, now: Instant, from: &NodeId, frame: Frame) {
        self.handle_heard(now, from);
        match frame {
            Frame::Data(data) => {
                self.handle_acks(from, &data.acks);
                self.handle_data(from, data);
            }
            Frame::Ack(acks) => self.handle_acks(from, &acks),
            Frame::Reset { priority, post } => {
                let Some(peer) = self.peers.get_mut(from) else { return };
                let outbox = peer.outbox(priority);
                if outbox.number() == post {
                    outbox.restart(now, Settled::Reset, &mut self.out);
                    outbox.announce();
                    self.ready.insert(from.clone());
                    self.out.push_back(PostEvent::Refused { by: from.clone(), priority });
                }
            }
            Frame::Heartbeat { .. } | Frame::View(_) => {}
        }
    }

    /// A member was heard.
    pub fn handle_heard(&mut self, now: Instant, from: &NodeId) {
        self.now = now;
        if let Some(peer) = self.peers.get_mut(from) {
            peer.heard_at = now;
        }
    }

    /// A parcel that was received cannot be taken by the layer above: what else came of this box is dropped, and its
    /// sender is told to begin anew.
    pub fn refuse(&mut self, now: Instant, from: &NodeId, priority: Priority) {
        self.now = now;
        let Some(peer) = self.peers.get_mut(from) else { return };
        let inbox = peer.inbox(priority);
        inbox.is_refused = true;
        let reset = (priority, inbox.post);
        if !peer.resets.contains(&reset) {
            peer.resets.push(reset);
        }
        self.ready.insert(from.clone());
        self.out.retain(|event| {
            !matches!(event, PostEvent::Received { from: sender, priority: among, .. } if sender == from && *among == priority)
        });
    }

    /// Drops what waits for a member, and begins anew: it is told that parcels may be missing. For news that did not
    /// fit into its box, and that it can ask for again.
    pub fn reset(&mut self, now: Instant, to: &NodeId, priority: Priority) {
        self.now = now;
        let Some(peer) = self.peers.get_mut(to) else { return };
        let outbox = peer.outbox(priority);
        outbox.restart(now, Settled::Reset, &mut self.out);
        outbox.announce();
        peer.look_at.get_or_insert(now + STUCK);
        self.ready.insert(to.clone());
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        for (id, peer) in &mut self.peers {
            let is_due = peer.urgent.handle_timeout(now) | peer.bulk.handle_timeout(now);
            let is_company_over = peer.waits_for_company.is_some_and(|by| by <= now);
            if is_due || is_company_over {
                self.ready.insert(id.clone());
            }
            if peer.owes_ack.is_some_and(|by| by <= now) {
                self.owing.insert(id.clone());
            }
            if peer.look_at.is_some_and(|at| at <= now) {
                peer.look(now, id, &mut self.out);
            }
        }
    }

    /// The next event, if there is one.
    pub(super) fn take_event(&mut self) -> Option<PostEvent> {
        self.out.pop_front()
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> PostOutput {
        if let Some(output) = self.poll_before_acks() {
            return output;
        }
        while let Some(id) = self.owing.pop_first() {
            let now = self.now;
            if let Some(acks) = self.peers.get_mut(&id).and_then(|peer| peer.ack(now)) {
                return PostOutput::Send(id, Frame::Ack(acks));
            }
        }
        PostOutput::Wait(self.next_timeout())
    }

    /// What is to be done next but for acknowledgements that stand alone: whoever answers to what has come before it takes those
    /// sends both in one frame. `None` when there is nothing more, or something to wait for.
    pub fn poll_before_acks(&mut self) -> Option<PostOutput> {
        if let Some(event) = self.take_event() {
            return Some(PostOutput::Event(event));
        }
        while let Some(id) = self.ready.first() {
            let Some(peer) = self.peers.get_mut(id) else {
                self.ready.pop_first();
                continue;
            };
            if let Some(frame) = peer.frame(self.now, &self.config) {
                return Some(PostOutput::Send(id.clone(), frame));
            }
            self.ready.pop_first();
        }
        None
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called next.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        let due = |peer: &Peer| {
            let of_boxes = [peer.urgent.resend_at(), peer.bulk.resend_at()];
            let of_peer = [peer.look_at, peer.owes_ack, peer.waits_for_company];
            of_boxes.into_iter().chain(of_peer).flatten().min()
        };
        self.peers.values().filter_map(due).min()
    }

    /// How many bytes wait for a node, or are on their way to it.
    #[must_use]
    pub fn waiting_bytes(&self, to: &NodeId) -> usize {
        self.peers.get(to).map_or(0, |peer| peer.urgent.bytes() + peer.bulk.bytes())
    }

    /// How a member takes what is sent to it; `None` for a node that is none.
    #[must_use]
    pub fn condition(&self, of: &NodeId) -> Option<Condition> {
        self.peers.get(of).map(|peer| peer.condition)
    }

    fn handle_acks(&mut self, from: &NodeId, acks: &Acks) {
        let Some(peer) = self.peers.get_mut(from) else { return };
        for (priority, (post, next)) in [(Priority::Urgent, acks.urgent), (Priority::Bulk, acks.bulk)] {
            if peer.outbox(priority).acknowledge(self.now, post, next, &mut self.out) {
                self.ready.insert(from.clone());
            }
        }
        peer.look(self.now, from, &mut self.out);
    }

    fn handle_data(&mut self, from: &NodeId, data: PostData) {
        let Some(peer) = self.peers.get_mut(from) else { return };
        let PostData { priority, post, first, parcels, .. } = data;
        peer.unacknowledged += parcels.iter().map(Sealed::bytes).sum::<usize>();
        let is_much = peer.unacknowledged >= UNACKNOWLEDGED;
        let inbox = peer.inbox(priority);
        if post > inbox.post {
            if inbox.post > 0 || post > FIRST_POST {
                self.out.push_back(PostEvent::Restarted { from: from.clone(), priority });
            }
            *inbox = Inbox { post, next: 0, is_refused: false };
        }
        // What comes once more was acknowledged, and that is lost.
        let is_news = post == inbox.post && first == inbox.next && !parcels.is_empty();
        let by = self.now + if is_news && !is_much { self.config.company_within } else { Duration::ZERO };
        peer.owes_ack = Some(peer.owes_ack.map_or(by, |before| before.min(by)));
        if by <= self.now {
            self.owing.insert(from.clone());
        }
        let inbox = peer.inbox(priority);
        if post < inbox.post {
            return;
        }
        if inbox.is_refused {
            return self.refuse(self.now, from, priority);
        }
        let Some(known) = inbox.next.checked_sub(first) else { return };
        for sealed in parcels.into_iter().skip(usize::try_from(known).unwrap_or(usize::MAX)) {
            let Ok(parcel) = sealed.open() else {
                inbox.is_refused = true;
                peer.resets.push((priority, post));
                self.ready.insert(from.clone());
                return;
            };
            inbox.next += 1;
            self.out.push_back(PostEvent::Received { from: from.clone(), priority, parcel });
        }
    }
}

impl Peer {
    fn new(now: Instant) -> Self {
        Self {
            urgent: Outbox::new(now),
            bulk: Outbox::new(now),
            from_urgent: Inbox::default(),
            from_bulk: Inbox::default(),
            owes_ack: None,
            unacknowledged: 0,
            waits_for_company: None,
            resets: Vec::new(),
            heard_at: now,
            condition: Condition::Well,
            look_at: None,
        }
    }

    fn outbox(&mut self, priority: Priority) -> &mut Outbox {
        match priority {
            Priority::Urgent => &mut self.urgent,
            Priority::Bulk => &mut self.bulk,
        }
    }

    fn inbox(&mut self, priority: Priority) -> &mut Inbox {
        match priority {
            Priority::Urgent => &mut self.from_urgent,
            Priority::Bulk => &mut self.from_bulk,
        }
    }

    /// What is to be sent to it now but for an acknowledgement, which goes along with parcels.
    fn frame(&mut self, now: Instant, config: &PostConfig) -> Option<Frame> {
        if let Some((priority, post)) = self.resets.pop() {
            return Some(Frame::Reset { priority, post });
        }
        let acks = self.acks();
        self.waits_for_company = None;
        for priority in [Priority::Urgent, Priority::Bulk] {
            let outbox = self.outbox(priority);
            if let Some((first, parcels)) = outbox.batch(now, config.payload_bytes - ENVELOPE_BYTES) {
                let post = outbox.number();
                self.acknowledged();
                return Some(Frame::Data(PostData { priority, post, first, acks, parcels }));
            }
        }
        None
    }

    /// How far its parcels have come, if it is to be told that now.
    fn ack(&mut self, now: Instant) -> Option<Acks> {
        self.owes_ack.filter(|by| *by <= now)?;
        self.acknowledged();
        Some(self.acks())
    }

    fn acknowledged(&mut self) {
        (self.owes_ack, self.unacknowledged) = (None, 0);
    }

    fn acks(&self) -> Acks {
        Acks {
            urgent: (self.from_urgent.post, self.from_urgent.next),
            bulk: (self.from_bulk.post, self.from_bulk.next),
        }
    }

    /// Looks whether it keeps up.
    fn look(&mut self, now: Instant, id: &NodeId, out: &mut VecDeque<PostEvent>) {
        let waits_since = [self.urgent.waits_since(), self.bulk.waits_since()].into_iter().flatten().min();
        let is_stuck = waits_since.is_some_and(|since| now >= since + STUCK);
        let condition = match is_stuck {
            false => Condition::Well,
            true if now < self.heard_at + STUCK => Condition::Slow,
            true => Condition::Silent,
        };
        self.look_at = waits_since.map(|since| (since + STUCK).max(now + LOOK_AGAIN));
        if condition != self.condition {
            self.condition = condition;
            out.push_back(PostEvent::Condition(id.clone(), condition));
        }
    }
}

/// The number of the first post to a node.
const FIRST_POST: u64 = 1;

/// What an envelope takes at most, without the parcels and their lengths.
const ENVELOPE_BYTES: usize = 256;

/// So many bytes are acknowledged at once.
const UNACKNOWLEDGED: usize = 64 * 1024;

/// A node that takes nothing for so long is slow, or silent.
const STUCK: Duration = Duration::from_secs(2);

/// How often a node is looked at while something waits for it.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
