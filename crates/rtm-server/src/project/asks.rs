//! What clients, back ends, operators and readers of events ask a project, and what the core answers.

use std::sync::Arc;

#[cfg(any(feature = "rest", feature = "admin"))]
use rtm_codec::anyrtc::rest::{RestAnswer, RestCall};
#[cfg(feature = "rest")]
use rtm_codec::{ChannelId, UserId};
use rtm_codec::{
    ErrorKind, Refusal,
    anyrtc::gateway::{GatewayAnswer, GatewayRequest},
};
#[cfg(feature = "webhooks")]
use rtm_core::store::AcceptedEvents;
#[cfg(any(feature = "admin", feature = "webhooks"))]
use rtm_core::store::EventCursor;
use rtm_core::{AdminAnswer, AdminCall, Core, HttpId};
#[cfg(any(feature = "admin", feature = "webhooks"))]
use rtm_core::{EventAnswer, EventPage, EventQuery};
#[cfg(any(feature = "rest", feature = "admin"))]
use rtm_core::{Now, RestCaller};
#[cfg(any(feature = "admin", feature = "webhooks"))]
use tokio::sync::watch;

use super::{Project, asked::Asked};

/// All who wait for answers of a core.
#[derive(Debug, Default)]
pub(super) struct Askers {
    http: Asked<GatewayAnswer>,
    admin: Asked<AdminAnswer>,
    #[cfg(any(feature = "rest", feature = "admin"))]
    rest: Asked<RestAnswer>,
    #[cfg(any(feature = "admin", feature = "webhooks"))]
    events: Asked<EventAnswer>,
}

impl Askers {
    /// Passes on what the core answers.
    pub(super) fn answer(&mut self, core: &mut Core) {
        self.http.pass_on(|answers| core.take_http_answers(answers));
        self.admin.pass_on(|answers| core.take_admin_answers(answers));
        #[cfg(any(feature = "rest", feature = "admin"))]
        self.rest.pass_on(|answers| core.take_rest_answers(answers));
        #[cfg(any(feature = "admin", feature = "webhooks"))]
        self.events.pass_on(|answers| core.take_event_answers(answers));
    }
}

impl Project {
    /// Answers a request of the vendor's HTTP endpoints; but the addresses are the caller's to add.
    pub(crate) async fn ask(self: &Arc<Self>, request: GatewayRequest) -> (HttpId, Result<GatewayAnswer, Refusal>) {
        let (id, answered) = self.with(|state, now| {
            let id = state.core.ask(now, request);
            (id, state.askers.http.wait_unless_there(id, |answers| state.core.take_http_answers(answers)))
        });
        let answer = match answered {
            Ok(answer) => answer,
            // Nobody answers any more when the server goes down.
            Err(answered) => answered.await.unwrap_or(Ok(GatewayAnswer::TryAgain)),
        };
        (id, answer)
    }

    /// The answer to an HTTP request was written as a whole, or not.
    pub(crate) fn http_answer_ended(self: &Arc<Self>, id: HttpId, is_written: bool) {
        self.with(|state, now| state.core.http_answer_ended(now, id, is_written));
    }

    /// Answers a call of an operator.
    pub(crate) async fn admin(self: &Arc<Self>, call: AdminCall) -> Result<AdminAnswer, Refusal> {
        let answered = self.with(|state, now| {
            let id = state.core.admin(now, call);
            state.askers.admin.wait(id)
        });
        let gone = || Err(Refusal::new(ErrorKind::Failure, "the server goes down: it may be done or not"));
        answered.await.unwrap_or_else(|_| gone())
    }
}

#[cfg(any(feature = "rest", feature = "admin"))]
impl Project {
    /// Answers a call of a back end; `None` when the server goes down.
    pub(crate) async fn rest(
        self: &Arc<Self>,
        caller: &RestCaller,
        call: RestCall,
    ) -> Option<Result<RestAnswer, Refusal>> {
        self.rest_answer(|core, now| core.rest(now, caller, call)).await
    }

    async fn rest_answer(
        self: &Arc<Self>,
        ask: impl FnOnce(&mut Core, Now) -> HttpId,
    ) -> Option<Result<RestAnswer, Refusal>> {
        let answered = self.with(|state, now| {
            let id = ask(&mut state.core, now);
            // Most are answered at once.
            state.askers.rest.wait_unless_there(id, |answers| state.core.take_rest_answers(answers))
        });
        match answered {
            Ok(answer) => Some(answer),
            Err(answered) => answered.await.ok(),
        }
    }
}

