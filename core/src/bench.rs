//! Measuring: what a run costs, how long it takes, what the machine could do at most, and whether the numbers are right.
//!
//! ```text
//! measure   warm up until times are stable ─▶ runs ─▶ Samples{median, p10, p90, min}
//! peak      multiply-adds in registers, reads from each cache ─▶ the roofline
//! cost      floating-point operations and bytes of one step
//! workload  single products and convolutions with operands of their own
//! check     sampled cells of every layer against the naive sums
//! ```

pub mod check;
pub mod cost;
pub mod peak;
pub mod samples;
pub mod workload;

pub use cost::Cost;
pub use samples::{Effort, Measured, Samples, measure, timed};
