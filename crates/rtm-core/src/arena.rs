//! Slots with serial numbers: a key of something that is gone never finds what came into its place.

use std::{marker::PhantomData, ops::Range};

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

impl SessionKey {
    /// No key is lower.
    pub(super) const LOWEST: Self = Self { slot: 0, serial: 0 };
}

/// Values in slots that are used again. A slot without a value keeps its key for one that is elsewhere.
#[derive(Debug)]
pub(super) struct Arena<K, T> {
    slots: Slab<(u32, Option<T>)>,
    next_serial: u32,
    len: usize,
    key: PhantomData<K>,
}

impl<K: Key, T> Arena<K, T> {
    pub(super) fn new() -> Self {
        Self { slots: Slab::new(), next_serial: 0, len: 0, key: PhantomData }
    }

    pub(super) fn insert(&mut self, value: T) -> K {
        self.len += 1;
        self.occupy(Some(value))
    }

    pub(super) fn get(&self, key: K) -> Option<&T> {
        let (serial, value) = self.slots.get(key.slot() as usize)?;
        value.as_ref().filter(|_| *serial == key.serial())
    }

    pub(super) fn get_mut(&mut self, key: K) -> Option<&mut T> {
        let (serial, value) = self.slots.get_mut(key.slot() as usize)?;
        value.as_mut().filter(|_| *serial == key.serial())
    }

    pub(super) fn remove(&mut self, key: K) -> Option<T> {
        let value = self.take(key)?;
        self.slots.try_remove(key.slot() as usize);
        Some(value)
    }

    /// Keeps a key for a value that comes later.
    pub(super) fn reserve(&mut self) -> K {
        self.occupy(None)
    }

    /// Takes a value out and keeps its key for it.
    pub(super) fn take(&mut self, key: K) -> Option<T> {
        let (serial, value) = self.slots.get_mut(key.slot() as usize)?;
        let value = value.take_if(|_| *serial == key.serial())?;
        self.len -= 1;
        Some(value)
    }

    /// Puts a value under a key that was kept for it. Gives it back where none was.
    pub(super) fn put(&mut self, key: K, value: T) -> Result<(), T> {
        match self.slots.get_mut(key.slot() as usize) {
            Some((serial, slot @ None)) if *serial == key.serial() => {
                *slot = Some(value);
                self.len += 1;
                Ok(())
            }
            _ => Err(value),
        }
    }

    /// Keeps a key no longer, unless there is a value under it.
    pub(super) fn give_up(&mut self, key: K) {
        let is_kept = self
            .slots
            .get(key.slot() as usize)
            .is_some_and(|(serial, value)| *serial == key.serial() && value.is_none());
        if is_kept {
            self.slots.remove(key.slot() as usize);
        }
    }

    /// Takes all values out, and keeps no key. None comes again: the serial numbers go on.
    pub(super) fn clear(&mut self) {
        self.slots = Slab::new();
        self.len = 0;
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The values, in the order of their slots.
    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().filter_map(|(_, (_, value))| value.as_ref())
    }

    /// The values to change, in the order of their slots.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.slots.iter_mut().filter_map(|(_, (_, value))| value.as_mut())
    }

    /// The values in so many slots, and the slot after those, if there is any.
    pub(super) fn slice(&self, from: usize, slots: usize) -> (impl Iterator<Item = &T>, Option<usize>) {
        let end = from.saturating_add(slots).min(self.slots.capacity());
        let values = (from..end).filter_map(|slot| self.slots.get(slot)?.1.as_ref());
        (values, Some(end).filter(|end| *end < self.slots.capacity()))
    }

    /// How many slots there are, with those that are free.
    pub(super) fn slots(&self) -> usize {
        self.slots.capacity()
    }

    /// The keys of the values in some slots, in the order of these.
    pub(super) fn keys_in(&self, slots: Range<usize>) -> impl Iterator<Item = K> {
        slots.filter_map(|slot| {
            let (serial, _) = self.slots.get(slot).filter(|(_, value)| value.is_some())?;
            Some(K::new(u32::try_from(slot).ok()?, *serial))
        })
    }

    /// The keys of the values, in the order of their slots.
    pub(super) fn keys(&self) -> impl Iterator<Item = K> {
        let taken = self.slots.iter().filter(|(_, (_, value))| value.is_some());
        taken.filter_map(|(slot, (serial, _))| Some(K::new(u32::try_from(slot).ok()?, *serial)))
    }

    fn occupy(&mut self, value: Option<T>) -> K {
        let serial = self.next_serial;
        self.next_serial = serial.wrapping_add(1);
        let slot = self.slots.insert((serial, value));
        K::new(u32::try_from(slot).expect("memory ends long before 2^32 slots are taken"), serial)
    }
}
