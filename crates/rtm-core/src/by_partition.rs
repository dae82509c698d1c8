//! Things of users, by the partition and name of each.

use std::{collections::BTreeMap, ops::Bound};

use rtm_codec::UserId;

/// The partition of a user, and who it is.
pub(super) type Spot = (u16, UserId);

/// One thing of each of some users.
#[derive(Debug)]
pub(super) struct ByPartition<T>(BTreeMap<u16, BTreeMap<UserId, T>>);

impl<T> Default for ByPartition<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T> ByPartition<T> {
    pub(super) fn get(&self, (partition, user_id): &Spot) -> Option<&T> {
        self.0.get(partition)?.get(user_id)
    }

    pub(super) fn get_mut(&mut self, (partition, user_id): &Spot) -> Option<&mut T> {
        self.0.get_mut(partition)?.get_mut(user_id)
    }

    pub(super) fn has(&self, spot: &Spot) -> bool {
        self.get(spot).is_some()
    }

    pub(super) fn insert(&mut self, (partition, user_id): Spot, thing: T) {
        self.0.entry(partition).or_default().insert(user_id, thing);
    }

    pub(super) fn remove(&mut self, (partition, user_id): &Spot) -> Option<T> {
        let users = self.0.get_mut(partition)?;
        let removed = users.remove(user_id);
        if users.is_empty() {
            self.0.remove(partition);
        }
        removed
    }

    /// All behind this one, in the order of their partitions and names.
    pub(super) fn behind(&self, after: Option<&Spot>) -> impl Iterator<Item = (Spot, &T)> {
        let first = after.map_or(0, |(partition, _)| *partition);
        self.0.range(first..).flat_map(move |(&partition, _)| self.of_partition(partition, after))
    }

    /// Those of a partition that come behind this one.
    pub(super) fn of_partition(&self, partition: u16, after: Option<&Spot>) -> impl Iterator<Item = (Spot, &T)> {
        let from = match after {
            Some((other, user_id)) if *other == partition => Bound::Excluded(user_id),
            _ => Bound::Unbounded,
        };
        let users = self.0.get(&partition).into_iter();
        let users = users.flat_map(move |users| users.range::<UserId, _>((from, Bound::Unbounded)));
        users.map(move |(user_id, thing)| ((partition, user_id.clone()), thing))
    }
}
