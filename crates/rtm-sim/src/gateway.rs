//! The vendor's HTTP endpoints between devices and the server: requests and answers as the bodies that they are.

use std::time::Duration;

use rtm_codec::{
    Answer, ClientWire, ErrorKind, Event, QueryHistory, Refusal, RequestId, ServerFrame, Text,
    anyrtc::gateway::{Address, Caller, Endpoint, GatewayAnswer, GatewayRequest},
};
use rtm_connection::Credentials;
use rtm_core::HttpId;

use crate::{
    agenda::{Errand, Step},
    device::Socket,
    world::World,
};

impl World {
    /// A device asks which server to connect to.
    pub(crate) fn ask_for_server(&mut self, device: usize, dial: u64, credentials: Credentials) {
        let request = GatewayRequest::Connect {
            app_id: credentials.app_id,
            user_id: Some(credentials.user_id),
            token: credentials.token,
            tls: false,
        };
        self.ask(device, Errand::Dial(dial), request);
    }

    /// A device that has logged in asks for what was stored while its user was away, where the wire wants that.
    pub(crate) fn ask_for_stored(&mut self, device: usize) {
        if let Socket::Open { link, caller: Some(caller), .. } = &self.devices[device].socket {
            let errand = Errand::Offline { link: *link, tries: TRIES };
            let request = GatewayRequest::OfflineMessages { caller: caller.clone() };
            self.ask(device, errand, request);
        }
    }

    pub(crate) fn ask_for_history(
        &mut self,
        device: usize,
        link: usize,
        request: RequestId,
        caller: Caller,
        query: &QueryHistory,
    ) {
        let query = query.clone();
        self.ask(device, Errand::History { link, request }, GatewayRequest::History { caller, query });
    }

    fn ask(&mut self, device: usize, errand: Errand, request: GatewayRequest) {
        let at = self.now + self.rng.between(&self.faults.delay) * 2;
        self.agenda.plan(at, Step::Asked { device, errand, request });
    }

    /// The request is at the server, or lost.
    pub(crate) fn asked(&mut self, device: usize, errand: Errand, request: &GatewayRequest) {
        if self.is_away(device) || !self.server.is_up() || self.rng.chance(self.faults.dial_failures) {
            return self.tell(device, errand, None, HTTP_TIMEOUT);
        }
        let now = self.server_now();
        let Some(core) = &mut self.server.core else { return };
        let asked = match GatewayRequest::decode(request.endpoint(), request.encode().as_bytes()) {
            Ok(asked) => asked,
            Err(refusal) => {
                let what = format!("the gateway does not read the request of a device: {refusal}");
                self.ledger.broke_protocol(self.now, device, &what);
                return;
            }
        };
        let id = core.ask(now, asked);
        self.server.asked.insert(id, (device, errand));
        self.settle_server();
    }

    /// The core has the answer to a request.
    pub(crate) fn answer_http(&mut self, id: HttpId, mut answer: GatewayAnswer) {
        let Some((device, errand)) = self.server.asked.remove(&id) else { return };
        if let GatewayAnswer::Connect { addresses, .. } = &mut answer {
            addresses.push(Address { host: Text::from("127.0.0.1"), port: 1 });
        }
        let is_lost = self.is_away(device) || self.rng.chance(self.faults.dial_failures);
        if matches!(answer, GatewayAnswer::OfflineMessages(_)) {
            self.note(device, || format!("  <= stored messages{}", if is_lost { ", lost" } else { "" }));
        }
        self.tell(device, errand, (!is_lost).then(|| answer.encode()), Duration::ZERO);
        if !is_lost && let Some(core) = &mut self.server.core {
            core.http_answer_taken(id);
        }
    }

    fn tell(&mut self, device: usize, errand: Errand, body: Option<String>, after: Duration) {
        let at = self.now + after + self.rng.between(&self.faults.delay);
        self.agenda.plan(at, Step::Told { device, errand, body });
    }

