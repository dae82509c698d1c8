//! What is to happen when: the one queue that the whole world runs off.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
    time::Duration,
};

use rtm_codec::anyrtc::gateway::{Endpoint, GatewayRequest};
use rtm_connection::AskId;

use crate::{
    cluster::NodeStep,
    faults::Mishap,
    net::{Direction, SimulatedLink},
};

/// One thing that happens. Devices, links and servers are named by their places in the world's lists.
#[derive(Debug)]
pub(crate) enum Step {
    /// The timer that a device's connection asked for.
    DeviceTimer { device: usize },
    /// A timer of a device's application.
    AppTimer { device: usize, tag: u64 },
    /// A device's application looks at its events.
    AppReads { device: usize },
    /// A device's dial comes to its end.
    DialEnds { device: usize, dial: u64 },
    /// A device's request reaches the gateway.
    Asked { device: usize, server: usize, id: AskId, request: Box<GatewayRequest> },
    /// The gateway's answer reaches the device; `None` when the exchange broke.
    Told { ask: Ask, body: Option<String> },
    /// Bytes come out of a link.
    Arrive { link: usize, direction: Direction },
    /// The receiving end of this direction learns that the link is broken.
    Broken { link: usize, direction: Direction },
    /// The task of a server's socket writes what waits.
    ServerWrites { link: usize },
    /// The server looks whether a socket still takes nothing.
    ServerGivesUp { link: usize },
    /// The timer that a server's core asked for.
    ServerTimer { server: usize, run: u64 },
    /// The store has done what it was at.
    StoreDone { server: usize, run: u64 },
    /// A server that shuts down closes one of its connections.
    DrainCloses { server: usize, run: u64, link: usize },
    /// A server that shut down ends.
    ServerEnds { server: usize, run: u64 },
    /// A server starts again.
    ServerStarts { server: usize },
    /// A server that stood still goes on.
    ServerGoesOn { server: usize, run: u64 },
    /// Something goes wrong.
    Mishap(Mishap),
    /// Sessions move.
    Move,
    /// Something happens between servers.
    Node { server: usize, step: Box<NodeStep> },
    /// Something goes wrong between servers.
    NodeMishap,
    /// The cluster is looked over.
    Look,
}

impl Step {
    /// Which server's process does it, if one does.
    pub(crate) fn server(&self, links: &[SimulatedLink]) -> Option<usize> {
        match self {
            Self::Asked { server, .. }
            | Self::ServerTimer { server, .. }
            | Self::StoreDone { server, .. }
            | Self::DrainCloses { server, .. }
            | Self::ServerEnds { server, .. } => Some(*server),
            Self::Arrive { link, direction: Direction::Up }
            | Self::Broken { link, direction: Direction::Up }
            | Self::ServerWrites { link }
            | Self::ServerGivesUp { link } => Some(links[*link].server),
            Self::Node { server, step } => step.is_of_process().then_some(*server),
            Self::DeviceTimer { .. }
            | Self::AppTimer { .. }
            | Self::AppReads { .. }
            | Self::DialEnds { .. }
            | Self::Told { .. }
            | Self::Arrive { .. }
            | Self::Broken { .. }
            | Self::ServerStarts { .. }
            | Self::ServerGoesOn { .. }
            | Self::Mishap(_)
            | Self::Move
            | Self::NodeMishap
            | Self::Look => None,
        }
    }
}

/// A request that a device waits for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask {
    pub(crate) device: usize,
    pub(crate) id: AskId,
    pub(crate) endpoint: Endpoint,
}

#[derive(Debug)]
struct Entry<S> {
    at: Duration,
    order: u64,
    step: S,
}

/// The steps to come, in the order of their time, and of their planning where that is the same.
#[derive(Debug)]
pub(crate) struct Agenda<S = Step> {
    entries: BinaryHeap<Reverse<Entry<S>>>,
    planned: u64,
}

impl<S> Default for Agenda<S> {
    fn default() -> Self {
        Self { entries: BinaryHeap::new(), planned: 0 }
    }
}

impl<S> Agenda<S> {
    pub(crate) fn plan(&mut self, at: Duration, step: S) {
        self.planned += 1;
        self.entries.push(Reverse(Entry { at, order: self.planned, step }));
    }

    /// The next step, if it is not after `until`.
    pub(crate) fn next(&mut self, until: Duration) -> Option<(Duration, S)> {
        if self.entries.peek()?.0.at > until {
            return None;
        }
        self.entries.pop().map(|Reverse(entry)| (entry.at, entry.step))
    }
}

impl<S> PartialEq for Entry<S> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<S> Eq for Entry<S> {}

impl<S> PartialOrd for Entry<S> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<S> Ord for Entry<S> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}
