//! A map that stays small: what was not used for a while makes room.

use std::{collections::HashMap, hash::Hash, mem};

/// So many octets of an answer are one place: most answers are smaller.
const PLACE: usize = 4_096;

/// The places that an answer of so many octets takes: who answers with 64 KiB takes those of many.
pub(super) const fn places(octets: usize) -> usize {
    1 + octets / PLACE
}

/// Two generations: the young one takes what is new or used; once it holds half of what is
/// allowed, it becomes the old one, and what was in the old one is dropped.
#[derive(Debug)]
pub(super) struct Aging<K, V> {
    young: HashMap<K, (V, usize)>,
    old: HashMap<K, (V, usize)>,
    /// Places that are taken in the young one.
    taken: usize,
    half: usize,
}

impl<K: Hash + Eq + Clone, V: Clone> Aging<K, V> {
    /// A map of at most this many places.
    pub(super) fn new(most: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), taken: 0, half: (most / 2).max(1) }
    }

    pub(super) fn get(&mut self, key: &K) -> Option<V> {
        if let Some((value, _)) = self.young.get(key) {
            return Some(value.clone());
        }
        let (key, (value, places)) = self.old.remove_entry(key)?;
        self.put(key, value.clone(), places);
        Some(value)
    }

    /// What takes more than half of all places is not kept.
    pub(super) fn put(&mut self, key: K, value: V, places: usize) {
        self.remove(&key);
        if places > self.half {
            return;
        }
        if self.taken.saturating_add(places) > self.half {
            self.old = mem::take(&mut self.young);
            self.taken = 0;
        }
        self.taken = self.taken.saturating_add(places);
        self.young.insert(key, (value, places));
    }

    pub(super) fn remove(&mut self, key: &K) {
        if let Some((_, places)) = self.young.remove(key) {
            self.taken = self.taken.saturating_sub(places);
        }
        self.old.remove(key);
    }

    pub(super) fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
        self.taken = 0;
    }

    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_map_stays_small() {
        let mut map = Aging::new(10);
        for key in 0..1_000 {
            map.put(key, key, 1);
            assert_eq!(map.get(&0), Some(0), "used each time");
            assert!(map.len() <= 10, "{}", map.len());
        }
        assert_eq!(map.get(&1), None);
    }

    /// A hostile zone: answers of 64 KiB for names without end take no more memory than small ones.
    #[test]
    fn large_answers_take_the_places_of_many() {
        assert_eq!((places(100), places(65_535)), (1, 16));
        let mut map = Aging::new(100);
        for key in 0..1_000 {
            map.put(key, (), places(65_535));
            assert!(map.len() <= 6, "{}", map.len());
        }
        // The same anew takes no more; what is too large for all is not kept.
        let before = map.len();
        map.put(999, (), places(65_535));
        assert_eq!((map.len(), map.get(&999)), (before, Some(())));
        map.put(1, (), 51);
        assert_eq!(map.get(&1), None);
    }
}