    /// The answer is at the device.
    pub(crate) fn told(&mut self, device: usize, errand: Errand, body: Option<String>) {
        if self.devices[device].frozen_until > self.now {
            self.put_off(device, |device| Step::Told { device, errand, body });
            return;
        }
        match errand {
            Errand::Dial(dial) => self.told_server(device, dial, body),
            Errand::Offline { link, tries } => self.told_stored(device, link, tries, body),
            Errand::History { link, request } => self.told_history(device, link, request, body),
        }
    }

    fn told_server(&mut self, device: usize, dial: u64, body: Option<String>) {
        let of = &mut self.devices[device];
        let Socket::Dialing { dial: current, caller } = &mut of.socket else { return };
        if *current != dial {
            return;
        }
        match body.map(|body| GatewayAnswer::decode(Endpoint::Gateway, body.as_bytes())) {
            Some(Ok(GatewayAnswer::Connect { session, .. })) => {
                let (app_id, user_id) = (self.project.app_id.clone(), of.user_id.clone());
                *caller = Some(Caller { app_id, user_id, session });
                let at = self.now + self.rng.between(&self.faults.delay) * 2;
                self.agenda.plan(at, Step::DialEnds { device, dial });
            }
            Some(Ok(GatewayAnswer::Refused(kind))) => self.dial_failed(device, kind, false),
            Some(Err(error)) => {
                let what = format!("a device does not read the gateway's answer: {error}");
                self.ledger.broke_protocol(self.now, device, &what);
            }
            Some(Ok(_)) | None => self.dial_failed(device, ErrorKind::GatewayConnectFailed, true),
        }
    }

    fn told_stored(&mut self, device: usize, link: usize, tries: u8, body: Option<String>) {
        let Socket::Open { link: current, caller: Some(caller), wire } = &mut self.devices[device].socket else {
            return self.ledger.handout_lost(self.now, device);
        };
        if *current != link {
            return self.ledger.handout_lost(self.now, device);
        }
        match body.map(|body| GatewayAnswer::decode(Endpoint::OfflineMessages, body.as_bytes())) {
            Some(Ok(GatewayAnswer::OfflineMessages(messages))) => {
                let ClientWire::Vendor(codec) = &mut **wire else { return };
                let frames =
                    messages.into_iter().map(|message| codec.number(Event::MessageFromPeer(message))).collect();
                if !self.devices[device].connection.state().is_logged_in() {
                    self.ledger.handout_lost(self.now, device);
                }
                self.take_frames(device, frames);
                self.drive(device);
            }
            Some(Err(error)) => {
                let what = format!("a device does not read the gateway's answer: {error}");
                self.ledger.broke_protocol(self.now, device, &what);
            }
            Some(Ok(GatewayAnswer::TryAgain)) | None if tries > 1 => {
                let request = GatewayRequest::OfflineMessages { caller: caller.clone() };
                let errand = Errand::Offline { link, tries: tries - 1 };
                self.agenda.plan(self.now + TRY_AGAIN_AFTER, Step::Asked { device, errand, request });
            }
            // They stay in the store until the next login.
            Some(Ok(_)) | None => self.ledger.handout_lost(self.now, device),
        }
    }

    fn told_history(&mut self, device: usize, link: usize, id: RequestId, body: Option<String>) {
        if self.devices[device].link() != Some(link) {
            return;
        }
        let result = match body.map(|body| GatewayAnswer::decode(Endpoint::PeerHistory, body.as_bytes())) {
            Some(Ok(GatewayAnswer::History(page))) => Ok(Answer::QueryHistory(page)),
            Some(Ok(GatewayAnswer::Refused(kind))) => Err(Refusal::from(kind)),
            Some(_) => Err(Refusal::from(ErrorKind::Failure)),
            None => Err(Refusal::from(ErrorKind::GatewayConnectFailed)),
        };
        self.take_frames(device, vec![ServerFrame::Reply { id, result }]);
        self.drive(device);
    }
}

/// How often a device asks for stored messages, and after what pause again.
const TRIES: u8 = 5;
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(2);

/// How long a device waits for an answer.
const HTTP_TIMEOUT: Duration = Duration::from_secs(3);
