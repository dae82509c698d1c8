//! The vendor's HTTP endpoints between devices and the server: requests and answers as the bodies that they are.

use rtm_codec::{
    Text,
    anyrtc::gateway::{Address, Endpoint, GatewayAnswer, GatewayRequest, StoredPage},
};
use rtm_connection::{AskId, ConnectionState, TransportError};
use rtm_core::HttpId;

use super::World;
use crate::agenda::{Ask, Step};
impl World {
    /// A device's connection makes a request.
    pub(crate) fn ask(&mut self, device: usize, id: AskId, request: Box<GatewayRequest>) {
        let asking = &mut self.devices[device];
        asking.asks.insert(id);
        let Some(request) = asking.habits.asks(request) else {
            let ask = Ask { device, id, endpoint: Endpoint::OfflineMessages };
            return self.tell(ask, Some(GatewayAnswer::OfflineMessages(StoredPage::default()).encode()));
        };
        let at = self.now + self.rng.between(&self.faults.delay) * 2;
        let server = self.asked_server(device, &request);
        self.agenda.plan(at, Step::Asked { device, server, id, request });
    }

    /// The server that a request reaches. What belongs to a session reaches the one that has it.
    fn asked_server(&mut self, device: usize, request: &GatewayRequest) -> usize {
        match self.devices[device].link() {
            Some(link) if !matches!(request, GatewayRequest::Connect { .. }) => self.links[link].server,
            _ => self.some_server(),
        }
    }

    /// The request is at a server, or lost.
    pub(crate) fn asked(&mut self, device: usize, server: usize, id: AskId, request: &GatewayRequest) {
        let ask = Ask { device, id, endpoint: request.endpoint() };
        if self.is_away(device) || !self.servers[server].is_up() || self.rng.chance(self.faults.dial_failures) {
            // The device learns of it, or waits for an answer that never comes.
            if self.rng.chance(500) {
                self.tell(ask, None);
            } else {
                self.ledger.gateway_silent(self.now, device);
            }
            return;
        }
        let now = self.server_now();
        let Some(core) = &mut self.servers[server].core else { return };
        let asked = match GatewayRequest::decode(request.endpoint(), request.encode().as_bytes()) {
            Ok(asked) => asked,
            Err(refusal) => {
                let what = format!("the gateway does not read the request of a device: {refusal}");
                self.ledger.broke_protocol(self.now, device, &what);
                return;
            }
        };
        let id = core.ask(now, asked);
        self.servers[server].asked.insert(id, ask);
        self.settle_server(server);
    }

    /// The core has the answer to a request.
    pub(crate) fn answer_http(&mut self, server: usize, id: HttpId, mut answer: GatewayAnswer) {
        let Some(ask) = self.servers[server].asked.remove(&id) else { return };
        let device = ask.device;
        if let GatewayAnswer::Connect { addresses, .. } = &mut answer {
            // Two names of the one server, so that a device tries the second where the first fails.
            addresses.extend([1, 2].map(|port| Address { host: Text::from("127.0.0.1"), port }));
        }
        let is_lost = self.is_away(device) || self.rng.chance(self.faults.dial_failures);
        if matches!(answer, GatewayAnswer::OfflineMessages(_)) {
            self.note(device, || format!("  <= stored messages{}", if is_lost { ", lost" } else { "" }));
        }
        // A proxy in between may have taken an answer that then is lost.
        let is_written = !is_lost || self.rng.chance(500);
        if is_lost && is_written && self.devices[device].habits.is_sdk() {
            // Its next signs of life look as if it had the answer.
            self.ledger.handout_lost(self.now, device);
        }
        let now = self.server_now();
        self.tell(ask, (!is_lost).then(|| answer.encode()));
        if let Some(core) = &mut self.servers[server].core {
            core.http_answer_ended(now, id, is_written);
        }
    }

    fn tell(&mut self, ask: Ask, body: Option<String>) {
        let at = self.now + self.rng.between(&self.faults.delay);
        self.agenda.plan(at, Step::Told { ask, body });
    }

    /// The answer is at the device, if the exchange did not break.
    pub(crate) fn told(&mut self, ask: Ask, body: Option<String>) {
        let Ask { device, id, endpoint } = ask;
        if self.devices[device].frozen_until > self.now {
            self.put_off(device, |_| Step::Told { ask, body });
            return;
        }
        if !self.devices[device].asks.remove(&id) {
            // The device has given this request up. Where it stays connected, its next signs of life look as if it had the answer.
            let is_connected = self.devices[device].connection.state() == ConnectionState::Connected;
            if endpoint == Endpoint::OfflineMessages && body.is_some() && is_connected {
                self.ledger.handout_lost(self.now, device);
            }
            return;
        }
        let answer = match body.map(|body| GatewayAnswer::decode(endpoint, body.as_bytes())) {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(error)) => {
                let what = format!("a device does not read the gateway's answer: {error}");
                self.ledger.broke_protocol(self.now, device, &what);
                return;
            }
            None => Err(TransportError { retry: true, detail: Text::from("the exchange broke"), source: None }),
        };
        let now = self.instant();
        self.devices[device].connection.handle_asked(now, id, answer);
        self.drive(device);
    }
}
