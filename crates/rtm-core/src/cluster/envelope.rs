//! What nodes say to each other, and the payloads of the bus that it goes in.

use bincode::{BorrowDecode, Decode, Encode};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use rtm_codec::AppId;

use super::{
    bytes::{
        NodeIdV1, PAYLOAD_BYTES, ParcelError, ParcelErrorKind, decode_borrowed, decode_first, encode, encode_to, tags,
    },
    kept::ViewV1,
    names::NodeId,
    view::View,
};

/// One payload of the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Who sends it.
    pub from: NodeId,
    /// The life of the receiver that it is for.
    pub to: u64,
    /// The sender's view.
    pub epoch: u64,
    /// What it is.
    pub frame: Frame,
}

/// What nodes say to each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// The sender lives.
    Heartbeat {
        /// Its number among those to this receiver, from 1.
        n: u64,
        /// The number of the last one that came from this receiver; 0 before the first.
        heard: u64,
    },
    /// Parcels, and how far those of the receiver have come.
    Data(PostData),
    /// How far the receiver's parcels have come.
    Ack(Acks),
    /// A parcel of this post could not be taken: the receiver is to begin a new one.
    Reset {
        /// Among which parcels.
        priority: Priority,
        /// The number of the post.
        post: u64,
    },
    /// The view that the sender has, which is newer than the receiver's.
    View(View),
}

/// Which parcels go before which others. Those of one priority stay in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// What somebody waits for, and is small.
    Urgent,
    /// Everything else.
    Bulk,
}

/// Parcels of one priority, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostData {
    /// Among which.
    pub priority: Priority,
    /// The number of the post: a higher one begins anew.
    pub post: u64,
    /// The number of the first of these parcels in it, from 0.
    pub first: u64,
    /// How far the other direction has come.
    pub acks: Acks,
    /// The parcels.
    pub parcels: Vec<Sealed>,
}

/// For each priority the post, and the number of the next parcel that is expected in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Acks {
    /// Of the urgent parcels.
    pub urgent: (u64, u64),
    /// Of the others.
    pub bulk: (u64, u64),
}

/// What one node has to say to another, once and in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parcel {
    /// From the core of a project to the one of the same project.
    Project {
        /// Which project.
        app_id: AppId,
        /// What it is, as the core says it.
        head: Bytes,
        /// The bytes of a message or of a packed session, as they are.
        body: Bytes,
    },
    /// The same where a node has several cores of each project.
    Workers {
        /// Which of the sender's cores says it.
        from: u16,
        /// Which of the receiver's cores it is for.
        to: u16,
        /// Which project.
        app_id: AppId,
        /// What it is, as the core says it.
        head: Bytes,
        /// The bytes of a message or of a packed session, as they are.
        body: Bytes,
    },
}

/// A parcel in bytes, which several nodes may be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    head: Bytes,
    body: Bytes,
}

impl Parcel {
    /// The parcel in bytes.
    #[must_use]
    pub fn seal(self) -> Sealed {
        match self {
            Self::Project { app_id, head, body } => Sealed::new(&app_id, None, &head, body),
            Self::Workers { from, to, app_id, head, body } => Sealed::new(&app_id, Some((from, to)), &head, body),
        }
    }
}

impl Sealed {
    /// A parcel of a project, or of two of its cores.
    pub(super) fn new(app_id: &AppId, between: Option<(u16, u16)>, head: &[u8], body: Bytes) -> Self {
        let parcel = match between {
            None => ParcelV1::Project(app_id.as_str(), head),
            Some((from, to)) => ParcelV1::Workers(from, to, app_id.as_str(), head),
        };
        let mut bytes = Vec::with_capacity(head.len() + app_id.as_str().len() + PARCEL_BYTES);
        encode_to(&parcel, &mut bytes);
        Self { head: bytes.into(), body }
    }

    /// How many bytes it takes in a payload.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.head.len() + self.body.len() + SIZES_BYTES
    }

    /// Reads it. Its body is not copied.
    ///
    /// # Errors
    ///
    /// [`ParcelError`] for bytes that no node of a known version writes.
    pub fn open(self) -> Result<Parcel, ParcelError> {
        let Self { head: bytes, body } = self;
        let app_id = |text| AppId::new(text).map_err(|_| ParcelErrorKind::Damaged);
        match decode_borrowed(&bytes)? {
            ParcelV1::Project(text, head) => {
                Ok(Parcel::Project { app_id: app_id(text)?, head: bytes.slice_ref(head), body })
            }
            ParcelV1::Workers(from, to, text, head) => {
                Ok(Parcel::Workers { from, to, app_id: app_id(text)?, head: bytes.slice_ref(head), body })
            }
        }
    }
}

