//! Who is on the other side of a project's connections, and who was: for those who run the server.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rtm_codec::{CallName, CloseReason, UserId, Wire};
use rtm_core::{ConnId, Latencies};

/// The peers of a project's connections, by the slots of those.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    open: Vec<Option<Peer>>,
    by_wire: [usize; 2],
    /// The last that have ended, oldest first.
    closed: VecDeque<ClosedPeer>,
    by_end: [[u64; End::ALL.len()]; 2],
    lasted: [Lasted; 2],
    /// How long logins took.
    logins: [Latencies; 2],
    carried: [Carried; 2],
    /// Calls that came in.
    calls: [[u64; CallName::ALL.len()]; 2],
}

/// What went through a socket since that was last said. So little comes between that no number overflows.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Traffic {
    /// Bytes.
    pub(crate) read: u32,
    pub(crate) written: u32,
    /// WebSocket messages.
    pub(crate) packets_read: u32,
    pub(crate) packets_written: u32,
    /// How often the socket was written to.
    pub(crate) writes: u32,
    pub(crate) events: u32,
}

/// What the connections of a wire have carried. Of two numbers the first came in, and the second went out.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Carried {
    pub(crate) bytes: [u64; 2],
    pub(crate) packets: [u64; 2],
    pub(crate) writes: u64,
    pub(crate) events: u64,
}

/// How long connections lasted, in seconds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Lasted {
    /// How many lasted no longer than each bound, and longer than the one before; the last have no bound.
    pub(crate) counts: [u64; Self::BOUNDS.len() + 1],
    pub(crate) sum: f64,
}

impl Carried {
    pub(crate) fn merge(&mut self, other: &Self) {
        for place in 0..2 {
            self.bytes[place] += other.bytes[place];
            self.packets[place] += other.packets[place];
        }
        self.writes += other.writes;
        self.events += other.events;
    }
}

impl Lasted {
    /// Where proxies and people cut connections.
    pub(crate) const BOUNDS: [f64; 7] = [1.0, 10.0, 30.0, 60.0, 300.0, 3600.0, 86_400.0];

    fn add(&mut self, time: Duration) {
        let seconds = time.as_secs_f64();
        let place = Self::BOUNDS.iter().take_while(|bound| seconds > **bound).count();
        self.counts[place] += 1;
        self.sum += seconds;
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.counts.iter_mut().zip(other.counts).for_each(|(count, more)| *count += more);
        self.sum += other.sum;
    }
}

/// The other side of an open connection.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) address: Option<SocketAddr>,
    pub(crate) wire: Wire,
    pub(crate) since: SystemTime,
    /// Who it is, once it is logged in.
    pub(crate) user_id: Option<UserId>,
}

/// The other side of a connection that has ended.
#[derive(Debug, Clone)]
pub(crate) struct ClosedPeer {
    /// Its place among all that have ended in this process: higher than those before, also before a restart.
    pub(crate) number: u64,
    pub(crate) peer: Peer,
    pub(crate) at: SystemTime,
    pub(crate) end: End,
}

/// Where the log has logins, logouts and the ends of connections.
pub(crate) const CONNECTIONS: &str = "rtm_server::connections";

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum End {
    /// The server closed it.
    Closed(CloseReason),
    /// The client closed it, or its socket was lost.
    Gone,
    /// The login was refused.
    Refused,
    /// An operator ended its session.
    Kicked,
}

impl End {
    pub(crate) const ALL: [Self; CloseReason::ALL.len() + 3] = {
        let mut all = [Self::Gone; CloseReason::ALL.len() + 3];
        let mut at = 0;
        while at < CloseReason::ALL.len() {
            all[at] = Self::Closed(CloseReason::ALL[at]);
            at += 1;
        }
        all[at] = Self::Refused;
        all[at + 1] = Self::Kicked;
        all
    };

    /// Its name, in small letters.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Refused => "refused",
            Self::Kicked => "kicked",
            Self::Closed(reason) => reason.name(),
        }
    }
}

impl Peers {
    pub(crate) fn connected(&mut self, conn: ConnId, address: Option<SocketAddr>, wire: Wire) {
        if self.open.len() <= conn.slot() {
            self.open.resize(conn.slot() + 1, None);
        }
        self.by_wire[place(wire)] += 1;
        self.open[conn.slot()] = Some(Peer { address, wire, since: SystemTime::now(), user_id: None });
    }

    pub(crate) fn logged_in(&mut self, conn: ConnId, user_id: UserId) {
        if let Some(peer) = self.open.get_mut(conn.slot()).and_then(Option::as_mut) {
            peer.user_id = Some(user_id);
        }
    }

