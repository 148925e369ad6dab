//! A buffer of `f32` that starts at a multiple of 64 bytes, so that no vector of a packed panel crosses a cache line.
//!
//! A large one is a mapping of its own: its zeros cost nothing until they are touched, by whichever thread works there, and
//! huge pages are asked for, so that touching takes one fault for 2 MiB instead of 512.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use memmap2::MmapMut;

/// Zero-initialised, 64-byte aligned, of fixed length.
pub struct AlignedBuf {
    data: NonNull<f32>,
    len: usize,
    /// Where `data` lies, unless the allocator gave it.
    map: Option<MmapMut>,
}

const ALIGN: usize = 64;

/// Bytes from which a buffer is a mapping: a huge page.
const LARGE: usize = 2 << 20;

impl AlignedBuf {
    /// `len` zeros.
    pub fn zeroed(len: usize) -> Self {
        if len == 0 {
            return Self { data: NonNull::dangling(), len, map: None };
        }
        let layout = Self::layout(len);
        if layout.size() >= LARGE
            && let Some(large) = Self::mapped(len, layout)
        {
            return large;
        }
        // SAFETY: the layout has a non-zero size, since `len` is at least 1.
        let raw = unsafe { alloc_zeroed(layout) };
        let Some(data) = NonNull::new(raw.cast::<f32>()) else { handle_alloc_error(layout) };
        Self { data, len, map: None }
    }

    /// In a mapping of its own; `None` where the system gives none.
    fn mapped(len: usize, layout: Layout) -> Option<Self> {
        let mut map = MmapMut::map_anon(layout.size()).ok()?;
        // Where huge pages are not to be had, small ones do. (Miri knows no advice to the system.)
        #[cfg(all(target_os = "linux", not(miri)))]
        drop(map.advise(memmap2::Advice::HugePage));
        let data =
            NonNull::new(map.as_mut_ptr().cast::<f32>()).filter(|data| data.addr().get().is_multiple_of(ALIGN))?;
        Some(Self { data, len, map: Some(map) })
    }

    /// `buffer` as it is where it holds at least `len` numbers, else `len` zeros.
    pub(crate) fn reused(buffer: Option<Self>, len: usize) -> Self {
        buffer.filter(|b| b.len() >= len).unwrap_or_else(|| Self::zeroed(len))
    }

    fn layout(len: usize) -> Layout {
        let bytes = len.checked_mul(size_of::<f32>()).expect("buffer length overflows");
        Layout::from_size_align(bytes, ALIGN).expect("buffer length overflows")
    }
}

impl Deref for AlignedBuf {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: `data` holds `len` initialised floats (zeroed at the start; of a mapping that `map` keeps, nothing else
        // refers to), or dangles where `len` is 0.
        unsafe { std::slice::from_raw_parts(self.data.as_ptr(), self.len) }
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `deref`, and `&mut self` makes the borrow unique.
        unsafe { std::slice::from_raw_parts_mut(self.data.as_ptr(), self.len) }
    }
}

/// Says no more of itself than its size.
impl fmt::Debug for AlignedBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AlignedBuf({} floats)", self.len)
    }
}

impl Drop for AlignedBuf {
    fn drop(&mut self) {
        if self.len > 0 && self.map.is_none() {
            // SAFETY: allocated in `zeroed` with this very layout.
            unsafe { dealloc(self.data.as_ptr().cast(), Self::layout(self.len)) }
        }
    }
}

// SAFETY: the buffer owns its floats, as a `Vec<f32>` does.
unsafe impl Send for AlignedBuf {}
// SAFETY: shared access only reads.
unsafe impl Sync for AlignedBuf {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_aligned_zeroed_and_writable() {
        let large = if cfg!(miri) { [17; 3] } else { [LARGE / 4 - 1, LARGE / 4, LARGE + 5] };
        for len in [0, 1, 15, 16, 1000].into_iter().chain(large) {
            let mut buf = AlignedBuf::zeroed(len);
            assert_eq!(buf.len(), len);
            assert!(buf.iter().all(|&x| x == 0.0));
            buf.fill(1.0);
            assert_eq!(buf.iter().filter(|&&x| x == 1.0).count(), len);
            assert!(len == 0 || buf.as_ptr().addr().is_multiple_of(ALIGN));
        }
    }
}