impl Envelope {
    /// The payload.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let frame = match &self.frame {
            Frame::Heartbeat { n, heard } => FrameV1::Heartbeat(*n, *heard),
            Frame::Data(data) => FrameV1::Data(DataV1 {
                priority: data.priority.into(),
                post: data.post,
                first: data.first,
                acks: data.acks.into(),
                sizes: data.parcels.iter().map(|it| (length(&it.head), length(&it.body))).collect(),
            }),
            Frame::Ack(acks) => FrameV1::Ack((*acks).into()),
            Frame::Reset { priority, post } => FrameV1::Reset((*priority).into(), *post),
            Frame::View(view) => FrameV1::View(ViewV1::from(view)),
        };
        let head = EnvelopeV1 { from: self.from.clone().into(), to: self.to, epoch: self.epoch, frame };
        let head = encode(&head);
        let Frame::Data(data) = &self.frame else { return head.into() };
        let all = head.len() + data.parcels.iter().map(Sealed::bytes).sum::<usize>();
        let mut payload = BytesMut::with_capacity(all);
        payload.put_slice(&head);
        for parcel in &data.parcels {
            payload.put_slice(&parcel.head);
            payload.put_slice(&parcel.body);
        }
        payload.freeze()
    }

    /// Reads a payload. A parcel that is most of it keeps its memory; the bodies of others are copied, so that a message that is kept
    /// for long does not keep the whole payload.
    ///
    /// # Errors
    ///
    /// [`ParcelError`] for bytes that no node of a known version writes.
    pub fn decode(mut payload: Bytes) -> Result<Self, ParcelError> {
        if payload.len() > PAYLOAD_BYTES {
            return Err(ParcelErrorKind::TooLarge.into());
        }
        let all = payload.len();
        let (head, read): (EnvelopeV1, usize) = decode_first(&payload)?;
        payload.advance(read);
        let frame = match head.frame {
            FrameV1::Heartbeat(n, heard) => Frame::Heartbeat { n, heard },
            FrameV1::Data(data) => {
                let mut parcels = Vec::with_capacity(data.sizes.len());
                for (head, body) in data.sizes {
                    let (head, mut body) = (take(&mut payload, head)?, take(&mut payload, body)?);
                    if body.len() < all / 2 {
                        body = Bytes::copy_from_slice(&body);
                    }
                    parcels.push(Sealed { head, body });
                }
                Frame::Data(PostData {
                    priority: data.priority.into(),
                    post: data.post,
                    first: data.first,
                    acks: data.acks.into(),
                    parcels,
                })
            }
            FrameV1::Ack(acks) => Frame::Ack(acks.into()),
            FrameV1::Reset(priority, post) => Frame::Reset { priority: priority.into(), post },
            FrameV1::View(view) => Frame::View(view.try_into()?),
        };
        if !payload.is_empty() {
            return Err(ParcelErrorKind::Damaged.into());
        }
        Ok(Self { from: head.from.into(), to: head.to, epoch: head.epoch, frame })
    }
}

#[derive(Debug, Encode, Decode)]
struct EnvelopeV1 {
    from: NodeIdV1,
    to: u64,
    epoch: u64,
    frame: FrameV1,
}

#[derive(Debug, Encode, Decode)]
enum FrameV1 {
    Heartbeat(u64, u64),
    Data(DataV1),
    Ack(AcksV1),
    Reset(PriorityV1, u64),
    View(ViewV1),
}

/// Behind the envelope come the heads and bodies of the parcels, as long as this says.
#[derive(Debug, Encode, Decode)]
struct DataV1 {
    priority: PriorityV1,
    post: u64,
    first: u64,
    acks: AcksV1,
    sizes: Vec<(u32, u32)>,
}

/// The id of its project, and its head.
#[derive(Debug, Encode, BorrowDecode)]
enum ParcelV1<'a> {
    Project(&'a str, &'a [u8]),
    Workers(u16, u16, &'a str, &'a [u8]),
}

tags! {
    PriorityV1: Priority { Urgent Bulk }
}

#[derive(Debug, Encode, Decode)]
struct AcksV1 {
    urgent: (u64, u64),
    bulk: (u64, u64),
}

impl From<Acks> for AcksV1 {
    fn from(Acks { urgent, bulk }: Acks) -> Self {
        Self { urgent, bulk }
    }
}

impl From<AcksV1> for Acks {
    fn from(AcksV1 { urgent, bulk }: AcksV1) -> Self {
        Self { urgent, bulk }
    }
}

fn take(payload: &mut Bytes, bytes: u32) -> Result<Bytes, ParcelError> {
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    if bytes > payload.len() {
        return Err(ParcelErrorKind::Damaged.into());
    }
    Ok(payload.split_to(bytes))
}

