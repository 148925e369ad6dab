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
}
