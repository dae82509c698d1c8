//! A device: the connection machine of a client with its half of the wire, and an application that reads its events.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use rtm_codec::{ClientWire, ServerFrame, UserId, Wire};
use rtm_connection::{AskId, Connection, RtmEvent};

use crate::{
    app::{App, Input},
    figures::DeviceConfig,
    habits::Habits,
};

/// A device of a user.
pub(crate) struct Device {
    pub(crate) user_id: UserId,
    pub(crate) wire: Wire,
    pub(crate) connection: Connection,
    pub(crate) habits: Habits,
    pub(crate) app: Option<Box<dyn App>>,
    pub(crate) socket: Socket,
    /// What it waits for from the gateway.
    pub(crate) asks: BTreeSet<AskId>,
    pub(crate) dials: u64,
    pub(crate) timer: Option<Duration>,
    /// How late the timer came last.
    pub(crate) late_by: Duration,
    /// What the application has yet to read.
    pub(crate) events: VecDeque<RtmEvent>,
    pub(crate) will_read: bool,
    pub(crate) reads_within: Duration,
    pub(crate) reads_at_once: usize,
    pub(crate) inputs: VecDeque<Input>,
    /// What the codec answers by itself.
    pub(crate) own_frames: VecDeque<ServerFrame>,
    /// Whether bytes wait because the application does not read.
    pub(crate) holds_back: bool,
    /// Until when the process stands still.
    pub(crate) frozen_until: Duration,
    /// From when on the application reads again.
    pub(crate) reads_from: Duration,
    /// Until when the network is out of reach.
    pub(crate) away_until: Duration,
}

/// A device's socket.
#[derive(Debug)]
pub(crate) enum Socket {
    None,
    /// A server is being called.
    Dialing {
        dial: u64,
        server: usize,
    },
    Open {
        link: usize,
        wire: Box<ClientWire>,
    },
}

impl Device {
    /// A device that is switched off. `seed` feeds its connection.
    pub(crate) fn new(user_id: UserId, config: DeviceConfig, seed: u64, app: Box<dyn App>) -> Self {
        Self {
            user_id,
            wire: config.wire,
            connection: Connection::new(config.connection, seed),
            habits: Habits::new(config.has_sdk_habits),
            app: Some(app),
            socket: Socket::None,
            asks: BTreeSet::new(),
            dials: 0,
            timer: None,
            late_by: Duration::ZERO,
            events: VecDeque::new(),
            will_read: false,
            reads_within: config.reads_within,
            reads_at_once: config.reads_at_once.max(1),
            inputs: VecDeque::new(),
            own_frames: VecDeque::new(),
            holds_back: false,
            frozen_until: Duration::ZERO,
            reads_from: Duration::ZERO,
            away_until: Duration::ZERO,
        }
    }

    /// The application reads everything as soon as it is there.
    pub(crate) fn read_at_once(&mut self) {
        self.reads_within = Duration::from_millis(1);
        self.reads_at_once = usize::MAX;
    }

    /// The link that it has.
    pub(crate) fn link(&self) -> Option<usize> {
        match self.socket {
            Socket::Open { link, .. } => Some(link),
            _ => None,
        }
    }
}
