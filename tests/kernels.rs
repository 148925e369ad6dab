//! Every kernel at every level against its naive reference.

#[path = "kernels/simd.rs"]
mod simd;
