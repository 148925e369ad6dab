//! Every kernel at every level against its naive reference.

#[path = "kernels/convolution.rs"]
mod convolution;
#[path = "kernels/gemm.rs"]
mod gemm;
#[path = "kernels/linear.rs"]
mod linear;
#[path = "kernels/numbers.rs"]
mod numbers;
#[path = "kernels/simd.rs"]
mod simd;
