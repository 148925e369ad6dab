//! Convolutional networks taken apart: import, traced forward passes, deconvnet projections, occlusion maps.
//!
//! ```text
//! file → Picture → Tensor[3,H,W] → Session::run(Keep) → Trace{tensors, switches}
//! Trace + Seed   → projection → Tensor[3,H,W] → Picture
//! Session + mask → occlusion  → Heatmap
//! ```
//!
//! The crate knows no terminal: it prints nothing, parses no arguments and keeps no global state.

pub mod architecture;
pub mod atomic;
pub mod bench;
pub mod error;
pub mod forward;
pub mod import;
pub mod labels;
pub mod model;
pub mod network;
pub mod npy;
pub mod observe;
pub mod occlusion;
pub mod picture;
pub mod plan;
mod pool;
pub mod preprocess;
pub mod progress;
pub mod projection;
pub mod receptive;
pub mod session;
pub mod tensor;
pub mod text;
pub mod trace;
pub mod weights;

pub use error::{Error, Result};
pub use model::Model;
pub use network::{Layer, Network, Node, NodeId};
pub use progress::Progress;
pub use tensor::{Shape, Tensor};

/// What the kernels need to know of the machine; re-exported so that front ends need not depend on the kernels.
pub use switchback_kernels::conv2d::Conv2d;
pub use switchback_kernels::{Cpu, Dtype, Geometry, Level, Threads, Window};
