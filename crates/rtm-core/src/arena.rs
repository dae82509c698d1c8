//! Slots with serial numbers: a key of something that is gone never finds what came into its place.

use std::marker::PhantomData;

use slab::Slab;

use super::ConnId;

/// What finds a value in an [`Arena`].
pub(super) trait Key: Copy {
    fn new(slot: u32, serial: u32) -> Self;
    fn slot(self) -> u32;
    fn serial(self) -> u32;
}

macro_rules! key {
    ($name:ty) => {
        impl Key for $name {
            fn new(slot: u32, serial: u32) -> Self {
                Self { slot, serial }
            }

            fn slot(self) -> u32 {
                self.slot
            }

            fn serial(self) -> u32 {
                self.serial
            }
        }
    };
    ($(#[$doc:meta])* struct $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(super) struct $name {
            slot: u32,
            serial: u32,
        }

        key!($name);
    };
}

key!(ConnId);

key! {
    /// A user that somebody needs: it has a session, is watched, or takes part in an invitation.
    struct UserKey
}

key! {
    /// A session of a user.
    struct SessionKey
}

key! {
    /// A channel with members or attributes.
    struct ChannelKey
}

key! {
    /// An open invitation.
    struct InvitationKey
}

/// Values in slots that are used again.
#[derive(Debug)]
pub(super) struct Arena<K, T> {
    slots: Slab<(u32, T)>,
    next_serial: u32,
    key: PhantomData<K>,
}

impl<K: Key, T> Arena<K, T> {
    pub(super) fn new() -> Self {
        Self { slots: Slab::new(), next_serial: 0, key: PhantomData }
    }

    pub(super) fn insert(&mut self, value: T) -> K {
        let serial = self.next_serial;
        self.next_serial = serial.wrapping_add(1);
        let slot = self.slots.insert((serial, value));
        K::new(u32::try_from(slot).expect("memory ends long before 2^32 slots are taken"), serial)
    }

    pub(super) fn get(&self, key: K) -> Option<&T> {
        self.slots.get(key.slot() as usize).filter(|(serial, _)| *serial == key.serial()).map(|(_, value)| value)
    }

    pub(super) fn get_mut(&mut self, key: K) -> Option<&mut T> {
        self.slots.get_mut(key.slot() as usize).filter(|(serial, _)| *serial == key.serial()).map(|(_, value)| value)
    }

    pub(super) fn remove(&mut self, key: K) -> Option<T> {
        self.get(key)?;
        self.slots.try_remove(key.slot() as usize).map(|(_, value)| value)
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The values, in the order of their slots.
    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().map(|(_, (_, value))| value)
    }

    /// The keys, in the order of their slots.
    pub(super) fn keys(&self) -> impl Iterator<Item = K> {
        self.slots.iter().filter_map(|(slot, (serial, _))| Some(K::new(u32::try_from(slot).ok()?, *serial)))
    }
}
