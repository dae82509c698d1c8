//! What the engine keeps for nodes, as bytes: their leases, the view, and where users are.

use bincode::{Decode, Encode};
use bytes::Bytes;
use rtm_codec::SessionId;

use super::{
    bytes::{NodeIdV1, ParcelError, ParcelErrorKind, decode, encode, tags},
    names::{MOST_WORKERS, NodeName},
    users::UserEntry,
    view::{Member, Role, View},
};
use crate::binary::Id;

/// What a node's key holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseEntry {
    /// It lives, or did a moment ago.
    Lease(Lease),
    /// This life of it is over.
    Tombstone {
        /// Which.
        incarnation: u64,
    },
}

/// What a node says of itself each second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Which life.
    pub incarnation: u64,
    /// Rises with every renewal.
    pub counter: u64,
    /// The newest version that it understands.
    pub proto: u16,
    /// How many cores of each project it has, at least 1.
    pub workers: u16,
    /// The view that it has.
    pub epoch: u64,
    /// The members of that view with which it is not in touch, in both directions.
    pub deaf: Vec<Deaf>,
}

/// A node does not hear another, or is not heard by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deaf {
    /// Which.
    pub node: NodeName,
    /// For how many seconds.
    pub seconds: u16,
}

impl View {
    /// The value of the key that the view is kept under.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        encode(&KeptV1::View(self.into())).into()
    }

    /// Reads that value.
    ///
    /// # Errors
    ///
    /// [`ParcelError`] for bytes that no node of a known version writes.
    pub fn decode(value: &[u8]) -> Result<Self, ParcelError> {
        match decode(value)? {
            KeptV1::View(view) => view.try_into(),
            KeptV1::Lease(_) | KeptV1::Tombstone(_) | KeptV1::User(..) => Err(ParcelErrorKind::Damaged.into()),
        }
    }
}

impl LeaseEntry {
    /// The value of a node's key.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let kept = match self {
            Self::Lease(lease) => KeptV1::Lease(LeaseV1 {
                incarnation: lease.incarnation,
                counter: lease.counter,
                proto: with_workers(lease.proto, lease.workers),
                epoch: lease.epoch,
                deaf: lease.deaf.iter().map(|deaf| (Id(deaf.node.clone()), deaf.seconds)).collect(),
            }),
            Self::Tombstone { incarnation } => KeptV1::Tombstone(*incarnation),
        };
        encode(&kept).into()
    }

    /// Reads that value.
    ///
    /// # Errors
    ///
    /// [`ParcelError`] for bytes that no node of a known version writes.
    pub fn decode(value: &[u8]) -> Result<Self, ParcelError> {
        match decode(value)? {
            KeptV1::Lease(lease) => Ok(Self::Lease(Lease {
                incarnation: lease.incarnation,
                counter: lease.counter,
                proto: proto_of(lease.proto),
                workers: workers_of(lease.proto),
                epoch: lease.epoch,
                deaf: lease.deaf.into_iter().map(|(Id(node), seconds)| Deaf { node, seconds }).collect(),
            })),
            KeptV1::Tombstone(incarnation) => Ok(Self::Tombstone { incarnation }),
            KeptV1::View(_) | KeptV1::User(..) => Err(ParcelErrorKind::Damaged.into()),
        }
    }

    /// Which life it is of.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        match self {
            Self::Lease(lease) => lease.incarnation,
            Self::Tombstone { incarnation } => *incarnation,
        }
    }
}

impl UserEntry {
    /// The value of a user's key.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        encode(&KeptV1::User(self.node.clone().into(), self.session.0, self.epoch)).into()
    }

    /// Reads that value.
    ///
    /// # Errors
    ///
    /// [`ParcelError`] for bytes that no node of a known version writes.
    pub fn decode(value: &[u8]) -> Result<Self, ParcelError> {
        match decode(value)? {
            KeptV1::User(node, session, epoch) => Ok(Self { node: node.into(), session: SessionId(session), epoch }),
            KeptV1::Lease(_) | KeptV1::Tombstone(_) | KeptV1::View(_) => Err(ParcelErrorKind::Damaged.into()),
        }
    }
}

/// The values of keys.
#[derive(Debug, Encode, Decode)]
enum KeptV1 {
    Lease(LeaseV1),
    Tombstone(u64),
    View(ViewV1),
    /// The node, the session and the epoch of a user's entry.
    User(NodeIdV1, [u8; 16], u64),
}

#[derive(Debug, Encode, Decode)]
struct LeaseV1 {
    incarnation: u64,
    counter: u64,
    proto: u16,
    epoch: u64,
    deaf: Vec<(Id<NodeName>, u16)>,
}

#[derive(Debug, Encode, Decode)]
pub(super) struct ViewV1 {
    epoch: u64,
    members: Vec<(NodeIdV1, RoleV1, u16)>,
    homes: Vec<u16>,
}

tags! {
    RoleV1: Role { Edge Home Draining }
}

impl From<&View> for ViewV1 {
    fn from(view: &View) -> Self {
        let members = view
            .members()
            .iter()
            .map(|member| (member.id.clone().into(), member.role.into(), with_workers(member.proto, member.workers)));
        Self { epoch: view.epoch(), members: members.collect(), homes: view.homes().to_vec() }
    }
}

impl TryFrom<ViewV1> for View {
    type Error = ParcelError;

    fn try_from(view: ViewV1) -> Result<Self, ParcelError> {
        let members = view.members.into_iter().map(|(id, role, proto)| Member {
            id: id.into(),
            role: role.into(),
            proto: proto_of(proto),
            workers: workers_of(proto),
        });
        Self::from_parts(view.epoch, members.collect(), view.homes).ok_or_else(|| ParcelErrorKind::Damaged.into())
    }
}

/// A version and a number of workers as one number: a node with one worker is written as before there were any.
fn with_workers(proto: u16, workers: u16) -> u16 {
    (proto & 0xff) | ((workers.clamp(1, MOST_WORKERS) - 1) << 8)
}

fn proto_of(number: u16) -> u16 {
    number & 0xff
}

fn workers_of(number: u16) -> u16 {
    (number >> 8) + 1
}

/// The newest version of what nodes say that this code understands. Since version 2, `ProjectParcel::Placed` speaks of all
/// messages up to one, and there is `ProjectParcel::Delivered`. Since version 3, there is `ProjectParcel::DeliverRuns`,
/// and since version 4 `ProjectParcel::Storing`, and a node says when the last member that it had in a channel has moved away.
pub const PROTO: u16 = 4;

/// The first version that knows these parcels.
pub(crate) const PROTO_OF_MANY: u16 = 2;

/// The first version that knows that one.
pub(crate) const PROTO_OF_RUNS: u16 = 3;

/// The first version that knows that one.
pub(crate) const PROTO_OF_STORING: u16 = 4;

/// The first version that says that its last member has moved away.
pub(crate) const PROTO_OF_LAST_MOVED: u16 = 4;
