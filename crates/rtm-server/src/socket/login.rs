//! What a client says before its login, and how the login gets to its project.

use std::time::Instant;

use rtm_codec::{ClientFrame, CloseReason, ErrorKind, Login, Refusal, RequestId, ServerFrame};

use super::{CODE_REFUSED, Handed, Phase, Socket};
use crate::{scratch::Scratch, websocket::MESSAGE_BYTES};

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
                self.remote.admitted.login_refused(Instant::now());
                return self.refuse_login(refusal, scratch);
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
        let now = Instant::now();
        let refusal = match self.shared.project(&login.app_id) {
            _ if !self.remote.admitted.may_login(now) => {
                Refusal::new(ErrorKind::TooOften, "too many logins from this address were refused")
            }
            None => {
                self.remote.admitted.login_refused(now);
                ErrorKind::InvalidAppId.into()
            }
            Some(project) => {
                let conn = project.connect(login);
                // There is the answer to take.
                self.more = true;
                self.phase = Phase::Handed(Handed { project, conn });
                self.timer = None;
                self.websocket.set_max_message(MESSAGE_BYTES);
                return;
            }
        };
        self.refuse_login(refusal, scratch);
    }

    fn refuse_login(&mut self, refusal: Refusal, scratch: &mut Scratch) {
        let detail = refusal.to_string();
        self.wire.encode(&ServerFrame::Refused(refusal));
        // The sentence is there for whoever cannot read the frame, for its version or else.
        self.hang_up(CODE_REFUSED, &detail, scratch);
    }
}

/// Frames other than a login that are answered before it.
const FRAMES_BEFORE_LOGIN: usize = 16;