fn length(bytes: &Bytes) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

/// What a parcel has beside its project's id and its head, at most.
const PARCEL_BYTES: usize = 16;

/// What the lengths of a parcel take at most.
const SIZES_BYTES: usize = 10;

/// A parcel of a version that is not there yet.
#[cfg(test)]
pub(super) fn unknown_parcel() -> Sealed {
    Sealed { head: Bytes::from_static(&[99]), body: Bytes::new() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rtm_codec::SessionId;

    use super::*;
    use crate::cluster::{Change, Deaf, Lease, LeaseEntry, NodeName, UserEntry};

    fn id(name: &str) -> NodeId {
        NodeId { name: NodeName::new(name).unwrap(), incarnation: 7 }
    }

    fn app() -> AppId {
        AppId::new("0123456789abcdef0123456789abcdef").unwrap()
    }

    fn parcel(head: &'static [u8], body: &'static [u8]) -> Parcel {
        Parcel::Project { app_id: app(), head: Bytes::from_static(head), body: Bytes::from_static(body) }
    }

    fn envelope(frame: Frame) -> Envelope {
        Envelope { from: id("a"), to: 300, epoch: 2, frame }
    }

    fn data(parcels: Vec<Sealed>) -> Frame {
        Frame::Data(PostData {
            priority: Priority::Bulk,
            post: 3,
            first: 4,
            acks: Acks { urgent: (1, 2), bulk: (3, 4) },
            parcels,
        })
    }

    fn frames() -> Vec<Frame> {
        vec![
            Frame::Heartbeat { n: 1, heard: 2 },
            data(vec![parcel(b"head", b"body").seal(), parcel(b"", b"").seal()]),
            Frame::Ack(Acks { urgent: (1, 2), bulk: (3, 4) }),
            Frame::Reset { priority: Priority::Urgent, post: 9 },
            Frame::View(View::empty(4).next(&[Change::Join(id("a"), 1, 1), Change::Join(id("b"), 1, 1)])),
        ]
    }

    #[test]
    fn everything_is_read_as_it_was_written() {
        for frame in frames() {
            let envelope = envelope(frame);
            assert_eq!(Envelope::decode(envelope.encode()), Ok(envelope));
        }
        for entry in [
            LeaseEntry::Tombstone { incarnation: 7 },
            LeaseEntry::Lease(Lease {
                incarnation: 7,
                counter: 8,
                proto: 1,
                workers: 3,
                epoch: 9,
                deaf: vec![Deaf { node: id("b").name, seconds: 3 }],
            }),
        ] {
            assert_eq!(LeaseEntry::decode(&entry.encode()), Ok(entry));
        }
        let view = View::empty(4).next(&[Change::Join(id("a"), 1, 1)]);
        assert_eq!(View::decode(&view.encode()), Ok(view.clone()));
        assert!(LeaseEntry::decode(&view.encode()).is_err());
        let entry = UserEntry { node: id("a"), session: SessionId([5; 16]), epoch: 300 };
        assert_eq!(UserEntry::decode(&entry.encode()), Ok(entry.clone()));
        assert!(View::decode(&entry.encode()).is_err());
        assert!(UserEntry::decode(&view.encode()).is_err());
        assert_eq!(parcel(b"head", b"body").seal().open(), Ok(parcel(b"head", b"body")));
        let between_workers =
            Parcel::Workers { from: 1, to: 2, app_id: app(), head: Bytes::from_static(b"h"), body: Bytes::new() };
        assert_eq!(between_workers.clone().seal().open(), Ok(between_workers));
        let of_workers = View::empty(4).next(&[Change::Join(id("a"), 1, 4)]);
        assert_eq!(View::decode(&of_workers.encode()), Ok(of_workers));
    }

    /// The tags of this version: nodes of other versions know them by these bytes.
    #[test]
    fn the_bytes_stay_what_they_are() {
        let bytes = |frame| envelope(frame).encode().to_vec();
        let head = [1, b'a', 7, 251, 44, 1, 2];
        let with_head = |rest: &[u8]| [&head[..], rest].concat();
        assert_eq!(bytes(Frame::Heartbeat { n: 1, heard: 2 }), with_head(&[0, 1, 2]));
        assert_eq!(bytes(Frame::Ack(Acks { urgent: (1, 2), bulk: (3, 4) })), with_head(&[2, 1, 2, 3, 4]));
        assert_eq!(bytes(Frame::Reset { priority: Priority::Bulk, post: 9 }), with_head(&[3, 1, 9]));
        assert_eq!(bytes(Frame::View(View::empty(5))), with_head(&[4, 5, 0, 0]));
        let sealed = parcel(b"h", b"body").seal();
        let head_of_it = [&[0, 32], app().as_str().as_bytes(), &[1, b'h']].concat();
        let rest = [&[1, 1, 3, 4, 1, 2, 3, 4, 1, 36, 4], &head_of_it[..], b"body"].concat();
        assert_eq!(bytes(data(vec![sealed])), with_head(&rest));
        assert_eq!(LeaseEntry::Tombstone { incarnation: 7 }.encode()[..], [1, 7]);
        let lease = Lease {
            incarnation: 7,
            counter: 8,
            proto: 1,
            workers: 1,
            epoch: 9,
            deaf: vec![Deaf { node: id("b").name, seconds: 3 }],
        };
        assert_eq!(LeaseEntry::Lease(lease).encode()[..], [0, 7, 8, 1, 9, 1, 1, b'b', 3]);
        assert_eq!(View::empty(5).encode()[..], [2, 5, 0, 0]);
        let between_workers = Parcel::Workers { from: 1, to: 2, app_id: app(), head: Bytes::new(), body: Bytes::new() };
        assert_eq!(between_workers.seal().head[..], [&[1, 1, 2, 32], app().as_str().as_bytes(), &[0]].concat());
        let entry = UserEntry { node: id("a"), session: SessionId([5; 16]), epoch: 300 };
        assert_eq!(entry.encode()[..], [&[3, 1, b'a', 7][..], &[5; 16], &[251, 44, 1]].concat());
    }

    #[test]
    fn the_body_of_a_parcel_that_is_most_of_its_payload_is_not_copied() {
        let (large, small) = (parcel(b"head", &[b'x'; 4096]).seal(), parcel(b"head", &[b'y'; 1024]).seal());
        let payload = envelope(data(vec![small, large])).encode();
        let range = payload.as_ptr_range();
        let Frame::Data(data) = Envelope::decode(payload).unwrap().frame else { panic!("other frame") };
        let shares = data.parcels.into_iter().map(|parcel| {
            let Parcel::Project { body, .. } = parcel.open().unwrap() else { panic!("other parcel") };
            range.contains(&body.as_ptr())
        });
        assert_eq!(shares.collect::<Vec<_>>(), [false, true]);
    }

    #[test]
    fn what_a_newer_version_says_is_told_from_damage() {
        let kind = |bytes: &[u8]| Envelope::decode(Bytes::copy_from_slice(bytes)).unwrap_err().kind();
        assert_eq!(kind(&[1, b'a', 7, 1, 2, 99]), ParcelErrorKind::Unknown);
        assert_eq!(kind(&[1, b'a', 7, 1, 2, 0, 1]), ParcelErrorKind::Damaged);
        assert_eq!(kind(&[1, b' ', 7, 1, 2, 0, 1, 2]), ParcelErrorKind::Damaged, "a name with a blank");
        assert_eq!(kind(&vec![0; PAYLOAD_BYTES + 1]), ParcelErrorKind::TooLarge);
        assert_eq!(unknown_parcel().open().unwrap_err().kind(), ParcelErrorKind::Unknown);
    }

    #[test]
    fn a_payload_that_is_cut_off_or_has_more_is_refused() {
        for frame in frames() {
            let whole = envelope(frame).encode();
            for end in 0..whole.len() {
                assert!(Envelope::decode(whole.slice(..end)).is_err());
            }
            let longer = [&whole[..], &[0]].concat();
            assert!(Envelope::decode(longer.into()).is_err());
        }
    }

    #[test]
    fn lengths_that_would_take_all_memory_are_refused() {
        let mut bytes = vec![1, b'a', 7, 1, 2, 1, 1, 3, 4, 1, 2, 3, 4];
        bytes.extend([253, 0, 0, 0, 0, 0, 1, 0, 0]);
        assert_eq!(Envelope::decode(bytes.into()).unwrap_err().kind(), ParcelErrorKind::TooLarge);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = View::decode(&bytes);
            let _ = LeaseEntry::decode(&bytes);
            let _ = UserEntry::decode(&bytes);
            let _ = Envelope::decode(bytes.into());
        }

        #[test]
        fn no_change_of_a_payload_makes_it_panic(which in 0..5_usize, at in any::<prop::sample::Index>(), to in any::<u8>()) {
            let mut bytes = envelope(frames()[which].clone()).encode().to_vec();
            let at = at.index(bytes.len());
            bytes[at] = to;
            if let Ok(Envelope { frame: Frame::Data(data), .. }) = Envelope::decode(bytes.into()) {
                for sealed in data.parcels {
                    let _ = sealed.open();
                }
            }
        }
    }
}
