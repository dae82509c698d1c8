//! What the cores of one project say to each other, as bytes. Variants are only ever added, with new tags; a change of what
//! is there is a new variant.

use bytes::Bytes;
use rtm_codec::{AppId, HistoryOf, QueryHistory};

use super::{
    bytes::ParcelError,
    calls::{CallAnswer, CallMessage, CallOutcome},
    channels::{
        ChannelParcel, ChannelWord, FanOut, ForwardedNews, HeldChannel, HomeParcel, Mark, MemberChange, Part, Relay,
        Said, Version,
    },
    envelope::Sealed,
    fields::{Field as _, Input, Output, enums, structs},
    gateway::{GatewayWord, Wanted},
    presence::{PagedUser, PresenceParcel, Sighting},
    project::{Ask, Deliver, Delivered, LaneRun, MessageOutcome, OustedSession, ProjectParcel, RunMessage, Verdict},
};

impl ProjectParcel {
    /// The parcel in bytes, for the core of this project on other nodes.
    #[must_use]
    pub fn seal(&self, app_id: &AppId) -> Sealed {
        self.seal_between(app_id, 0, 0)
    }

    /// The same between two cores of their nodes' several: from which, to which.
    #[must_use]
    pub fn seal_between(&self, app_id: &AppId, from: u16, to: u16) -> Sealed {
        let mut out = Output::default();
        self.put(&mut out);
        let between = Some((from, to)).filter(|between| *between != (0, 0));
        let (head, body) = out.finish();
        Sealed::new(app_id, between, &head, body)
    }

    /// Reads what a [`Parcel`](super::Parcel) of a project has.
    ///
    /// # Errors
    ///
    /// [`ParcelError`] for bytes that no node of a known version writes.
    pub fn open(head: &[u8], body: Bytes) -> Result<Self, ParcelError> {
        let mut input = Input::new(head, body);
        let parcel = Self::get(&mut input)?;
        input.end()?;
        Ok(parcel)
    }
}

enums! {
    ProjectParcel {
        0 Ask(ask)
        1 Verdict { claim verdict }
        2 Pack { claim bytes }
        3 Took { user_id session revision }
        4 Deliver(deliver)
        5 Placed { session user_id to n drops_repeats }
        6 NotHere { session user_id to n }
        7 Missing { session user_id to n }
        8 Outcome(outcome)
        9 Call { id from to message }
        10 CallAnswered { id from to outcome }
        11 Presence(parcel)
        12 ReadAttributes { read user_id keys }
        13 Attributes { read attributes }
        14 Channel(parcel)
        15 Home(parcel)
        16 Fetch { user_id instance ticket }
        17 SayAgain
        18 StoredFor { user_id }
        19 Gateway { id word }
        20 Restricted { user_id revision banned_until tokens_from }
        21 Kick { user_id }
        22 ForgetUser { user_id }
        23 Delivered(delivered)
        24 DeliverRuns(runs)
        25 Storing { session request }
    }
    Verdict {
        0 NotHere
        1 Moves { bytes }
        2 Ends { ousted }
        3 Ousted
        4 TokenOver
    }
    CallMessage {
        0 Offer { call_id number content session }
        1 Over { session number event }
        2 Received { call_id number session }
        3 Answered { call_id session answer }
    }
    CallAnswer {
        0 Accepted(response)
        1 Refused(response)
        2 GivenUp
    }
    CallOutcome {
        0 Taken(session)
        1 NotTaken
        2 Away
        3 NotHere
    }
    PresenceParcel {
        0 State { user_id state revision }
        1 Watch { user_id }
        2 Unwatch { user_id }
        3 Told { user_id sighting }
        4 Query { query epoch user_ids }
        5 States { query states }
        6 Pull { epoch partitions after }
        7 Page { epoch users more }
    }
    ChannelWord {
        0 Say(said)
        1 Told { version node said }
        2 Snapshot { version parts confirm }
        3 Know { version }
        4 Settled { change }
        5 Lost
        6 Message(fan_out)
        7 Forwarded { user_id session news }
        8 Enough { user_id session }
        9 Attributes { value notify }
        10 Forgotten { revision }
        11 ForwardEnd { user_id session }
        12 Relay(relay)
        13 Relayed { number }
    }
    MemberChange {
        0 Joined(user_id)
        1 Left(user_id)
        2 MovedIn { user_id from }
        3 MovedAway(user_id)
        4 All(user_ids)
    }
    GatewayWord {
        0 Ask { user_id session wanted }
        1 May
        2 Nothing
        3 Refused(refusal)
        4 Given { places is_page }
        5 NotGiven
        6 Ended { is_written }
        7 Noted
    }
    Wanted {
        0 StoredMessages { after }
        1 History(query)
    }
    HistoryOf {
        0 Peer(user_id)
        1 Channel(channel_id)
    }
    HomeParcel {
        0 Pull { term partitions }
        1 Held { term channels done }
        2 Count { question epoch channel_ids }
        3 Counted { question counts }
    }
}

structs! {
    Ask { claim user_id instance ticket is_token_over }
    OustedSession { session instance was_told }
    Deliver { session to n after numbering request message store within }
    LaneRun { session to numbering messages }
    RunMessage { n after request message store within }
    MessageOutcome { session user_id numbering request message_id outcome hops }
    Delivered { session user_id numbering messages hops }
    Sighting { state revision node }
    PagedUser { user_id here watched }
    ChannelParcel { channel_id epoch word }
    Version { term n }
    Said { change count what settle }
    Part { count change names }
    FanOut { version change k after since event }
    ForwardedNews { event mark }
    Relay { origin number event hops }
    Mark { origin k since }
    HeldChannel { channel_id part settle moving }
    QueryHistory { conversation from_ts until_ts after limit }
}
