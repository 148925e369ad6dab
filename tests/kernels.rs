//! Every kernel at every level against its naive reference.

#[path = "kernels/conv_pool.rs"]
mod conv_pool;
#[path = "kernels/convolution.rs"]
mod convolution;
#[path = "kernels/gemm.rs"]
mod gemm;
#[cfg(target_os = "linux")]
#[path = "kernels/guard.rs"]
mod guard;
#[path = "kernels/linear.rs"]
mod linear;
#[path = "kernels/maps.rs"]
mod maps;
#[path = "kernels/normalisation.rs"]
mod normalisation;
#[path = "kernels/numbers.rs"]
mod numbers;
#[path = "kernels/overlay.rs"]
mod overlay;
#[path = "kernels/pointwise.rs"]
mod pointwise;
#[path = "kernels/pooling.rs"]
mod pooling;
#[cfg(target_os = "linux")]
#[path = "kernels/protected.rs"]
mod protected;
#[path = "kernels/simd.rs"]
mod simd;
#[path = "kernels/winograd.rs"]
mod winograd;
