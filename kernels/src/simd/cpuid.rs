//! What the CPUID instruction says of the data caches and of the width of the vector units.

use std::arch::x86_64::{__cpuid_count, CpuidResult};
use std::sync::OnceLock;

/// Bytes of the data caches of levels 1 to 3; 0 where the processor does not say.
pub(crate) fn caches() -> [usize; 3] {
    let mut found = [0; 3];
    // AMD describes its caches in an extended leaf of the same form.
    let (top, describe) = match amd() {
        true => (leaf(0x8000_0000, 0).eax, 0x8000_001d),
        false => (leaf(0, 0).eax, 4),
    };
    if top < describe {
        return found;
    }
    for i in 0..16 {
        let r = leaf(describe, i);
        let (kind, level) = (r.eax & 31, (r.eax >> 5 & 7) as usize);
        if kind == 0 {
            break;
        }
        // 1 holds data, 3 both data and instructions.
        if (kind == 1 || kind == 3) && (1..=3).contains(&level) {
            let [ways, partitions, line] = [r.ebx >> 22, r.ebx >> 12 & 0x3ff, r.ebx & 0xfff].map(|x| x as usize + 1);
            found[level - 1] = ways * partitions * line * (r.ecx as usize + 1);
        }
    }
    found
}

/// Whether 512-bit vectors take two turns of 256-bit units: Zen 4, the one family with AVX-512 that does so. Asked once, for a
/// virtual machine's monitor answers, and takes its time.
pub(crate) fn halves_512() -> bool {
    static HALVES: OnceLock<bool> = OnceLock::new();
    *HALVES.get_or_init(|| {
        let version = leaf(1, 0).eax;
        let family = (version >> 8 & 0xf) + (version >> 20 & 0xff);
        amd() && family == 0x19
    })
}

/// Whether the vendor is "AuthenticAMD", by how that ends.
fn amd() -> bool {
    leaf(0, 0).ecx == 0x444d_4163
}

fn leaf(leaf: u32, count: u32) -> CpuidResult {
    if cfg!(miri) {
        // It has no such instruction; a processor that says nothing.
        return CpuidResult { eax: 0, ebx: 0, ecx: 0, edx: 0 };
    }
    __cpuid_count(leaf, count)
}
