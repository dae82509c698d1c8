//! The habits of the vendor's SDK, which the connection of a device has not by itself: `docs/rtm.md#the-vendors-sdk`.

use std::collections::BTreeSet;

use rtm_codec::{
    Answer, ChannelId, ClientFrame, Command, Event, RequestId, ServerFrame, Token,
    anyrtc::gateway::{Endpoint, GatewayRequest},
};

/// What a device does as the vendor's SDK does it.
#[derive(Debug)]
pub(crate) struct Habits {
    is_sdk: bool,
    /// The token of the application's last login.
    first_token: Option<Token>,
    /// Whether it asked for stored messages since then.
    has_asked: bool,
    /// The calls of the application that subscribe to users.
    subscribes: BTreeSet<RequestId>,
    /// The channels that it joined over the connection that it has.
    listens: BTreeSet<ChannelId>,
}

impl Habits {
    pub(crate) fn new(is_sdk: bool) -> Self {
        Self { is_sdk, first_token: None, has_asked: false, subscribes: BTreeSet::new(), listens: BTreeSet::new() }
    }

    pub(crate) fn is_sdk(&self) -> bool {
        self.is_sdk
    }

    /// The application logs in.
    pub(crate) fn logs_in(&mut self, token: Option<&Token>) {
        self.first_token = token.cloned();
        self.has_asked = false;
    }

    /// The application makes a call.
    pub(crate) fn calls(&mut self, id: RequestId, command: &Command) {
        if self.is_sdk && matches!(command, Command::SubscribePeersOnlineStatus(_)) {
            self.subscribes.insert(id);
        }
    }

    /// What a request that it never makes is taken to be answered with: nobody asked it to subscribe again.
    pub(crate) fn leaves_out(&mut self, id: RequestId, command: &Command) -> Option<ServerFrame> {
        let is_again =
            self.is_sdk && matches!(command, Command::SubscribePeersOnlineStatus(_)) && !self.subscribes.contains(&id);
        let result = Ok(Answer::SubscribePeersOnlineStatus(()));
        is_again.then_some(ServerFrame::Reply { id, result })
    }

    pub(crate) fn has_socket(&mut self) {
        self.listens.clear();
    }

    pub(crate) fn sends(&mut self, frame: &ClientFrame) {
        if let ClientFrame::Request { command: Command::JoinChannel(join), .. } = frame {
            self.listens.insert(join.channel_id.clone());
        }
    }

    /// Whether nobody listens to a frame.
    pub(crate) fn drops(&self, frame: &ServerFrame) -> bool {
        let ServerFrame::Event { event, .. } = frame else { return false };
        match event {
            Event::ChannelMessage { channel_id, .. }
            | Event::MemberJoined { channel_id, .. }
            | Event::MemberLeft { channel_id, .. }
            | Event::MemberCountUpdated { channel_id, .. }
            | Event::AttributesUpdated { channel_id, .. } => self.is_sdk && !self.listens.contains(channel_id),
            _ => false,
        }
    }

    /// The request that the gateway gets in place of this one; `None` for none.
    pub(crate) fn asks(&mut self, mut request: Box<GatewayRequest>) -> Option<Box<GatewayRequest>> {
        if !self.is_sdk {
            return Some(request);
        }
        match &mut *request {
            GatewayRequest::Connect { token, .. } => token.clone_from(&self.first_token),
            GatewayRequest::OfflineMessages { page, .. } => *page = None,
            _ => {}
        }
        let is_again = request.endpoint() == Endpoint::OfflineMessages && std::mem::replace(&mut self.has_asked, true);
        (!is_again).then_some(request)
    }
}
