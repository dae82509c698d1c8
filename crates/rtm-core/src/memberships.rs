//! The channels that a session is in, and what it misses of them while it has no connection.

use rtm_codec::ChannelId;

use super::{
    arena::ChannelKey,
    away::{Away, ChannelNews, Place},
    notes::Queued,
    pack::{
        format::{Id, MembershipV1, MembershipsV1},
        packer::Packer,
    },
    stream::Stream,
};

/// The memberships of a session, in the order of its joins.
#[derive(Debug, Default)]
pub(super) struct Memberships {
    channels: Vec<Membership>,
    /// What is kept of all of them.
    away_bytes: usize,
    /// How many events were kept.
    away_order: u64,
    /// The session came without its client, which another node had sent away: what it misses is kept while there is room.
    keeps_all: bool,
}

/// A channel that the session is in.
#[derive(Debug)]
struct Membership {
    channel: ChannelKey,
    /// The last member count that it was told.
    told_count: u32,
    away: Option<Box<Away>>,
}

impl Memberships {
    pub(super) fn len(&self) -> usize {
        self.channels.len()
    }

    /// How many bytes are kept of channels.
    pub(super) fn bytes(&self) -> usize {
        self.away_bytes
    }

    pub(super) fn contains(&self, channel: ChannelKey) -> bool {
        self.channels.iter().any(|member| member.channel == channel)
    }

    pub(super) fn channels(&self) -> impl Iterator<Item = ChannelKey> {
        self.channels.iter().map(|member| member.channel)
    }

    pub(super) fn add(&mut self, channel: ChannelKey) {
        self.channels.push(Membership { channel, told_count: 0, away: None });
    }

    pub(super) fn remove(&mut self, channel: ChannelKey) {
        self.channels.retain(|member| member.channel != channel);
    }

    /// Leaves all channels. What was kept of them is lost.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = ChannelKey> + use<> {
        self.away_bytes = 0;
        std::mem::take(&mut self.channels).into_iter().map(|member| member.channel)
    }

    /// Whether the last member count that the session was told of a channel is not this one.
    pub(super) fn was_told_otherwise(&self, channel: ChannelKey, count: u32) -> bool {
        self.channels.iter().any(|member| member.channel == channel && member.told_count != count)
    }

    /// Takes note that a channel's member count is told to the session. `false` if it is not a member, or knows the
    /// count already; then it is told only `again`.
    pub(super) fn tell_count(&mut self, channel: ChannelKey, count: u32, again: bool) -> bool {
        let Some(member) = self.channels.iter_mut().find(|member| member.channel == channel) else { return false };
        std::mem::replace(&mut member.told_count, count) != count || again
    }

    /// Keeps an event of a channel for when the client is back: before the event of its stream with the number
    /// `before`. At most `limit` messages are kept, or as many as there is room for. Gives how many events were lost, `None` for no member.
    pub(super) fn keep(
        &mut self,
        channel: ChannelKey,
        before: u64,
        news: ChannelNews,
        queued: Queued,
        limit: usize,
    ) -> Option<u64> {
        let member = self.channels.iter_mut().find(|member| member.channel == channel)?;
        self.away_order += 1;
        let limit = if self.keeps_all { usize::MAX } else { limit };
        let place = Place { before, order: self.away_order };
        let (change, lost) = member.away.get_or_insert_default().keep(place, news, queued, limit);
        self.away_bytes = self.away_bytes.saturating_add_signed(change);
        Some(lost)
    }

    /// Lets the oldest event go that is kept of any channel. `false` if there is none.
    pub(super) fn lose_oldest(&mut self) -> bool {
        let away = self.channels.iter_mut().filter_map(|member| member.away.as_mut());
        let Some((_, away)) = away.filter_map(|away| Some((away.oldest()?, away))).min_by_key(|(place, _)| *place)
        else {
            return false;
        };
        self.away_bytes = self.away_bytes.saturating_sub(away.lose_oldest());
        true
    }

    /// `None` if a channel is gone, which none with a member is.
    pub(super) fn pack(&self, packer: Packer<'_>) -> Option<MembershipsV1> {
        let pack = |member: &Membership| {
            let (channel_id, count_told, count_due) = packer.channel(member.channel)?;
            Some(MembershipV1 {
                channel_id: Id(channel_id.clone()),
                told_count: member.told_count,
                away: match &member.away {
                    Some(away) => Some(away.pack(packer)?),
                    None => None,
                },
                count_told: count_told.map(|at| packer.moment(at)),
                count_due: count_due.map(|at| packer.moment(at)),
            })
        };
        let channels = self.channels.iter().map(pack).collect::<Option<_>>()?;
        Some(MembershipsV1 { channels, away_order: self.away_order })
    }

    /// The memberships of a session that comes from elsewhere, to be added to.
    pub(super) fn unpack(away_order: u64, keeps_all: bool) -> Self {
        Self { away_order, keeps_all, ..Self::default() }
    }

    /// A membership that comes from elsewhere.
    pub(super) fn add_unpacked(&mut self, channel: ChannelKey, told_count: u32, away: Option<Away>) {
        self.away_bytes += away.as_ref().map_or(0, Away::bytes);
        self.channels.push(Membership { channel, told_count, away: away.map(Box::new) });
    }

    /// Puts what is kept where it belongs in the session's stream. Gives in how many channels something is missing.
    pub(super) fn merge_away<'a>(
        &mut self,
        stream: &mut Stream,
        name: impl Fn(ChannelKey) -> Option<&'a ChannelId>,
    ) -> usize {
        self.keeps_all = false;
        let mut gaps = 0;
        let mut news: Vec<(Place, Queued)> = Vec::new();
        for member in &mut self.channels {
            if let Some(away) = member.away.take()
                && let Some(channel_id) = name(member.channel)
            {
                gaps += usize::from(away.has_lost());
                news.extend(away.into_events(channel_id));
            }
        }
        self.away_bytes = 0;
        if news.is_empty() {
            return gaps;
        }
        news.sort_by_key(|(place, _)| *place);
        let unsent = stream.take_unsent();
        let mut news = news.into_iter().peekable();
        for (number, queued) in (stream.end()..).zip(unsent) {
            while let Some((_, earlier)) = news.next_if(|(place, _)| place.before <= number) {
                stream.push(earlier);
            }
            stream.push(queued);
        }
        news.for_each(|(_, queued)| stream.push(queued));
        gaps
    }
}
