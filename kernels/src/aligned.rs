//! A buffer of `f32` that starts at a multiple of 64 bytes, so that no vector of a packed panel crosses a cache line.
//!
//! A large one is a mapping of its own: its zeros cost nothing until they are touched, by whichever thread works there, and
//! huge pages are asked for, so that touching takes one fault for 2 MiB instead of 512, and weights that come from memory do not
//! wait for addresses to be looked up. Those that last as long as a model share such mappings, end to end: a mapping begins
//! with a huge page, and what its last one has too much goes to the next buffer.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};

use memmap2::MmapMut;

/// Zero-initialised, 64-byte aligned, of fixed length.
pub struct AlignedBuf {
    data: NonNull<f32>,
    len: usize,
    /// Where `data` lies, unless the allocator gave it.
    map: Option<Arc<MmapMut>>,
}

const ALIGN: usize = 64;

/// Floats of a cache line.
pub(crate) const LINE: usize = ALIGN / size_of::<f32>();

/// Bytes from which a buffer is a mapping: a huge page.
const LARGE: usize = 2 << 20;

/// Bytes from which a lasting buffer is part of a mapping: a page.
const SMALL: usize = 4 << 10;

/// Bytes of a mapping that lasting buffers share, those of at most half of it.
const SHARED: usize = 16 * LARGE;

/// The mapping that lasting buffers are cut from, and how much of it is: never the same part twice, so it is zero.
static OPEN: Mutex<Option<(Mapping, usize)>> = Mutex::new(None);

/// A mapping, and where it begins.
struct Mapping {
    data: NonNull<f32>,
    map: Arc<MmapMut>,
}

// SAFETY: `data` is an address within `map`, whose parts each have one owner.
unsafe impl Send for Mapping {}

impl Mapping {
    /// `bytes` zeros from the start of a huge page on; `None` where the system gives none.
    fn new(bytes: usize) -> Option<Self> {
        let mut map = MmapMut::map_anon(bytes.checked_add(LARGE)?).ok()?;
        // Where huge pages are not to be had, small ones do. (Miri knows no advice to the system.)
        #[cfg(all(target_os = "linux", not(miri)))]
        drop(map.advise(memmap2::Advice::HugePage));
        let start = NonNull::new(map.as_mut_ptr().cast::<f32>())?;
        let before = start.addr().get().wrapping_neg() % LARGE;
        // SAFETY: less than a huge page further, which the mapping has beyond `bytes`.
        let data = unsafe { start.byte_add(before) };
        Some(Self { data, map: Arc::new(map) })
    }
}

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
        let Mapping { data, map } = Mapping::new(layout.size())?;
        Some(Self { data, len, map: Some(map) })
    }

    /// `len` zeros that are kept about as long as the others that were made so: packed weights.
    pub(crate) fn lasting(len: usize) -> Self {
        let bytes = Self::layout(len).size().next_multiple_of(ALIGN);
        if !(SMALL..=SHARED / 2).contains(&bytes) || cfg!(miri) {
            return Self::zeroed(len);
        }
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if open.as_ref().is_none_or(|(_, used)| used + bytes > SHARED) {
            *open = Mapping::new(SHARED).map(|mapping| (mapping, 0));
        }
        let Some((mapping, used)) = &mut *open else { return Self::zeroed(len) };
        // SAFETY: `used` and the buffer's bytes are within the mapping (above).
        let data = unsafe { mapping.data.byte_add(*used) };
        *used += bytes;
        Self { data, len, map: Some(mapping.map.clone()) }
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
        // SAFETY: `data` holds `len` initialised floats (zeroed at the start; in a mapping that `map` keeps, a part that
        // nothing else refers to), or dangles where `len` is 0.
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
    fn lasting_buffers_share_mappings_and_nothing_else() {
        let lens =
            [0, 1, 1023, 1024, 1025, 40_000, 300_000, LARGE / 4 - 16, 500_000, 7, 520_000, 4_000_000, SHARED / 8 + 1];
        let mut bufs: Vec<_> = lens.iter().cycle().take(40).map(|&len| AlignedBuf::lasting(len)).collect();
        for (i, buf) in bufs.iter_mut().enumerate() {
            assert_eq!(buf.len(), lens[i % lens.len()]);
            assert!(buf.is_empty() || buf.as_ptr().addr().is_multiple_of(ALIGN));
            assert!(buf.iter().all(|&x| x == 0.0), "buffer {i} is another's");
            buf.fill(i as f32 + 1.0);
        }
        for i in (0..bufs.len()).step_by(2) {
            bufs[i] = AlignedBuf::zeroed(0);
        }
        for (i, buf) in bufs.iter().enumerate() {
            assert!(buf.iter().all(|&x| x == i as f32 + 1.0), "buffer {i} was written by another");
        }
    }

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
            let large = len * size_of::<f32>() >= LARGE;
            assert!(!large || buf.as_ptr().addr().is_multiple_of(LARGE), "{len} floats do not begin a huge page");
        }
    }
}
