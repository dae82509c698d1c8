//! Answers as the wire has them: what a server writes, and what a client reads.

use std::collections::BTreeMap;

use compact_str::CompactString;

use super::{
    cmd::{CALL_PEER_OFFLINE, CALL_SENT, Cmd, REASON_TIMEOUT},
    envelope::{self, Content},
    fields::{Entries, Field, List, Mark, Nested, Number, Str},
    lists,
    requests::Echo,
    shapes,
};
use crate::{
    Answer, AttributeKey, ChannelId, DecodeErrorKind, ErrorKind, Family, PeerOnlineState, Refusal, SendOutcome, Text,
    UserId,
};

/// Writes the answer to the request that `echo` is of, made by `user_id`; `None` where the wire has none.
pub(super) fn write(echo: &Echo, user_id: &str, result: &Result<Answer, Refusal>) -> Option<String> {
    let msg_id = echo.msg_id;
    let channel_id = Str::from(&echo.name);
    let family = echo.cmd.family()?;
    let code = match result {
        Ok(_) => 0,
        Err(refusal) => number(family, refusal.kind),
    };
    let refused = match result {
        Ok(_) => Number(None),
        Err(_) => Number(Some(code)),
    };
    let code = Number(Some(code));
    let answer = result.as_ref().ok();
    let cmd = echo.cmd.answer();
    Some(match echo.cmd {
        Cmd::SendMsgToPeer => {
            let outcome = match answer {
                Some(Answer::SendMessageToPeer(outcome)) => Some(*outcome),
                _ => None,
            };
            let status = Number(Some(u64::from(outcome.is_some_and(SendOutcome::has_peer_received))));
            let stored = Mark(outcome == Some(SendOutcome::Stored));
            envelope::write_object(cmd, &shapes::MsgStatus { msg_id, status, stored, code: refused })
        }
        Cmd::QueryOnlineStatus => {
            let status = match answer {
                Some(Answer::QueryPeersOnlineStatus(peers)) => lists::peer_states(peers),
                _ => List::default(),
            };
            envelope::write_object(cmd, &shapes::OnlineStatus { msg_id, status, code: refused })
        }
        Cmd::QueryOnlineSubStatus => {
            // The SDK keeps those that are online, and the call is about all that are subscribed to.
            let status = match answer {
                Some(Answer::QueryPeersBySubscriptionOption(peers)) => {
                    peers.iter().map(|peer| lists::peer_state(peer, PeerOnlineState::Online)).collect()
                }
                _ => List::default(),
            };
            envelope::write_object(cmd, &shapes::OnlineStatus { msg_id, status, code: refused })
        }
        Cmd::SubscribeOnlineStatus
        | Cmd::UnSubscribeOnlineStatus
        | Cmd::AddOrUpdateUserAttributes
        | Cmd::DeleteUserAttributes
        | Cmd::ClearUserAttributes
        | Cmd::ClearChanAttributes => {
            envelope::write_object(cmd, &shapes::Done { code, msg_id, channel_id: Str::default() })
        }
        Cmd::JoinChannel | Cmd::LeaveChannel => {
            envelope::write_object(cmd, &shapes::Done { code, msg_id: Number(None), channel_id })
        }
        Cmd::SendChannelMsg | Cmd::AddOrUpdateChanAttributes | Cmd::DeleteChanAttributes => {
            envelope::write_object(cmd, &shapes::Done { code, msg_id, channel_id })
        }
        Cmd::GetUserAttributes => {
            // The SDK parses the attributes whatever else there is, and throws where they are missing.
            let none = BTreeMap::new();
            let attributes = match answer {
                Some(Answer::GetUserAttributes(attributes)) => attributes,
                _ => &none,
            };
            let attributes = Nested(Entries::of(attributes));
            let user_id = Str::from(&echo.name);
            envelope::write_object(cmd, &shapes::QueryAttribKeys { msg_id, user_id, attributes, code: refused })
        }
        Cmd::GetChanAttributes | Cmd::GetChanAttributesByKeys => {
            let attributes = match answer {
                Some(Answer::GetChannelAttributes(all)) => Nested(lists::channel_attributes(all)),
                _ => Nested::default(),
            };
            envelope::write_object(cmd, &shapes::ChanAttributes { code, msg_id, channel_id, attributes })
        }
        Cmd::GetChanMemberSize => {
            let sizes = match answer {
                Some(Answer::GetChannelMemberCount(counts)) => {
                    let sizes = counts.iter().map(|(channel_id, count)| shapes::ChanMemberSize {
                        channel_id: Str::from(channel_id),
                        size: Number(Some(u64::from(*count))),
                    });
                    sizes.collect()
                }
                _ => List::default(),
            };
            envelope::write_object(cmd, &shapes::ChanMemberSizes { code, msg_id, sizes })
        }
        Cmd::GetChanMembers => {
            let members = match answer {
                Some(Answer::GetMembers(members)) => List::of(members),
                _ => List::default(),
            };
            envelope::write_object(cmd, &shapes::ChanMembers { code, msg_id, channel_id, members })
        }
        Cmd::MakeCall => {
            // A call that is made already goes on; any other refused one fails for its caller.
            let status = match result {
                Ok(_) => CALL_SENT,
                Err(refusal) if refusal.kind == ErrorKind::AlreadySent => return None,
                Err(_) => CALL_PEER_OFFLINE,
            };
            let status = Number(Some(status));
            let (call_id, to) = (Str::from(&echo.name), Str::from(&echo.peer));
            envelope::write_object(
                cmd,
                &shapes::CallStatus { call_id, status, to, failure: Str::default(), code: refused },
            )
        }
        Cmd::CancelCall => envelope::write_object(
            cmd,
            &shapes::CancelCallAck {
                code: Number(Some(0)),
                call_id: Str::from(&echo.name),
                from: Str::from(user_id),
                to: Str::from(&echo.peer),
                refused,
            },
        ),
        Cmd::AcceptCall if result.is_ok() => {
            envelope::write_object(cmd, &shapes::AcceptCallAck { call_id: Str::from(&echo.name) })
        }
        _ => return None,
    })
}

