//! What a core hears from the same project on other nodes and from the engine, and who in the core has to know it.

use crate::{
    Core, Now,
    cluster::{ChannelWord, EngineAnswer, EngineJobId, HomeParcel, NodeId, ProjectParcel, Revised, UserEntry},
    delivery::{LaneAnswer, Numbered},
    edge::{Edge, entries::Release},
    engine::Purpose,
    store::Restrictions,
};

impl Edge {
    /// Puts off what a node says that has a newer view. Gives back what is to be heard now.
    fn put_off(&mut self, from: &NodeId, parcel: ProjectParcel) -> Option<ProjectParcel> {
        let epoch = match &parcel {
            ProjectParcel::Channel(parcel) => match &parcel.word {
                // These name what they rest on.
                ChannelWord::Message(_)
                | ChannelWord::Attributes { .. }
                | ChannelWord::Forgotten { .. }
                | ChannelWord::Forwarded { .. }
                | ChannelWord::Enough { .. }
                | ChannelWord::ForwardEnd { .. } => None,
                _ => Some(parcel.epoch),
            },
            ProjectParcel::Home(parcel) => match &**parcel {
                HomeParcel::Pull { term: epoch, .. } | HomeParcel::Count { epoch, .. } => Some(*epoch),
                HomeParcel::Held { .. } | HomeParcel::Counted { .. } => Some(0),
            },
            _ => None,
        };
        let Some(epoch) = epoch else { return Some(parcel) };
        if epoch <= self.view.epoch() && !self.early.contains_key(from) {
            return Some(parcel);
        }
        let waiting = self.early.entry(from.clone()).or_default();
        // Changes that are missing are asked for.
        if waiting.len() < EARLY_PARCELS {
            waiting.push_back(parcel);
        }
        None
    }
}

impl Core {
    /// The same project on another node says something. What a node says arrives once and in order.
    pub fn handle_parcel(&mut self, now: Now, from: &NodeId, parcel: ProjectParcel) {
        let now = self.time(now);
        self.parcel_came(now, from, parcel);
        self.hub.close_overfull(now);
    }

    pub(crate) fn parcel_came(&mut self, now: Now, from: &NodeId, parcel: ProjectParcel) {
        let Some(edge) = &mut self.edge else { return };
        let Some(parcel) = edge.put_off(from, parcel).and_then(|parcel| edge.claims.await_session(from, parcel)) else {
            return;
        };
        match parcel {
            ProjectParcel::Ask(ask) => self.asked_for_session(now, from, ask),
            ProjectParcel::Verdict { claim, verdict } => self.claim_judged(now, from, claim, verdict),
            ProjectParcel::Pack { claim, bytes } => self.pack_came(now, from, claim, &bytes),
            ProjectParcel::Took { user_id, session, revision } => {
                let epoch = self.edge.as_ref().map_or(0, |edge| edge.view.epoch());
                let entry = Some(UserEntry { node: from.clone(), session, epoch });
                self.learn_entry(now, &user_id, &Revised { entry, revision });
            }
            ProjectParcel::Deliver(deliver) => self.deliver(now, from, (*deliver).into()),
            ProjectParcel::DeliverRuns(runs) => runs.into_iter().for_each(|run| self.deliver(now, from, run)),
            ProjectParcel::Placed { session, user_id, to, n, drops_repeats } => {
                let answer = LaneAnswer::Placed { drops_repeats };
                self.lane_answered(now, from, Numbered { session, sender: &user_id, to: &to, n }, answer);
            }
            ProjectParcel::Storing { session, request } => {
                if self.hub.back_end.id == session {
                    self.hub.back_end.stores(from, request);
                }
            }
            ProjectParcel::NotHere { session, user_id, to, n } => {
                self.lane_answered(now, from, Numbered { session, sender: &user_id, to: &to, n }, LaneAnswer::NotHere);
            }
            ProjectParcel::Missing { session, user_id, to, n } => {
                self.lane_answered(now, from, Numbered { session, sender: &user_id, to: &to, n }, LaneAnswer::Missing);
            }
            ProjectParcel::Outcome(outcome) => self.outcome_came(*outcome),
            ProjectParcel::Delivered(delivered) => self.delivered_came(*delivered),
            ProjectParcel::ReadAttributes { read, user_id, keys } => {
                self.asked_for_attributes(from, read, &user_id, keys.as_deref());
            }
            ProjectParcel::Attributes { read, attributes } => self.attributes_came(now, from, read, attributes),
            ProjectParcel::Call { id, from: user, to, message } => self.call_came(now, from, id, (user, to), *message),
            ProjectParcel::CallAnswered { id, from: user, to, outcome } => {
                self.call_answered(now, from, id, (user, to), outcome);
            }
            ProjectParcel::Presence(parcel) => {
                self.presence_came(now, from, parcel);
                self.pass_presence_on(now);
            }
            ProjectParcel::Channel(parcel) => self.word_came(now, from, &parcel.channel_id, parcel.word),
            ProjectParcel::Gateway { id, word } => self.request_word_came(now, from, id, *word),
            ProjectParcel::Home(parcel) => self.home_parcel_came(now, from, *parcel),
            ProjectParcel::SayAgain => self.asked_to_say_again(now, from),
            ProjectParcel::StoredFor { user_id } => self.read_stored_again(now, &user_id),
            ProjectParcel::Fetch { user_id, instance, ticket } => self.asked_to_fetch(now, user_id, instance, ticket),
            ProjectParcel::Restricted { user_id, revision, banned_until, tokens_from } => {
                let value = Restrictions { revision, banned_until, tokens_from };
                self.restriction_told(now, user_id.as_ref(), value);
            }
            ProjectParcel::Kick { user_id } => drop(self.kick_here(now, &user_id)),
            ProjectParcel::ForgetUser { user_id } => drop(self.forget_user(now, &user_id)),
        }
    }

    /// The engine's answer to a job.
    pub fn handle_engine(&mut self, came: Now, job: EngineJobId, answer: EngineAnswer) {
        let now = self.time(came);
        let Some(edge) = &mut self.edge else { return };
        let Some((user_id, purpose)) = edge.engine.answered(job) else { return };
        if let EngineAnswer::Read(heard) = &answer {
            self.learn_entry(now, &user_id, heard);
        }
        match purpose {
            Purpose::Claim(claim) => {
                self.claim_answered(now, claim, answer);
                self.take_released_frames(came);
            }
            Purpose::Thaw(session) => self.thaw_answered(now, &user_id, session, answer),
            Purpose::Release { expected, next_pause } => {
                let release = Release { user_id, expected, pause: next_pause };
                self.release_answered(now, release, &answer);
            }
            Purpose::Request(id) => self.request_located(id, &user_id, &answer),
            Purpose::Where(key) => self.lane_found(now, key, &user_id, &answer),
            Purpose::Reader => self.reader_found(now, &user_id, &answer),
            // What was not removed is looked at again in a while.
            Purpose::Tidy => {}
        }
        self.hub.close_overfull(now);
    }
}

/// So many parcels of a node wait for the view that it has.
const EARLY_PARCELS: usize = 16 * 1024;
