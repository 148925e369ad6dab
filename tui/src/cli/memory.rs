//! What runs take beside the model file, as `layers` and `doctor` show it.

use serde::Serialize;
use switchback_core::session::{MemoryUse, Session};

use super::table::bytes;

/// Bytes to classify one picture.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Memory {
    activations: u64,
    kept: u64,
    filters: u64,
    halves: u64,
    total: u64,
}

impl Memory {
    /// Of one picture with `session`'s options.
    pub(crate) fn to_classify(session: &Session) -> Self {
        let used = session.memory_use(&session.keep_scores(), 1);
        let MemoryUse { activations, kept, filters, halves } = used;
        Self { activations, kept, filters, halves, total: used.total() }
    }

    /// `3.9 MiB of activations, 4.7 MiB of packed filters`
    pub(crate) fn text(&self) -> String {
        let activations = bytes(self.activations + self.kept);
        let mut text = format!("{activations} of activations, {} of packed filters", bytes(self.filters));
        if self.halves > 0 {
            text += &format!(", {} of linear weights as f16", bytes(self.halves));
        }
        text
    }
}
