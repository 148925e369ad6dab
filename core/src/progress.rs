//! How a long call reports and is cancelled: one callback, `FnMut(Progress) -> ControlFlow<()>`.

/// How far a long call has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being counted, in the plural: `positions`, `pictures`.
    pub what: &'static str,
    /// Finished.
    pub done: usize,
    /// To do in all.
    pub total: usize,
}
