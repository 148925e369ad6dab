//! Whether a stopped process would come back.
//!
//! ```text
//! shell (its own group) ─▶ [ script ─▶ switchback ]     one group: the shell above it can continue it
//! sshd (its own session) ─▶ [ switchback ]              an orphan: nobody can
//! ```
//! The kernel does not stop orphaned groups from the terminal for that reason; a process that stops itself must ask.

use rustix::process::{Pid, getpgid, getpgrp, getppid, getsid};

/// Whether somebody in this session but outside this process group started it: a shell with job control.
pub(super) fn can_come_back() -> bool {
    let (group, session) = (getpgrp(), getsid(None));
    let mut above = getppid();
    while let Some(pid) = above {
        if getsid(Some(pid)) != session {
            return false;
        }
        if getpgid(Some(pid)) != Ok(group) {
            return true;
        }
        match parent(pid) {
            // Where the system does not tell, a shell is what is usual.
            None => return true,
            Some(next) => above = next,
        }
    }
    false
}

/// The parent of a process, if it has one; `None` where the system does not tell.
fn parent(pid: Pid) -> Option<Option<Pid>> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    // The name, which may hold anything, ends with the last bracket; then come state and parent.
    let parent: i32 = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
    Some(Pid::from_raw(parent))
}