/// Tells a callee whose acceptance was refused that the call is over.
pub(super) fn write_refused_acceptance(echo: &Echo, user_id: &str, refusal: &Refusal) -> String {
    envelope::write_object(
        Cmd::CancelCall,
        &shapes::CancelCall {
            call_id: Str::from(&echo.name),
            from: Str::from(&echo.peer),
            to: Str::from(user_id),
            reason: Str::from(REASON_TIMEOUT),
            content: Str::from(""),
            failure: Str::default(),
            code: Number(Some(number(Family::Invitation, refusal.kind))),
        },
    )
}

/// The vendor's number for a refusal, or for a failure where it has none of its own.
pub(super) fn number(family: Family, kind: ErrorKind) -> u64 {
    family.code(kind).or_else(|| family.code(ErrorKind::Failure)).unwrap_or(1).into()
}

/// What a number in an answer says. Every number but 0 is a refusal.
pub(super) fn refusal(family: Family, code: Option<u64>) -> Refusal {
    let kind = code.and_then(|code| u16::try_from(code).ok()).and_then(|code| family.kind(code));
    Refusal::from(kind.unwrap_or(ErrorKind::Failure))
}

/// An answer that a client received.
#[derive(Debug)]
pub(super) struct Answered {
    /// The request's number, where it has one.
    pub(super) msg_id: Option<u64>,
    /// The channel or call that the answer names.
    pub(super) name: CompactString,
    pub(super) outcome: Outcome,
}

/// What an answer says.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Yes, and no more than that.
    Done,
    /// Yes, and what was asked for.
    Answer(Answer),
    /// No.
    Refused(Option<u64>),
}

