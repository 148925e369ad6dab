//! Naive loops.
