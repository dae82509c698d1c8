//! Things with a name, by key and by name.

use std::hash::{BuildHasher as _, Hasher as _};

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::arena::{Arena, Key};

/// What can be looked up by its name.
pub(super) trait Named {
    type Name: AsRef<str> + Eq;

    fn name(&self) -> &Self::Name;
}

/// All things of one kind. The names are hashed with a secret, so nobody can choose names that collide.
#[derive(Debug)]
pub(super) struct Directory<K, T> {
    arena: Arena<K, T>,
    by_name: HashTable<K>,
    pub(super) hasher: FixedState,
}

impl<K: Key + PartialEq, T: Named> Directory<K, T> {
    pub(super) fn new(hasher: FixedState) -> Self {
        Self { arena: Arena::new(), by_name: HashTable::new(), hasher }
    }

    pub(super) fn get(&self, key: K) -> Option<&T> {
        self.arena.get(key)
    }

    pub(super) fn get_mut(&mut self, key: K) -> Option<&mut T> {
        self.arena.get_mut(key)
    }

    pub(super) fn len(&self) -> usize {
        self.arena.len()
    }

    /// The things in so many slots, and the slot after those, if there is any.
    pub(super) fn slice(&self, from: usize, slots: usize) -> (impl Iterator<Item = &T>, Option<usize>) {
        self.arena.slice(from, slots)
    }

    pub(super) fn clear(&mut self) {
        self.arena.clear();
        self.by_name = HashTable::new();
    }

    // Each message looks here.
    #[inline(always)]
    pub(super) fn find(&self, name: &T::Name) -> Option<K> {
        let hash = hash(&self.hasher, name);
        self.by_name.find(hash, |key| self.arena.get(*key).is_some_and(|thing| thing.name() == name)).copied()
    }

    /// Adds a thing whose name is not there yet.
    pub(super) fn insert(&mut self, thing: T) -> K {
        let Self { arena, by_name, hasher } = self;
        let new = hash(hasher, thing.name());
        let key = arena.insert(thing);
        by_name.insert_unique(new, key, |key| arena.get(*key).map_or(0, |thing| hash(hasher, thing.name())));
        key
    }

    pub(super) fn remove(&mut self, key: K) -> Option<T> {
        let thing = self.arena.remove(key)?;
        if let Ok(entry) = self.by_name.find_entry(hash(&self.hasher, thing.name()), |other| *other == key) {
            entry.remove();
        }
        Some(thing)
    }
}

/// Of the bytes alone: what tells two texts apart that follow each other is not needed here.
#[inline]
fn hash(hasher: &FixedState, name: &impl AsRef<str>) -> u64 {
    let mut hasher = hasher.build_hasher();
    hasher.write(name.as_ref().as_bytes());
    hasher.finish()
}
