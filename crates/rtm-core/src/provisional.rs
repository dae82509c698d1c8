//! Logins that are answered before it is decided what they are. A client object of the vendor's SDK lost its session to
//! another client without hearing of it, and logs in. If the SDK came back by itself, it is to hear of the other login; if
//! its application has logged in, that login is the newer one. Only what follows shows which it is: the SDK asks for stored
//! messages after a login of the application. And `login()` never ends in the SDK where the other login is told before the
//! answer.

use std::{collections::BTreeMap, time::Duration};

use rtm_codec::{
    ClientFrame, CloseReason, Login, PacketRef, Resumption, ServerFrame, UserId, Welcome, anyrtc::gateway::Caller,
    native::ClientCodec,
};

use super::{ConnId, Core, Now, Outgoing, auth::is_same_secret, login::Entrant, timer::Due};

/// The connections whose login is answered, and that have no session.
#[derive(Debug, Default)]
pub(super) struct ProvisionalLogins {
    open: BTreeMap<ConnId, Provisional>,
    /// Frames of connections that have their sessions since.
    released: Vec<(ConnId, ClientFrame)>,
}

#[derive(Debug)]
struct Provisional {
    user_id: UserId,
    /// `None`: the application has logged in, and the login goes its usual way.
    login: Option<Box<Login>>,
    /// What came meanwhile, for the session.
    held: Vec<ClientFrame>,
    held_bytes: usize,
}

impl ProvisionalLogins {
    pub(super) fn has(&self, conn: ConnId) -> bool {
        self.open.contains_key(&conn)
    }

    /// The connection is gone, or has its session: what came meanwhile.
    pub(super) fn take(&mut self, conn: ConnId) -> Vec<ClientFrame> {
        self.open.remove(&conn).map(|provisional| provisional.held).unwrap_or_default()
    }

    fn is_undecided(&self, conn: ConnId) -> bool {
        self.open.get(&conn).is_some_and(|provisional| provisional.login.is_some())
    }

    /// The login of the client that asks for its stored messages.
    fn decide(&mut self, caller: &Caller) -> Option<(ConnId, Box<Login>)> {
        self.open.iter_mut().filter(|(_, provisional)| provisional.user_id == caller.user_id).find_map(
            |(conn, provisional)| {
                let is_callers = |login: &mut Box<Login>| {
                    login.gateway_session.as_deref().is_some_and(|session| is_same_secret(session, &caller.session))
                };
                provisional.login.take_if(is_callers).map(|login| (*conn, login))
            },
        )
    }
}

impl Provisional {
    /// Keeps a call for the session, if there is room for it.
    fn hold(&mut self, frame: ClientFrame) -> bool {
        self.held_bytes = self.held_bytes.saturating_add(bytes(&frame));
        let has_room = self.held.len() < HELD && self.held_bytes <= HELD_BYTES;
        if has_room {
            self.held.push(frame);
        }
        has_room
    }
}

/// How long a call is, as the native wire has it.
fn bytes(frame: &ClientFrame) -> usize {
    let (mut codec, mut bytes) = (ClientCodec::new(), 0);
    codec.encode(frame);
    codec.drain(|packet| {
        bytes += match packet {
            PacketRef::Binary(packet) => packet.len(),
            PacketRef::Text(packet) => packet.len(),
        }
    });
    // What the codec refuses is longer than a packet may be.
    if codec.take_frame().is_some() { usize::MAX } else { bytes }
}

impl Core {
    /// Tells a client that its user has logged in elsewhere.
    pub(super) fn tell_ousted(&mut self, now: Now, entrant: Entrant) {
        let Entrant { conn, user_id, login, .. } = entrant;
        let is_told_later = login.abilities.repeats_attributes && !self.provisional.has(conn);
        if !is_told_later || self.provisional.open.len() >= MOST {
            return self.hub.close(now, conn, Outgoing::Close(CloseReason::RemoteLogin));
        }
        let welcome = Welcome {
            user_id: user_id.clone(),
            ticket: None,
            resumption: Resumption::New,
            token_expires_in_ms: None,
            server_time_ms: now.unix_ms,
            limits: None,
        };
        self.hub.send(conn, ServerFrame::Welcome(Box::new(welcome)));
        self.provisional
            .open
            .insert(conn, Provisional { user_id, login: Some(Box::new(login)), held: Vec::new(), held_bytes: 0 });
        self.hub.timers.push(now.instant + DECIDED_WITHIN, Due::Login(conn));
    }

    /// A frame of a client whose login is answered and that has no session yet.
    pub(super) fn hold_frame(&mut self, now: Now, conn: ConnId, frame: ClientFrame) {
        match frame {
            ClientFrame::Ping => self.hub.send(conn, ServerFrame::Pong),
            ClientFrame::Logout => {
                drop(self.provisional.take(conn));
                self.hub.close(now, conn, Outgoing::Close(CloseReason::Logout));
            }
            ClientFrame::Request { .. } | ClientFrame::BadRequest { .. } => {
                let provisional = self.provisional.open.get_mut(&conn);
                if !provisional.is_some_and(|provisional| provisional.hold(frame)) {
                    self.hub.close(now, conn, Outgoing::Close(CloseReason::RemoteLogin));
                }
            }
            ClientFrame::Login(_) => self.hub.close(now, conn, Outgoing::Close(CloseReason::ProtocolError)),
            // Nothing was sent to it that these could be about.
            _ => {}
        }
    }

    /// A client asks for its stored messages. If its login is provisional, it is one of the application: it puts an end to the
    /// session of the other client. Says whether that is still to be decided.
    pub(super) fn log_in_after_all(&mut self, now: Now, caller: &Caller) -> bool {
        let Some((conn, login)) = self.provisional.decide(caller) else { return false };
        self.login(now, conn, login);
        self.provisional.has(conn)
    }

    /// The client did not ask in time: it came back by itself.
    pub(super) fn provisional_due(&mut self, now: Now, conn: ConnId) {
        if self.provisional.is_undecided(conn) {
            // Whoever asks for stored messages after that comes too late.
            drop(self.provisional.take(conn));
            self.hub.close(now, conn, Outgoing::Close(CloseReason::RemoteLogin));
        }
    }

    /// A session has its connection, which may have asked for something before: that comes next.
    #[inline(never)]
    pub(super) fn release_held_frames(&mut self, conn: ConnId) {
        let held = self.provisional.take(conn);
        self.provisional.released.extend(held.into_iter().map(|frame| (conn, frame)));
    }

    /// Takes what was held as if it came now: at the end of each input by which a login may be let in.
    pub(super) fn take_released_frames(&mut self, now: Now) {
        for (conn, frame) in std::mem::take(&mut self.provisional.released) {
            self.handle_frame(now, conn, frame);
        }
    }
}

/// The SDK asks for stored messages as soon as its login is answered. It may need a new connection for that.
const DECIDED_WITHIN: Duration = Duration::from_secs(2);
/// How many connections may be undecided.
const MOST: usize = 1024;
/// What one may ask for meanwhile: an SDK joins its channels, of which it may have 20.
const HELD: usize = 64;
/// How much of it: as much as two of the longest messages, with what goes with them.
const HELD_BYTES: usize = 68 * 1024;
