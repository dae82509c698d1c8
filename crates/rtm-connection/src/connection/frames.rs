//! What the server sends.

use std::ops::ControlFlow;

use rtm_codec::{Answer, ClientFrame, CloseReason, Event, PeerMessage, Seq, ServerFrame, Text};

use super::account::{Active, End};
use crate::{
    GapReason, Output, ReceivedMessageProperties, RtmEvent, link::LinkState, recent::Message, stream::Arrival,
};

impl Active<'_> {
    pub(super) fn frame(&mut self, frame: ServerFrame) -> ControlFlow<End> {
        match &mut self.account.link {
            LinkState::Online(online) => online.heard(self.now),
            LinkState::LoggingIn { .. } => {}
            // Of a link that is given up.
            LinkState::Lost
            | LinkState::Asking { .. }
            | LinkState::Dialing { .. }
            | LinkState::Waiting { .. }
            | LinkState::NeedsToken { .. } => {
                return ControlFlow::Continue(());
            }
        }
        match (&mut self.account.link, frame) {
            (LinkState::Online(_), ServerFrame::Event { seq, event }) => self.event(seq, event),
            (LinkState::Online(_), ServerFrame::Reply { id, result }) => {
                if let Some(request) = self.account.pending.remove(id) {
                    self.finish(id, request, result);
                }
            }
            (LinkState::Online(online), ServerFrame::Ping) => {
                online.acks_anything = true;
                self.lasting.send(ClientFrame::Pong);
            }
            (LinkState::Online(online), ServerFrame::Pong) => online.pong(self.now),
            (LinkState::LoggingIn { .. }, ServerFrame::Ping) => self.lasting.send(ClientFrame::Pong),
            (LinkState::LoggingIn { .. }, ServerFrame::Welcome(welcome)) => self.welcomed(*welcome),
            (LinkState::LoggingIn { .. }, ServerFrame::Refused(refusal)) => return self.refused(refusal),
            (LinkState::Online(_) | LinkState::LoggingIn { .. }, ServerFrame::Close(reason)) => {
                return self.link_lost(Some(reason), Text::default(), true);
            }
            // The rest has no place here and no effect.
            _ => {}
        }
        ControlFlow::Continue(())
    }

    pub(super) fn closed(&mut self, reason: Option<CloseReason>, text: Text) -> ControlFlow<End> {
        match self.account.link {
            LinkState::Dialing { asked: true, .. } | LinkState::LoggingIn { .. } | LinkState::Online(_) => {
                self.link_lost(reason, text, false)
            }
            // The link of the login before: its goodbye may wait to be handed to it.
            LinkState::Dialing { asked: false, .. }
            | LinkState::Lost
            | LinkState::Asking { .. }
            | LinkState::Waiting { .. }
            | LinkState::NeedsToken { .. } => {
                self.lasting.unsend(|_| {});
                ControlFlow::Continue(())
            }
        }
    }

    fn event(&mut self, seq: Seq, event: Event) {
        let window = u64::from(self.lasting.config.window);
        if window > 0 && self.lasting.stream.waiting() > 2 * window + WINDOW_SLACK {
            self.interrupted(Some(CloseReason::ProtocolError), Some(CloseReason::ProtocolError));
            return;
        }
        match self.lasting.stream.arrived(seq) {
            Arrival::Duplicate => return,
            Arrival::Next => {}
            Arrival::After(lost) => {
                self.emit(RtmEvent::Gap { channel_id: None, lost: Some(lost), reason: GapReason::Missing });
            }
        }
        let (receipt, bytes) = match &event {
            Event::MessageFromPeer(message) => (true, message.message.len()),
            Event::RemoteInvitationReceived { content, .. } => (true, content.len()),
            Event::ChannelMessage { message, .. } => (false, message.len()),
            _ => (false, 0),
        };
        match self.told(event) {
            Some(event) => {
                self.lasting.stream.push_numbered(receipt, bytes);
                self.push(Output::Event(event));
            }
            None => self.lasting.stream.push_hidden(receipt),
        }
    }

    /// What the user is told of an event, if anything.
    pub(super) fn told(&mut self, event: Event) -> Option<RtmEvent> {
        Some(match event {
            Event::MessageFromPeer(message) => {
                let PeerMessage { message_id, peer_id, message, is_offline_message, server_received_ts } = message;
                let seen = Message { channel: None, sender: &peer_id, message_id, server_received_ts };
                if self.is_repeat(&seen, is_offline_message) {
                    return None;
                }
                let properties = ReceivedMessageProperties { is_offline_message, server_received_ts };
                RtmEvent::MessageFromPeer { peer_id, message, properties }
            }
            Event::ChannelMessage { channel_id, message_id, member_id, message, server_received_ts } => {
                let channel = Some(&channel_id);
                let seen = Message { channel, sender: &member_id, message_id, server_received_ts };
                if self.is_repeat(&seen, false) {
                    return None;
                }
                let properties = ReceivedMessageProperties { is_offline_message: false, server_received_ts };
                RtmEvent::ChannelMessage { channel_id, member_id, message, properties }
            }
            Event::PeersOnlineStatusChanged { peers } => {
                RtmEvent::PeersOnlineStatusChanged { peers: peers.into_iter().collect() }
            }
            Event::TokenWillExpire { expires_in_ms: _ } => {
                if !self.warn_of_token() {
                    return None;
                }
                self.fetch_token();
                RtmEvent::TokenWillExpire
            }
            Event::MemberJoined { channel_id, member_id, member_count: _ } => {
                RtmEvent::MemberJoined { channel_id, member_id }
            }
            Event::MemberLeft { channel_id, member_id, member_count: _ } => {
                RtmEvent::MemberLeft { channel_id, member_id }
            }
            Event::MemberCountUpdated { channel_id, member_count } => {
                RtmEvent::MemberCountUpdated { channel_id, member_count }
            }
            Event::AttributesUpdated { channel_id, attributes } => {
                RtmEvent::AttributesUpdated { channel_id, attributes }
            }
            Event::Gap { channel_id, lost } => {
                // What a server drops of a channel it counts; what it never had for the user it cannot.
                let left = channel_id.is_some() && lost.is_none();
                let reason = if left { GapReason::LeftChannel } else { GapReason::Dropped };
                RtmEvent::Gap { channel_id, lost, reason }
            }
            event => {
                if let Some(id) = self.account.invitations.answered_by(&event)
                    && let Some(request) = self.account.pending.remove(id)
                {
                    self.finish(id, request, Ok(Answer::SendInvitation(())));
                }
                let timeout = self.lasting.config.invitation_timeout;
                let effects = self.account.invitations.handle_event(self.now, timeout, event);
                let mut events = effects.events;
                let last = events.pop();
                events.into_iter().for_each(|earlier| self.emit(earlier));
                return last;
            }
        })
    }

    /// Whether a message came before, over the session that this one took the place of. A stored one may come again
    /// over any session: its server kept it until it heard that it arrived, and may not have heard, or have failed to
    /// let it go. In a cluster it may also come as one that is not stored: a server that was lost had stored it, and its
    /// sender's did not know that.
    fn is_repeat(&mut self, message: &Message<'_>, is_stored: bool) -> bool {
        if is_stored {
            self.expect_repeats();
        }
        let may_repeat = is_stored || self.account.repeats_until.is_some_and(|until| self.now < until);
        self.lasting.recent.insert(message, may_repeat)
    }
}

/// How many events beyond twice the window are too many: that server keeps to no window at all.
const WINDOW_SLACK: u64 = 64;
