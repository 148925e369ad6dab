//! Results that were computed, within a budget of bytes: the least recently used goes first.

use std::collections::HashMap;
use std::hash::Hash;

/// `K → V` within a budget.
#[derive(Debug)]
pub(crate) struct Cache<K, V> {
    entries: HashMap<K, Entry<V>>,
    budget: usize,
    bytes: usize,
    clock: u64,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    bytes: usize,
    used: u64,
}

impl<K: Eq + Hash + Clone, V: Clone> Cache<K, V> {
    /// An empty cache of at most `budget` bytes.
    pub(crate) fn new(budget: usize) -> Self {
        Self { entries: HashMap::new(), budget, bytes: 0, clock: 0 }
    }

    /// What is held for `key`; it then counts as used.
    pub(crate) fn get(&mut self, key: &K) -> Option<V> {
        self.clock += 1;
        let entry = self.entries.get_mut(key)?;
        entry.used = self.clock;
        Some(entry.value.clone())
    }

    /// Holds `value`, unless it alone exceeds the budget; others make room.
    pub(crate) fn put(&mut self, key: K, value: V, bytes: usize) {
        self.remove(&key);
        if bytes > self.budget {
            return;
        }
        while self.bytes + bytes > self.budget {
            let oldest = self.entries.iter().min_by_key(|(_, e)| e.used).map(|(k, _)| k.clone());
            let Some(oldest) = oldest else { break };
            self.remove(&oldest);
        }
        self.clock += 1;
        self.bytes += bytes;
        self.entries.insert(key, Entry { value, bytes, used: self.clock });
    }

    /// Lets go of everything for which `keep` is false.
    pub(crate) fn retain(&mut self, keep: impl Fn(&K) -> bool) {
        let gone: Vec<K> = self.entries.keys().filter(|k| !keep(k)).cloned().collect();
        gone.iter().for_each(|k| self.remove(k));
    }

    /// Bytes held.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes allowed.
    pub(crate) fn budget(&self) -> usize {
        self.budget
    }

    fn remove(&mut self, key: &K) {
        if let Some(entry) = self.entries.remove(key) {
            self.bytes -= entry.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut cache = Cache::new(10);
        cache.put("a", 1, 4);
        cache.put("b", 2, 4);
        assert_eq!(cache.get(&"a"), Some(1));
        cache.put("c", 3, 4);
        assert_eq!((cache.get(&"a"), cache.get(&"b"), cache.get(&"c")), (Some(1), None, Some(3)));
        assert_eq!(cache.bytes(), 8);
        cache.put("a", 9, 1);
        assert_eq!((cache.get(&"a"), cache.bytes()), (Some(9), 5));
        cache.put("huge", 0, 11);
        assert_eq!((cache.get(&"huge"), cache.bytes()), (None, 5));
        cache.retain(|&k| k == "a");
        assert_eq!(cache.bytes(), 1);
    }

    #[test]
    fn the_budget_holds_whatever_comes() {
        let mut cache = Cache::new(1000);
        for i in 0..10_000usize {
            cache.put(i * 7919 % 313, i, i * 31 % 400);
            assert!(cache.bytes() <= cache.budget());
            assert_eq!(cache.bytes(), cache.entries.values().map(|e| e.bytes).sum::<usize>());
        }
    }
}
