//! What is kept of a channel for a member that is away for a short time: the last messages, and how many were lost.

use std::collections::VecDeque;

use rtm_codec::{ChannelId, Event};

use super::{
    notes::Queued,
    pack::{
        format::{AwayV1, KeptV1, NewsV1},
        packer::Packer,
    },
    stream::COUNTED,
};

/// The kinds of channel events that are kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChannelNews {
    Message,
    /// Somebody joined or left.
    Member,
    /// All attributes; the last set says everything.
    Attributes,
}

/// Where an event belongs: before the event of the stream with this number, and among its like by its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Place {
    pub(super) before: u64,
    pub(super) order: u64,
}

/// The events of one channel for one member that is away.
#[derive(Debug, Default)]
pub(super) struct Away {
    kept: VecDeque<(Place, ChannelNews, Queued)>,
    lost: u64,
    lost_at: Place,
}

impl Away {
    /// Keeps an event, and lets the oldest of its kind go when there are `limit` of them, if there is one. Gives how many bytes more
    /// are held, or fewer, and how many events were lost.
    pub(super) fn keep(&mut self, place: Place, news: ChannelNews, queued: Queued, limit: usize) -> (isize, u64) {
        let is_limited = limit < usize::MAX;
        let limit = match news {
            ChannelNews::Message => limit,
            ChannelNews::Member => KEPT_MEMBER_EVENTS,
            ChannelNews::Attributes => 1,
        };
        let mut change = queued.bytes as isize;
        let mut lost = 0;
        self.kept.push_back((place, news, queued));
        if !is_limited && news != ChannelNews::Attributes {
            return (change, lost);
        }
        let of_kind = self.kept.iter().filter(|(_, kind, _)| *kind == news).count();
        for _ in limit..of_kind {
            let Some(at) = self.kept.iter().position(|(_, kind, _)| *kind == news) else { break };
            let counts = news != ChannelNews::Attributes;
            change -= self.lose(at, counts);
            lost += u64::from(counts);
        }
        (change, lost)
    }

    /// The place of the oldest event.
    pub(super) fn oldest(&self) -> Option<Place> {
        self.kept.front().map(|(place, ..)| *place)
    }

    /// Lets the oldest event go. Gives its bytes.
    pub(super) fn lose_oldest(&mut self) -> usize {
        usize::try_from(self.lose(0, true)).unwrap_or(0)
    }

    /// Whether something was lost.
    pub(super) fn has_lost(&self) -> bool {
        self.lost > 0
    }

    /// All that is kept, with what was lost as an event of its own.
    pub(super) fn into_events(mut self, channel_id: &ChannelId) -> Vec<(Place, Queued)> {
        let mut events: Vec<_> = self.kept.drain(..).map(|(place, _, queued)| (place, queued)).collect();
        if self.lost > 0 {
            events.push((self.lost_at, gap(channel_id.clone(), Some(self.lost))));
        }
        events
    }

    pub(super) fn bytes(&self) -> usize {
        self.kept.iter().map(|(_, _, queued)| queued.bytes as usize).sum()
    }

    pub(super) fn pack(&self, packer: Packer<'_>) -> Option<AwayV1> {
        let pack = |(place, news, queued): &(Place, ChannelNews, Queued)| {
            let news = match news {
                ChannelNews::Message => NewsV1::Message,
                ChannelNews::Member => NewsV1::Member,
                ChannelNews::Attributes => NewsV1::Attributes,
            };
            Some(KeptV1 { place: (place.before, place.order), news, event: queued.pack(packer)?.event })
        };
        Some(AwayV1 {
            kept: self.kept.iter().map(pack).collect::<Option<_>>()?,
            lost: self.lost,
            lost_at: (self.lost_at.before, self.lost_at.order),
        })
    }

    pub(super) fn unpack(packed: AwayV1, mut event: impl FnMut(Vec<u8>) -> Option<Queued>) -> Option<Self> {
        let place = |(before, order)| Place { before, order };
        let mut kept = VecDeque::new();
        for KeptV1 { place: at, news, event: bytes } in packed.kept {
            let news = match news {
                NewsV1::Message => ChannelNews::Message,
                NewsV1::Member => ChannelNews::Member,
                NewsV1::Attributes => ChannelNews::Attributes,
            };
            kept.push_back((place(at), news, event(bytes)?));
        }
        let lost = Some(packed.lost).filter(|lost| *lost <= COUNTED)?;
        Some(Self { kept, lost, lost_at: place(packed.lost_at) })
    }

    fn lose(&mut self, at: usize, counts: bool) -> isize {
        let Some((place, _, queued)) = self.kept.remove(at) else { return 0 };
        if counts {
            self.lost += 1;
            self.lost_at = self.lost_at.max(place);
        }
        queued.bytes as isize
    }
}

/// An event that says that others were lost.
pub(super) fn gap(channel_id: ChannelId, lost: Option<u64>) -> Queued {
    Queued::plain(Event::Gap { channel_id: Some(channel_id), lost })
}

const KEPT_MEMBER_EVENTS: usize = 64;
