//! Buffers that windows of maps lie in, used again from square to square and from unit to unit.

/// What stands in them is left over from before.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    free: Vec<Vec<f32>>,
}

impl Pool {
    /// At least `len` initialised numbers.
    pub(crate) fn take(&mut self, len: usize) -> Vec<f32> {
        let fits = (0..self.free.len()).filter(|&i| self.free[i].len() >= len);
        match fits.min_by_key(|&i| self.free[i].len()) {
            Some(i) => self.free.swap_remove(i),
            None => vec![0.0; len],
        }
    }

    /// Takes a buffer back.
    pub(crate) fn give(&mut self, buffer: Vec<f32>) {
        self.free.push(buffer);
    }

    /// Lets go of the largest buffers until no more than `most` numbers are kept.
    pub(crate) fn trim(&mut self, most: usize) {
        let mut kept: usize = self.free.iter().map(Vec::len).sum();
        self.free.sort_unstable_by_key(Vec::len);
        while kept > most {
            let Some(largest) = self.free.pop() else { return };
            kept -= largest.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pool_gives_the_closest() {
        let mut pool = Pool::default();
        for len in [10, 1000, 100] {
            pool.give(vec![0.0; len]);
        }
        assert_eq!(pool.take(50).len(), 100);
        assert_eq!(pool.take(50).len(), 1000);
        assert_eq!(pool.take(50).len(), 50);
        assert_eq!(pool.take(10).len(), 10);
    }

    #[test]
    fn a_trimmed_pool_keeps_the_small_buffers() {
        let mut pool = Pool::default();
        for len in [10, 1000, 100] {
            pool.give(vec![0.0; len]);
        }
        pool.trim(110);
        assert_eq!(pool.take(1).len(), 10);
        assert_eq!(pool.take(1).len(), 100);
        assert_eq!(pool.take(1).len(), 1);
        pool.trim(0);
        assert!(pool.free.is_empty());
    }
}
