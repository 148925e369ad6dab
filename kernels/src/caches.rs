//! The data caches that the processor reports: what block sizes follow from.

use std::sync::OnceLock;

/// Sizes in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caches {
    /// First level of a core.
    pub(crate) l1: usize,
    /// Second level of a core.
    pub(crate) l2: usize,
    /// A core's fair part of the last level, which other programs use as well.
    pub(crate) share: usize,
}

impl Caches {
    /// Of this machine; asked once.
    pub(crate) fn get() -> Self {
        static FOUND: OnceLock<Caches> = OnceLock::new();
        *FOUND.get_or_init(|| {
            let [l1, l2, l3] = levels();
            let l1 = if l1 == 0 { 32 << 10 } else { l1 };
            let l2 = if l2 == 0 { 256 << 10 } else { l2 };
            Self { l1, l2, share: (l3 / 8).clamp(l2, 4 << 20) }
        })
    }
}

/// Bytes of the data caches of levels 1 to 3; 0 where the processor does not say.
fn levels() -> [usize; 3] {
    #[cfg(target_arch = "x86_64")]
    return crate::simd::cpuid_caches();
    #[cfg(not(target_arch = "x86_64"))]
    [0; 3]
}