    pub(crate) fn disconnected(&mut self, conn: ConnId, end: End) {
        let Some(peer) = self.open.get_mut(conn.slot()).and_then(Option::take) else { return };
        let at = SystemTime::now();
        self.by_wire[place(peer.wire)] -= 1;
        if let Some(end) = End::ALL.iter().position(|known| *known == end) {
            self.by_end[place(peer.wire)][end] += 1;
        }
        self.lasted[place(peer.wire)].add(at.duration_since(peer.since).unwrap_or(Duration::ZERO));
        if self.closed.len() >= CLOSED {
            self.closed.pop_front();
        }
        self.closed.push_back(ClosedPeer { number: next_number(at), peer, at, end });
    }

    /// A login was answered after this time.
    pub(crate) fn login_took(&mut self, wire: Wire, time: Duration) {
        self.logins[place(wire)].add(time);
    }

    /// How long logins took until they were answered.
    pub(crate) fn logins(&self) -> [(Wire, Latencies); 2] {
        WIRES.map(|wire| (wire, self.logins[place(wire)]))
    }

    /// A call has come in.
    #[inline]
    pub(crate) fn called(&mut self, wire: Wire, call: CallName) {
        self.calls[place(wire)][call as usize] += 1;
    }

    /// The calls that came in.
    pub(crate) fn calls(&self) -> impl Iterator<Item = (Wire, CallName, u64)> {
        WIRES.into_iter().zip(self.calls).flat_map(|(wire, counts)| {
            CallName::ALL.iter().copied().zip(counts).map(move |(call, count)| (wire, call, count))
        })
    }

    /// So much went through a socket.
    pub(crate) fn went_through(&mut self, wire: Wire, traffic: Traffic) {
        let Traffic { read, written, packets_read, packets_written, writes, events } = traffic;
        self.carried[place(wire)].merge(&Carried {
            bytes: [read.into(), written.into()],
            packets: [packets_read.into(), packets_written.into()],
            writes: writes.into(),
            events: events.into(),
        });
    }

    /// What went through the connections of each wire.
    pub(crate) fn carried(&self) -> [(Wire, Carried); 2] {
        WIRES.map(|wire| (wire, self.carried[place(wire)]))
    }

    pub(crate) fn get(&self, conn: ConnId) -> Option<&Peer> {
        self.open.get(conn.slot())?.as_ref()
    }

    /// Open connections on each wire.
    pub(crate) fn by_wire(&self) -> [(Wire, usize); 2] {
        [(Wire::Native, self.by_wire[0]), (Wire::Vendor, self.by_wire[1])]
    }

    /// How connections ended.
    pub(crate) fn by_end(&self) -> impl Iterator<Item = (Wire, End, u64)> {
        let all = WIRES.into_iter().zip(self.by_end);
        all.flat_map(|(wire, ends)| End::ALL.into_iter().zip(ends).map(move |(end, count)| (wire, end, count)))
    }

    /// How long those connections lasted that have ended.
    pub(crate) fn lasted(&self) -> [(Wire, Lasted); 2] {
        WIRES.map(|wire| (wire, self.lasted[place(wire)]))
    }

    /// Those that have ended, newest first, from before the number `before` on.
    pub(crate) fn closed(&self, before: u64) -> impl Iterator<Item = &ClosedPeer> {
        self.closed.iter().rev().skip_while(move |closed| closed.number >= before)
    }
}

/// The number of the last connection that has ended. Whoever then looks at the peers of a project finds all up to it.
pub(crate) fn last_number() -> u64 {
    LAST.load(Ordering::SeqCst)
}

/// A number for a connection that ended then. It begins with the time, so that a list that is read over a restart does not begin
/// again, and all cores of a project share it, so that their lists have one order.
fn next_number(at: SystemTime) -> u64 {
    let micros = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    let micros = u64::try_from(micros).unwrap_or(u64::MAX);
    let later = |last: u64| micros.max(last.saturating_add(1));
    later(LAST.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |last| Some(later(last))).unwrap_or_else(|last| last))
}

/// In the order of their places.
const WIRES: [Wire; 2] = [Wire::Native, Wire::Vendor];

fn place(wire: Wire) -> usize {
    usize::from(wire != Wire::Native)
}

/// How many connections that have ended are remembered.
const CLOSED: usize = 1024;
static LAST: AtomicU64 = AtomicU64::new(0);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_ends_have_higher_numbers_though_the_clock_goes_back() {
        let start = SystemTime::now();
        let numbers = [start, start - Duration::from_secs(60), start, start + Duration::from_secs(1)].map(next_number);
        assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
        let micros = start.duration_since(UNIX_EPOCH).unwrap().as_micros() as u64;
        assert!(numbers[0] >= micros, "one that starts later goes on above: {numbers:?}");
        assert!(numbers[3] < 1 << 53, "any reader of JSON can have it: {numbers:?}");
    }
}
