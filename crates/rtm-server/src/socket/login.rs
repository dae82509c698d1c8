//! What a client says before its login, and how the login gets to its project.

use std::{
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::Instant,
};

use rtm_codec::{ClientFrame, CloseReason, ErrorKind, Login, Refusal, RequestId, ServerFrame, UserId};
use tracing::debug;

use super::{Handed, Judged, MESSAGE_BYTES, Phase, Socket, Visitor, ending::CODE_REFUSED};
use crate::{
    clock::instant,
    gate::{Decision, Gate, denied},
    peers::{CONNECTIONS, End},
    project::Project,
    refusals::{login_refused, too_many_refused},
    scratch::Scratch,
};

impl Socket {
    /// A frame that comes before the login, or the login itself.
    pub(super) fn before_login(&mut self, frame: ClientFrame, scratch: &mut Scratch) {
        let not_logged_in = |id: RequestId| {
            let refusal = Refusal::new(ErrorKind::NotLoggedIn, "log in first");
            ServerFrame::Reply { id, result: Err(refusal) }
        };
        let answer = match frame {
            ClientFrame::Login(login) => return self.log_in(login, scratch),
            // A login whose fields break the rules.
            ClientFrame::BadRequest { id: RequestId(0), refusal } => {
                return self.refuse_login(None, None, refusal, scratch);
            }
            ClientFrame::Logout => return self.close(CloseReason::Logout, None, scratch),
            ClientFrame::Request { id, .. } | ClientFrame::BadRequest { id, .. } => Some(not_logged_in(id)),
            ClientFrame::Ping => Some(ServerFrame::Pong),
            // And whatever else is added to the protocol: it cannot mean anything before a login.
            _ => None,
        };
        if let Some(answer) = answer {
            self.wire.encode(&answer);
            self.pack(scratch);
        }
        if let Phase::LoggingIn { refused, .. } = &mut self.phase {
            *refused += 1;
            if *refused > FRAMES_BEFORE_LOGIN {
                self.close(CloseReason::ProtocolError, Some("the first frame has to be a login"), scratch);
            }
        }
    }

    fn log_in(&mut self, login: Box<Login>, scratch: &mut Scratch) {
        if !self.shared.is_serving() {
            self.shared.found_draining.fetch_add(1, Ordering::Relaxed);
            if self.shared.draining.has_begun() {
                return self.close(CloseReason::Draining, None, scratch);
            }
            return self.not_yet(JOINING, scratch);
        }
        let project = self.shared.project(&login.app_id, login.user_id.as_ref());
        if self.shared.memory.refuses() {
            return self.not_yet(SHORT_OF_MEMORY, scratch);
        }
        if project.as_ref().is_some_and(|project| !project.is_open()) {
            return self.not_yet(OPENING, scratch);
        }
        let refusal = if !self.guest.admitted.may_login(instant()) {
            too_many_refused()
        } else if let Some(project) = &project {
            let live = self.shared.live();
            let judge = live.judges.get(&login.app_id).filter(|judge| judge.judges_logins());
            match judge {
                None => return self.hand_over(project, login, instant()),
                // Nobody is asked about those who have no good token.
                Some(judge) => match project.check_login(&login) {
                    Ok(()) => {
                        let address = self.guest.remote.address.map(|address| address.ip());
                        let verdict = judge.judge_login(login.user_id.as_ref(), address);
                        let traffic = self.traffic().map(|traffic| *traffic).unwrap_or_default();
                        self.phase = Phase::Judged(Box::new(Judged { login, verdict, since: instant(), traffic }));
                        return;
                    }
                    Err(refusal) => refusal,
                },
            }
        } else {
            ErrorKind::InvalidAppId.into()
        };
        self.refuse_login(project.as_deref(), Some(&login), refusal, scratch);
    }

    /// Sends a client away whose login cannot be taken yet. It comes back as after [`CloseReason::Draining`]. A frame would say
    /// only that, and the client would not read on to the text.
    fn not_yet(&mut self, why: &str, scratch: &mut Scratch) {
        let reason = CloseReason::Draining;
        self.ends(End::Closed(reason));
        self.ends_unknown(End::Closed(reason));
        self.hang_up(reason.websocket_code(), why, scratch);
    }

    /// Goes on with a login about which somebody outside has decided.
    pub(super) fn look_at_verdict(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) {
        let Phase::Judged(judged) = &mut self.phase else { return };
        let Poll::Ready(decision) = judged.verdict.as_mut().poll(cx) else { return };
        let (login, since) = (judged.login.clone(), judged.since);
        let project = self.shared.project(&login.app_id, login.user_id.as_ref());
        match (project, decision) {
            (Some(project), Decision::Allow | Decision::Text(_)) => self.hand_over(&project, login, since),
            (project, Decision::Deny(reason)) => {
                self.refuse_login(project.as_deref(), Some(&login), denied(ErrorKind::NotAuthorized, &reason), scratch);
            }
            // Whoever is to decide is away, and the client has guessed nothing.
            (Some(_), Decision::Undecided(reason)) => {
                self.refuse(denied(ErrorKind::NotAuthorized, &reason), scratch);
            }
            (None, _) => self.refuse_login(None, Some(&login), ErrorKind::InvalidAppId.into(), scratch),
        }
    }

