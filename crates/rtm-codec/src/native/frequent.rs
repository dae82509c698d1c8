//! Reads text messages faster than the tables of `fields.rs` do: nearly all frames of a busy connection are of this kind.
//!
//! The values stay in the packet until all of them are known to be good. Then the frame is made in place, in the list of
//! frames. Anything else (bad input, other kinds of message, fields of a newer version) is left to the tables, which read
//! it from its start and say what is wrong. Only the tables write frames, so a test that reads what was written compares
//! the two.

use super::Input;
use crate::{
    ChannelId, ClientFrame, Command, Event, MessageId, PeerMessage, RequestId, RtmMessage, SendChannelMessage,
    SendMessageToPeer, Seq, ServerFrame, UserId,
};

/// Appends a text message to a user or a channel.
#[inline(always)]
pub(super) fn event(mut input: Input<'_>, frames: &mut Vec<ServerFrame>) -> Option<()> {
    if input.tag().ok()? != EVENT {
        return None;
    }
    let seq = Seq(input.number().ok()?);
    match input.tag().ok()? {
        0 => {
            let message_id = MessageId(input.number().ok()?);
            let peer_id = input.bytes().ok()?;
            let text = text(&mut input)?;
            let is_offline_message = flag(&mut input)?;
            let server_received_ts = input.number().ok()?;
            input.is_at_end().then_some(())?;
            let message = RtmMessage::Text(input.text_of(text).ok()?);
            let peer_id = UserId::valid(peer_id)?;
            let message = PeerMessage { message_id, peer_id, message, is_offline_message, server_received_ts };
            frames.push(ServerFrame::Event { seq, event: Event::MessageFromPeer(message) });
        }
        10 => {
            let channel_id = input.bytes().ok()?;
            let message_id = MessageId(input.number().ok()?);
            let member_id = input.bytes().ok()?;
            let text = text(&mut input)?;
            let server_received_ts = input.number().ok()?;
            input.is_at_end().then_some(())?;
            let message = RtmMessage::Text(input.text_of(text).ok()?);
            let channel_id = ChannelId::valid(channel_id)?;
            let member_id = UserId::valid(member_id)?;
            let event = Event::ChannelMessage { channel_id, message_id, member_id, message, server_received_ts };
            frames.push(ServerFrame::Event { seq, event });
        }
        _ => return None,
    }
    Some(())
}

/// Appends a call that sends a text message.
#[inline(always)]
pub(super) fn request(mut input: Input<'_>, frames: &mut Vec<ClientFrame>) -> Option<()> {
    if input.tag().ok()? != REQUEST {
        return None;
    }
    let id = RequestId(input.number().ok()?);
    match input.tag().ok()? {
        1 => {
            let message_id = MessageId(input.number().ok()?);
            let peer_id = input.bytes().ok()?;
            let text = text(&mut input)?;
            let enable_offline_messaging = flag(&mut input)?;
            let enable_historical_messaging = flag(&mut input)?;
            input.is_at_end().then_some(())?;
            let message = RtmMessage::Text(input.text_of(text).ok()?);
            let peer_id = UserId::valid(peer_id)?;
            let command = SendMessageToPeer {
                message_id,
                peer_id,
                message,
                enable_offline_messaging,
                enable_historical_messaging,
            };
            frames.push(ClientFrame::Request { id, command: Command::SendMessageToPeer(command) });
        }
        17 => {
            let message_id = MessageId(input.number().ok()?);
            let channel_id = input.bytes().ok()?;
            let text = text(&mut input)?;
            let enable_historical_messaging = flag(&mut input)?;
            input.is_at_end().then_some(())?;
            let message = RtmMessage::Text(input.text_of(text).ok()?);
            let channel_id = ChannelId::valid(channel_id)?;
            let command = SendChannelMessage { message_id, channel_id, message, enable_historical_messaging };
            frames.push(ClientFrame::Request { id, command: Command::SendChannelMessage(command) });
        }
        _ => return None,
    }
    Some(())
}

/// The bytes of a message that is a text.
#[inline(always)]
fn text<'p>(input: &mut Input<'p>) -> Option<&'p [u8]> {
    match input.tag().ok()? {
        0 => input.bytes().ok(),
        _ => None,
    }
}

#[inline(always)]
fn flag(input: &mut Input<'_>) -> Option<bool> {
    match input.tag().ok()? {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

// The tags of the two frames.
const EVENT: u8 = 3;
const REQUEST: u8 = 1;
