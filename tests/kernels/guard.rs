//! Buffers that touch a page which nobody may read or write: one element too far ends the process. (Miri needs no such pages:
//! it knows where every buffer ends, and has tests run on ordinary memory alone.)
//!
//! ```text
//! End:    ……………[elements]|protected        Start:   protected|[elements]……………
//! ```

use std::ops::{Deref, DerefMut, Range};
use std::process::Command;

use bytemuck::Pod;
use memmap2::MmapMut;
use rustix::mm::{MprotectFlags, mprotect};

/// Where a buffer lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Anywhere.
    Heap,
    /// Right after a protected page.
    Start,
    /// Right before a protected page.
    End,
}

/// A slice at a [`Place`].
pub(crate) enum Guarded<T> {
    Heap(Vec<T>),
    Mapped { map: MmapMut, bytes: Range<usize> },
}

impl<T: Pod> Guarded<T> {
    /// A copy of `elements`.
    pub(crate) fn new(place: Place, elements: &[T]) -> Self {
        if place == Place::Heap {
            return Self::Heap(elements.to_vec());
        }
        let page = rustix::param::page_size();
        let need = size_of_val(elements);
        let room = need.next_multiple_of(page);
        let mut map = MmapMut::map_anon(room + 2 * page).expect("memory for a guarded buffer");
        let start = match place {
            Place::Start => page,
            _ => page + room - need,
        };
        map[start..start + need].copy_from_slice(bytemuck::cast_slice(elements));
        for guard in [0, page + room] {
            // SAFETY: the page is a whole one of `map`, which stays alive as long as this buffer; nothing reads it again but
            // a kernel that is at fault, and `deref` hands out the room between the two guards alone.
            unsafe { mprotect(map.as_mut_ptr().add(guard).cast(), page, MprotectFlags::empty()) }
                .expect("a guard page");
        }
        Self::Mapped { map, bytes: start..start + need }
    }
}

impl<T: Pod> Deref for Guarded<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::Heap(elements) => elements,
            Self::Mapped { map, bytes } => bytemuck::cast_slice(&map[bytes.clone()]),
        }
    }
}

impl<T: Pod> DerefMut for Guarded<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        match self {
            Self::Heap(elements) => elements,
            Self::Mapped { map, bytes } => bytemuck::cast_slice_mut(&mut map[bytes.clone()]),
        }
    }
}

/// What the child of `guards_are_felt` does.
const TOUCH: &str = "SWITCHBACK_TEST_TOUCH";

#[test]
#[ignore = "run by `guards_are_felt` in a process of its own"]
fn touch() {
    let Ok(how) = std::env::var(TOUCH) else { return };
    let (place, step) = match how.as_str() {
        "end" => (Place::End, 7),
        "start" => (Place::Start, -1),
        _ => (Place::End, 6),
    };
    let buffer = Guarded::new(place, &[1.0f32; 7]);
    // SAFETY: for `inside` the seventh of seven elements. The other two read a protected page on purpose: the process ends.
    let x = unsafe { buffer.as_ptr().offset(step).read_volatile() };
    assert_eq!(x, 1.0);
}

#[test]
#[cfg_attr(miri, ignore = "there are no processes and no pages")]
fn guards_are_felt() {
    let touch = |how: &str| {
        let mut child = Command::new(std::env::current_exe().expect("this test's own program"));
        child.args(["guard::touch", "--exact", "--ignored"]).env(TOUCH, how);
        child.output().expect("a child process").status
    };
    assert!(touch("inside").success(), "the last element is there");
    for how in ["end", "start"] {
        let status = touch(how);
        assert!(status.code().is_none(), "one element past the {how}: {status}, expected a signal");
    }
}