    /// Gives a login to its project, whose core decides.
    fn hand_over(&mut self, project: &Arc<Project>, login: Box<Login>, since: Instant) {
        let address = self.guest.remote.address;
        let ip = address.map(|address| address.ip());
        self.reloads = self.shared.reloads();
        let judge = self.shared.live().judges.get(&login.app_id).cloned();
        self.gate = judge.map(|judge| Box::new(Gate::new(judge, login.user_id.clone(), ip)));
        let visitor = Some(Box::new(Visitor { user: login.user_id.clone(), since }));
        let (wire, traffic) = (self.wire.wire(), self.traffic().map(|traffic| *traffic).unwrap_or_default());
        let conn = project.connect(login, address, wire);
        // There is the answer to take.
        self.more = true;
        self.phase =
            Phase::Handed(Handed { project: Arc::clone(project), conn, visitor, wire, end: End::Gone, traffic });
        self.timer = None;
        self.websocket.set_max_message(MESSAGE_BYTES);
    }

    /// Goes by the hooks that a reload has given the project, if there was one.
    #[inline]
    pub(super) fn look_at_hooks(&mut self) {
        let reloads = self.shared.reloads();
        if self.reloads != reloads {
            self.take_hooks(reloads);
        }
    }

    #[cold]
    fn take_hooks(&mut self, reloads: u32) {
        let Phase::Handed(Handed { project, conn, visitor, .. }) = &self.phase else { return };
        self.reloads = reloads;
        let judge = self.shared.live().judges.get(project.app_id()).cloned();
        match (&mut self.gate, judge) {
            (Some(gate), judge) => {
                if !gate.set_judge(judge) {
                    self.gate = None;
                }
            }
            (none, Some(judge)) => {
                let user_id = match visitor {
                    Some(visitor) => visitor.user.clone(),
                    None => project.user_of(*conn),
                };
                let ip = self.guest.remote.address.map(|address| address.ip());
                *none = Some(Box::new(Gate::new(judge, user_id, ip)));
            }
            (None, None) => {}
        }
    }

    /// Refuses a login that no core has seen.
    fn refuse_login(
        &mut self,
        project: Option<&Project>,
        login: Option<&Login>,
        refusal: Refusal,
        scratch: &mut Scratch,
    ) {
        let user_id = login.and_then(|login| login.user_id.as_ref()).map(UserId::as_str);
        login_refused(&self.shared, &self.guest, project, user_id, &refusal);
        self.refuse(refusal, scratch);
    }

    fn refuse(&mut self, refusal: Refusal, scratch: &mut Scratch) {
        self.ends_unknown(End::Refused);
        let reason = refusal.to_string();
        self.wire.encode(&ServerFrame::Refused(refusal));
        // The sentence is there for whoever cannot read the frame, for its version or else.
        self.hang_up(CODE_REFUSED, &reason, scratch);
    }

    /// The core has answered the login.
    pub(super) fn login_answered(&mut self, answer: &ServerFrame) {
        let Phase::Handed(handed) = &mut self.phase else { return };
        if let (Some(gate), ServerFrame::Welcome(welcome)) = (&mut self.gate, answer) {
            gate.set_user(&welcome.user_id);
        }
        let Some(mut visitor) = handed.visitor.take() else { return };
        if let ServerFrame::Welcome(welcome) = answer {
            debug!(
                target: CONNECTIONS,
                remote = %self.guest.remote,
                app_id = handed.project.app_id().as_str(),
                user = welcome.user_id.as_str(),
                wire = %handed.wire,
                resumption = ?welcome.resumption,
                "a user has logged in"
            );
        }
        #[cfg(feature = "admin")]
        {
            let welcomed = if let ServerFrame::Welcome(welcome) = answer { Some(&welcome.user_id) } else { None };
            let took = instant().saturating_duration_since(visitor.since);
            handed.project.login_answered(handed.conn, handed.wire, took, welcomed);
        }
        match answer {
            ServerFrame::Refused(refusal) => {
                let user_id = visitor.user.as_ref().map(UserId::as_str);
                login_refused(&self.shared, &self.guest, Some(&handed.project), user_id, refusal);
            }
            // Without a ticket it has no session: this login is answered, and may yet be refused.
            ServerFrame::Welcome(welcome) if welcome.ticket.is_none() => {
                visitor.user = Some(welcome.user_id.clone());
                handed.visitor = Some(visitor);
            }
            _ => {}
        }
    }
}

/// What a client is told that comes before the server is a member of its cluster.
const JOINING: &str = "the server is joining its cluster: come back in a moment";

/// What a client is told for which there is no memory.
const SHORT_OF_MEMORY: &str = "the server has as much memory as it may have (max_memory): come back later";

/// What a client is told whose project other nodes do not serve yet.
const OPENING: &str = "the project is not served yet: not all nodes of the cluster have it";

/// Frames other than a login that are answered before it.
const FRAMES_BEFORE_LOGIN: usize = 16;
