//! What a node of a cluster reads from the bus and from the engine: payloads, parcels, and the values of keys.

use bytes::Bytes;
use rtm_codec::AppId;
use rtm_core::cluster::{Envelope, Frame, LeaseEntry, Parcel, ProjectParcel, Sealed, UserEntry, View};

use crate::call::APP_ID;

/// A node against any bytes. They are taken for a payload, for the value of a key, and for a parcel of a core: the first
/// byte says how long its head is.
pub fn cluster_decode(bytes: &[u8]) {
    if let Ok(envelope) = Envelope::decode(Bytes::copy_from_slice(bytes)) {
        assert_eq!(Envelope::decode(envelope.encode()).as_ref(), Ok(&envelope), "what was read can be written");
        if let Frame::Data(data) = envelope.frame {
            for parcel in data.parcels.into_iter().flat_map(Sealed::open) {
                let (Parcel::Project { head, body, .. } | Parcel::Workers { head, body, .. }) = parcel;
                project_parcel(&head, body);
            }
        }
    }
    if let Ok(view) = View::decode(bytes) {
        assert_eq!(View::decode(&view.encode()), Ok(view));
    }
    if let Ok(entry) = LeaseEntry::decode(bytes) {
        assert_eq!(LeaseEntry::decode(&entry.encode()), Ok(entry));
    }
    if let Ok(entry) = UserEntry::decode(bytes) {
        assert_eq!(UserEntry::decode(&entry.encode()), Ok(entry));
    }
    if let Some((&length, rest)) = bytes.split_first()
        && let Some((head, body)) = rest.split_at_checked(length.into())
    {
        project_parcel(head, Bytes::copy_from_slice(body));
    }
}

fn project_parcel(head: &[u8], body: Bytes) {
    let Ok(parcel) = ProjectParcel::open(head, body) else { return };
    let app_id = AppId::new(APP_ID).expect("a good id");
    let Ok(Parcel::Project { head, body, .. }) = parcel.seal(&app_id).open() else { panic!("a parcel cannot be read") };
    assert_eq!(ProjectParcel::open(&head, body), Ok(parcel), "what was read can be written");
}
