//! Several servers as one: who is a member, and what members say to each other.
//!
//! All of it is pure, as the rest of this crate. [`Node`] is one server's part: what it hears of the others and of the
//! engine goes in, what it has to say and to ask comes out. The engine is whatever decides a conditional write once for
//! all; the bus is whatever carries bytes from node to node, and may lose, repeat and delay them.

mod bytes;
mod calls;
mod channels;
mod envelope;
mod fields;
mod gateway;
mod kept;
mod lease;
mod names;
mod node;
mod post;
mod presence;
mod project;
mod project_bytes;
mod router;
mod users;
mod view;

pub use bytes::{ParcelError, ParcelErrorKind};
pub use calls::{CallAnswer, CallMessage, CallOutcome};
pub(crate) use channels::NAMES_AT_MOST;
pub use channels::{
    ChannelParcel, ChannelWord, FanOut, ForwardedNews, HeldChannel, HomeParcel, Mark, MemberChange, Part, Relay, Said,
    Version,
};
pub use envelope::{Acks, Envelope, Frame, Parcel, PostData, Priority, Sealed};
pub use gateway::{GatewayWord, Wanted};
pub use kept::{Deaf, Lease, LeaseEntry, PROTO};
pub(crate) use kept::{PROTO_OF_LAST_MOVED, PROTO_OF_MANY, PROTO_OF_RUNS, PROTO_OF_STORING};
pub use lease::{
    EngineKey, EngineOp, Left, Membership, MembershipConfig, MembershipEvent, MembershipOutput, OpId, Outcome,
    Standing, Stored,
};
pub use names::{InvalidNodeName, MOST_WORKERS, NodeId, NodeName};
pub use node::{Dropped, Node, NodeConfig, NodeOutput};
pub use post::{Condition, NotSent, Post, PostConfig, PostEvent, PostOutput, Settled, Ticket};
pub use presence::{PagedUser, PresenceParcel, Sighting};
pub use project::{
    Ask, Deliver, Delivered, LaneRun, MessageOutcome, OustedSession, Posted, Posting, ProjectParcel, RunMessage,
    Verdict,
};
pub use router::{ForCore, Router};
pub use users::{EngineAnswer, EngineJob, EngineJobId, EngineWork, Revised, UserEntry};
pub use view::{Change, MEMBERS, Member, PARTITIONS, Role, View, partition};
