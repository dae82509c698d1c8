//! Reads text messages, which nearly all frames of a busy connection are, faster than the tables of `fields.rs`.
//!
//! What is read stays in the packet until all of it is known to be good, and is then made where it is kept: in the list
//! of frames. Everything that is not just so, bad input above all, is left to the tables, which read it once more and say
//! what is wrong. Frames are written by the tables alone, so that what is written and read again holds the two together.

use super::Input;
use crate::{
    ChannelId, ClientFrame, Command, Event, MessageId, PeerMessage, RequestId, RtmMessage, SendChannelMessage,
    SendMessageToPeer, Seq, ServerFrame, UserId,
};

/// Appends a text message to a user or a channel.
#[inline(always)]
pub(super) fn event(mut input: Input<'_>, seq: Seq, frames: &mut Vec<ServerFrame>) -> Option<()> {
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
pub(super) fn request(mut input: Input<'_>, id: RequestId, frames: &mut Vec<ClientFrame>) -> Option<()> {
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
