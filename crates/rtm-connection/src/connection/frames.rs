//! What the server sends.

use std::time::Instant;

use rtm_codec::{Answer, ClientFrame, CloseReason, Event, PeerMessage, Seq, ServerFrame};

use crate::{
    GapReason, Output, ReceivedMessageProperties, RtmEvent, connection::Connection, link::Link, recent::Message,
    stream::Arrival,
};

/// So many events beyond twice the window are too many for a server that keeps to it at all.
const WINDOW_SLACK: u64 = 64;

impl Connection {
    pub(super) fn frame(&mut self, now: Instant, frame: ServerFrame) {
        match &mut self.link {
            Link::Online(online) => online.heard(now),
            Link::LoggingIn { .. } | Link::LoggingOut { .. } => {}
            // Of a link that is given up.
            Link::Idle | Link::Dialing { .. } | Link::Waiting { .. } | Link::NeedsToken | Link::Aborted => return,
        }
        match (&self.link, frame) {
            (Link::Online(_), ServerFrame::Event { seq, event }) => self.event(now, seq, event),
            (Link::Online(_), ServerFrame::Reply { id, result }) => {
                if let Some(request) = self.pending.remove(id) {
                    self.finish(now, id, request, result);
                }
            }
            (Link::Online(_) | Link::LoggingIn { .. }, ServerFrame::Ping) => {
                self.send(ClientFrame::Pong);
                self.ack_anything = true;
            }
            (Link::LoggingIn { .. }, ServerFrame::Welcome(welcome)) => self.welcomed(now, *welcome),
            (Link::LoggingIn { .. }, ServerFrame::Refused(refusal)) => self.refused(now, refusal),
            (Link::LoggingOut { .. }, ServerFrame::Close(_)) => self.logged_out(true),
            (Link::Online(_) | Link::LoggingIn { .. }, ServerFrame::Close(reason)) => {
                self.link_lost(now, Some(reason), true);
            }
            // A pong was heard already; the rest has no place here and no effect.
            _ => {}
        }
    }

    pub(super) fn closed(&mut self, now: Instant, reason: Option<CloseReason>) {
        match self.link {
            Link::Dialing { asked: true, .. } | Link::LoggingIn { .. } | Link::Online(_) => {
                self.link_lost(now, reason, false);
            }
            Link::LoggingOut { .. } => {
                self.drop_link(None);
                self.logged_out(false);
            }
            Link::Dialing { asked: false, .. }
            | Link::Idle
            | Link::Waiting { .. }
            | Link::NeedsToken
            | Link::Aborted => {}
        }
    }

    fn event(&mut self, now: Instant, seq: Seq, event: Event) {
        let window = u64::from(self.config.window);
        if window > 0 && self.stream.waiting() > 2 * window + WINDOW_SLACK {
            self.interrupted(now, Some(CloseReason::ProtocolError), Some(CloseReason::ProtocolError));
            return;
        }
        match self.stream.arrived(seq) {
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
        match self.told(now, event) {
            Some(event) => {
                self.stream.push_numbered(receipt, bytes);
                self.queue.push_back(Output::Event(event));
            }
            None => self.stream.push_hidden(receipt),
        }
    }

    /// What the user is told of an event, if anything.
    fn told(&mut self, now: Instant, event: Event) -> Option<RtmEvent> {
        Some(match event {
            Event::MessageFromPeer(message) => {
                let PeerMessage { message_id, peer_id, message, is_offline_message, server_received_ts } = message;
                let seen = Message { channel: None, sender: &peer_id, message_id, server_received_ts };
                if self.is_repeat(now, &seen, is_offline_message) {
                    return None;
                }
                let properties = ReceivedMessageProperties { is_offline_message, server_received_ts };
                RtmEvent::MessageFromPeer { peer_id, message, properties }
            }
            Event::ChannelMessage { channel_id, message_id, member_id, message, server_received_ts } => {
                let channel = Some(&channel_id);
                let seen = Message { channel, sender: &member_id, message_id, server_received_ts };
                if self.is_repeat(now, &seen, false) {
                    return None;
                }
                let properties = ReceivedMessageProperties { is_offline_message: false, server_received_ts };
                RtmEvent::ChannelMessage { channel_id, member_id, message, properties }
            }
            Event::PeersOnlineStatusChanged { peers } => {
                RtmEvent::PeersOnlineStatusChanged { peers: peers.into_iter().collect() }
            }
            Event::TokenWillExpire { expires_in_ms: _ } => {
                if !self.token.warn() {
                    return None;
                }
                self.queue.push_back(Output::TokenNeeded);
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
                if let Some(id) = self.invitations.answered_by(&event)
                    && let Some(request) = self.pending.remove(id)
                {
                    self.finish(now, id, request, Ok(Answer::SendInvitation(())));
                }
                let effects = self.invitations.handle_event(now, self.config.invitation_timeout, event);
                let mut events = effects.events;
                let last = events.pop();
                events.into_iter().for_each(|earlier| self.emit(earlier));
                return last;
            }
        })
    }

    /// Whether a message came before, over the session that this one took the place of. A stored one may come again
    /// over any session: its server kept it until it heard that it arrived, and may not have heard, or have failed to
    /// let it go.
    fn is_repeat(&mut self, now: Instant, message: &Message<'_>, is_stored: bool) -> bool {
        let may_repeat = is_stored || self.repeats_until.is_some_and(|until| now < until);
        self.recent.insert(message, may_repeat)
    }
}