#[cfg(feature = "rest")]
impl Project {
    /// Answers a call that [`admit_rest`](Self::admit_rest) has counted.
    pub(crate) async fn rest_admitted(
        self: &Arc<Self>,
        caller: &RestCaller,
        call: RestCall,
    ) -> Option<Result<RestAnswer, Refusal>> {
        self.rest_answer(|core, now| core.rest_admitted(now, caller, call)).await
    }

    /// Whether a back end is who it says.
    pub(crate) fn check_rest_caller(self: &Arc<Self>, caller: &RestCaller) -> Result<(), Refusal> {
        self.with(|state, now| state.core.check_rest_caller(now, caller))
    }

    /// Whether a back end may make this call now, which is counted.
    pub(crate) fn admit_rest(self: &Arc<Self>, caller: &RestCaller, call: &RestCall) -> Result<(), Refusal> {
        self.with(|state, now| state.core.admit_rest(now, caller, call))
    }

    /// Whether a user is in a channel, with a session here that is not away.
    pub(crate) fn is_member(&self, user_id: &UserId, channel_id: &ChannelId) -> bool {
        self.state().core.is_member(user_id, channel_id)
    }

    /// The signature under the handle of a search.
    pub(crate) fn sign_search(&self, handle: &str) -> String {
        self.state().core.sign_search(handle)
    }
}

#[cfg(any(feature = "admin", feature = "webhooks"))]
impl Project {
    /// Reads a part of the log of events; `None` when the server goes down.
    pub(crate) async fn read_events(self: &Arc<Self>, query: EventQuery) -> Option<Result<EventPage, Refusal>> {
        let answered = self.with(|state, _| {
            let id = state.core.read_events(query);
            state.askers.events.wait(id)
        });
        match answered.await.ok()? {
            Ok(EventAnswer::Page(page)) => Some(Ok(page)),
            // No other answer is given to that.
            Ok(_) => None,
            Err(refusal) => Some(Err(refusal)),
        }
    }

    /// Changes when this server has written events.
    pub(crate) fn event_news(&self) -> watch::Receiver<u64> {
        self.event_news.subscribe()
    }

    /// Tells those who wait for events that there are some.
    pub(super) fn tell_event_news(&self, core: &Core) {
        let last = core.event_figures().last;
        if *self.event_news.borrow() != last {
            self.event_news.send_replace(last);
        }
    }

    /// Where a reader of events is, as far as this server knows.
    pub(crate) fn event_cursor(&self, name: &str) -> EventCursor {
        self.state().core.event_cursor(name)
    }

    /// Moves the cursor of a reader of events; `None` when the server goes down.
    pub(crate) async fn move_event_cursor(
        self: &Arc<Self>,
        name: &str,
        from: EventCursor,
        read: u64,
        is_paused: bool,
    ) -> Option<Result<EventAnswer, Refusal>> {
        let answered = self.with(|state, _| {
            let id = state.core.move_event_cursor(name, from, read, is_paused);
            state.askers.events.wait(id)
        });
        answered.await.ok()
    }

    /// What a reader of events has of those behind its cursor; `None` if that is not known.
    #[cfg(feature = "webhooks")]
    pub(crate) async fn accepted_events(self: &Arc<Self>, name: &str) -> Option<AcceptedEvents> {
        let answered = self.with(|state, _| {
            let id = state.core.accepted_events(name);
            state.askers.events.wait(id)
        });
        match answered.await.ok()? {
            Ok(EventAnswer::Accepted(accepted)) => Some(accepted),
            _ => None,
        }
    }

    /// Keeps what a reader of events has of those behind its cursor. Says whether that is done.
    #[cfg(feature = "webhooks")]
    pub(crate) async fn keep_accepted_events(self: &Arc<Self>, name: &str, accepted: AcceptedEvents) -> bool {
        let answered = self.with(|state, _| {
            let id = state.core.keep_accepted_events(name, accepted);
            state.askers.events.wait(id)
        });
        matches!(answered.await, Ok(Ok(EventAnswer::Kept)))
    }
}
