//! Attributes: what was written last is there, and revisions do not fall.

use std::{collections::BTreeMap, time::Duration};

use rtm_codec::{Answer, AttributeKey, ChannelId, Command, Revision, Text};
use rtm_connection::{Restored, RtmError, RtmEvent};

use super::{Invariant, Verdict, facts::Facts, fault, requests::Probed};

/// What was written.
#[derive(Debug, Default)]
pub(super) struct Attributes {
    /// Of users, by device; `None` when a write had no good end.
    users: BTreeMap<usize, Option<BTreeMap<AttributeKey, Text>>>,
    /// The highest revision of a channel that a writer was told, and when.
    channels: BTreeMap<ChannelId, (Revision, Duration)>,
    /// The last revision in a device's stream.
    told: BTreeMap<(usize, ChannelId), Revision>,
}

impl Attributes {
    pub(super) fn replied(
        &mut self,
        facts: &Facts,
        now: Duration,
        device: usize,
        command: &Command,
        result: &Result<Answer, RtmError>,
    ) {
        let channel_id = match command {
            Command::SetChannelAttributes(write) => &write.target.channel_id,
            Command::AddOrUpdateChannelAttributes(write) => &write.target.channel_id,
            Command::DeleteChannelAttributesByKeys(write) => &write.target.channel_id,
            Command::ClearChannelAttributes(write) => &write.target.channel_id,
            _ => return self.user_write(device, command, result),
        };
        let (Ok(Answer::SetChannelAttributes(revision))
        | Ok(Answer::AddOrUpdateChannelAttributes(revision))
        | Ok(Answer::DeleteChannelAttributesByKeys(revision))
        | Ok(Answer::ClearChannelAttributes(revision))) = result
        else {
            return;
        };
        // The server may have ended since it answered.
        let at = now.saturating_sub(UNDER_WAY);
        let known = self.channels.entry(channel_id.clone()).or_insert((*revision, at));
        let is_new_server = !facts.durable && facts.server_ended_since(known.1);
        if is_new_server || *revision > known.0 {
            *known = (*revision, at);
        }
    }

    fn user_write(&mut self, device: usize, command: &Command, result: &Result<Answer, RtmError>) {
        let known = match command {
            Command::SetLocalUserAttributes(_)
            | Command::AddOrUpdateLocalUserAttributes(_)
            | Command::DeleteLocalUserAttributesByKeys(_)
            | Command::ClearLocalUserAttributes(_) => self.users.entry(device).or_insert_with(|| Some(BTreeMap::new())),
            _ => return,
        };
        if result.is_err() {
            *known = None;
            return;
        }
        match (command, known.as_mut()) {
            (Command::SetLocalUserAttributes(set), _) => *known = Some(set.attributes.clone()),
            (Command::ClearLocalUserAttributes(_), _) => *known = Some(BTreeMap::new()),
            (Command::AddOrUpdateLocalUserAttributes(add), Some(attributes)) => {
                attributes.extend(add.attributes.clone());
            }
            (Command::DeleteLocalUserAttributesByKeys(delete), Some(attributes)) => {
                attributes.retain(|key, _| !delete.keys.contains(key));
            }
            _ => {}
        }
    }

    pub(super) fn session_ended(&mut self, device: usize) {
        self.users.remove(&device);
        self.told.retain(|(owner, _), _| *owner != device);
    }

    pub(super) fn told(&mut self, device: usize, event: &RtmEvent) -> Verdict {
        match event {
            RtmEvent::RestoreFailed { what: Restored::UserAttributes, .. } => {
                // They may be there all the same: perhaps only the answer was lost.
                self.users.insert(device, None);
            }
            RtmEvent::Gap { .. } => self.told.retain(|(owner, _), _| *owner != device),
            RtmEvent::AttributesUpdated { channel_id, attributes, .. } if attributes.revision != Revision(0) => {
                let revision = attributes.revision;
                let before = self.told.insert((device, channel_id.clone()), revision);
                if before.is_some_and(|before| before > revision) {
                    let detail = format!("revision {revision} of {channel_id} came after {before:?}");
                    return Err(fault(Invariant::Attributes, detail));
                }
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn finish(&self, facts: &Facts, here: &[(usize, Vec<ChannelId>)], probed: &[Probed]) -> Verdict {
        for Probed { device, command, answer } in probed {
            match (command, answer) {
                (Command::GetUserAttributes(get), Some(Answer::GetUserAttributes(attributes))) => {
                    let expected = here
                        .iter()
                        .find(|(owner, _)| facts.devices[*owner].user_id == get.user_id)
                        .map(|(owner, _)| self.users.get(owner).cloned().unwrap_or_else(|| Some(BTreeMap::new())));
                    if let Some(Some(expected)) = expected
                        && expected != *attributes
                    {
                        let shown = |attributes: &BTreeMap<AttributeKey, Text>| {
                            attributes
                                .iter()
                                .map(|(key, value)| format!("{key}={}", value.as_str()))
                                .collect::<Vec<_>>()
                                .join(" ")
                        };
                        let detail = format!(
                            "{} has the attributes {:?}, not {:?}",
                            get.user_id,
                            shown(attributes),
                            shown(&expected)
                        );
                        return Err(fault(Invariant::Attributes, detail));
                    }
                }
                (Command::GetChannelAttributes(get), Some(Answer::GetChannelAttributes(attributes))) => {
                    if facts.devices[*device].wire == rtm_codec::Wire::Vendor {
                        continue;
                    }
                    let Some((revision, at)) = self.channels.get(&get.channel_id) else { continue };
                    let is_gone = !facts.durable && facts.server_ended_since(*at);
                    if attributes.revision < *revision && !is_gone {
                        let detail = format!(
                            "{} is at revision {}, and a writer was told {revision}",
                            get.channel_id, attributes.revision
                        );
                        return Err(fault(Invariant::Attributes, detail));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// So long an answer may be under way.
const UNDER_WAY: Duration = Duration::from_secs(20);