/// Reads an answer; `None` for a command that is none.
pub(super) fn read(cmd: Cmd, content: &mut Content<'_>) -> Result<Option<Answered>, DecodeErrorKind> {
    let numbered = |msg_id: Number, outcome| Answered { msg_id: msg_id.0, name: CompactString::default(), outcome };
    Ok(Some(match cmd {
        Cmd::MsgStatus => {
            let it = content.read::<shapes::MsgStatus>()?;
            let outcome = match (it.status.0, it.code.0) {
                (Some(0) | None, Some(code)) => Outcome::Refused(Some(code)),
                (Some(0) | None, None) if it.stored.0 => {
                    Outcome::Answer(Answer::SendMessageToPeer(SendOutcome::Stored))
                }
                (Some(0) | None, None) => Outcome::Answer(Answer::SendMessageToPeer(SendOutcome::NotReceived)),
                (Some(_), _) => Outcome::Answer(Answer::SendMessageToPeer(SendOutcome::Delivered)),
            };
            numbered(it.msg_id, outcome)
        }
        Cmd::QueryOnlineStatus | Cmd::QueryOnlineSubStatus => {
            let it = content.read::<shapes::OnlineStatus<'_>>()?;
            let peers = lists::read_peer_states(&it.status)?;
            let outcome = if it.status.is_absent() {
                Outcome::Refused(it.code.0)
            } else if cmd == Cmd::QueryOnlineStatus {
                Outcome::Answer(Answer::QueryPeersOnlineStatus(peers))
            } else {
                let peers = peers.into_iter().map(|(peer, _)| peer).collect();
                Outcome::Answer(Answer::QueryPeersBySubscriptionOption(peers))
            };
            numbered(it.msg_id, outcome)
        }
        Cmd::SubscribeOnlineStatus
        | Cmd::UnSubscribeOnlineStatus
        | Cmd::AddOrUpdateUserAttributes
        | Cmd::DeleteUserAttributes
        | Cmd::ClearUserAttributes
        | Cmd::JoinChannel
        | Cmd::LeaveChannel
        | Cmd::SendChannelMsg
        | Cmd::AddOrUpdateChanAttributes
        | Cmd::DeleteChanAttributes
        | Cmd::ClearChanAttributes => {
            let it = content.read::<shapes::Done<'_>>()?;
            let outcome = refused_or(it.code, || Ok(Outcome::Done))?;
            Answered { msg_id: it.msg_id.0, name: CompactString::new(it.channel_id.as_str()), outcome }
        }
        Cmd::QueryAttribKeys => {
            let it = content.read::<shapes::QueryAttribKeys<'_>>()?;
            let outcome = match it.code.0 {
                Some(code) => Outcome::Refused(Some(code)),
                None => Outcome::Answer(Answer::GetUserAttributes(read_attributes(&it.attributes.0)?)),
            };
            numbered(it.msg_id, outcome)
        }
        Cmd::GetChanAttributes | Cmd::GetChanAttributesByKeys => {
            let it = content.read::<shapes::ChanAttributes<'_>>()?;
            let outcome = refused_or(it.code, || {
                Ok(Outcome::Answer(Answer::GetChannelAttributes(lists::read_channel_attributes(&it.attributes.0)?)))
            })?;
            numbered(it.msg_id, outcome)
        }
        Cmd::GetChanMemberSize => {
            let it = content.read::<shapes::ChanMemberSizes<'_>>()?;
            let outcome = refused_or(it.code, || {
                let count = |it: &shapes::ChanMemberSize<'_>| {
                    let count = u32::try_from(it.size.0?).unwrap_or(u32::MAX);
                    Some((ChannelId::new(it.channel_id.as_str()).ok()?, count))
                };
                let counts = it.sizes.whole()?.iter().filter_map(count).collect();
                Ok(Outcome::Answer(Answer::GetChannelMemberCount(counts)))
            })?;
            numbered(it.msg_id, outcome)
        }
        Cmd::GetChanMembers => {
            let it = content.read::<shapes::ChanMembers<'_>>()?;
            let outcome = refused_or(it.code, || {
                let members = it.members.whole()?.iter();
                let members = members.filter_map(|member| UserId::new(member.as_str()).ok()).collect();
                Ok(Outcome::Answer(Answer::GetMembers(members)))
            })?;
            numbered(it.msg_id, outcome)
        }
        Cmd::CancelCallAck => {
            let it = content.read::<shapes::CancelCallAck<'_>>()?;
            let outcome = match it.refused.0 {
                Some(code) => Outcome::Refused(Some(code)),
                None => refused_or(it.code, || Ok(Outcome::Done))?,
            };
            Answered { msg_id: None, name: CompactString::new(it.call_id.as_str()), outcome }
        }
        Cmd::AcceptCallAck => {
            let it = content.read::<shapes::AcceptCallAck<'_>>()?;
            Answered { msg_id: None, name: CompactString::new(it.call_id.as_str()), outcome: Outcome::Done }
        }
        _ => return Ok(None),
    }))
}

fn refused_or(
    code: Number,
    outcome: impl FnOnce() -> Result<Outcome, DecodeErrorKind>,
) -> Result<Outcome, DecodeErrorKind> {
    match code.0 {
        Some(0) => outcome(),
        code => Ok(Outcome::Refused(code)),
    }
}

fn read_attributes<const MAX: usize>(
    entries: &Entries<'_, MAX>,
) -> Result<BTreeMap<AttributeKey, Text>, DecodeErrorKind> {
    let attributes = entries.whole()?.iter();
    let attributes =
        attributes.filter_map(|(key, value)| Some((AttributeKey::new(key).ok()?, Text::from(value.0.as_deref()?))));
    Ok(attributes.collect())
}
