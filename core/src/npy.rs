//! NumPy's `.npy`: float32 arrays in, float32 arrays out.

use std::path::Path;

use crate::error::Result;
use crate::tensor::{Shape, Tensor};

/// A float32 array of shape (C,H,W) or (1,C,H,W), as the network's input tensor. Checks it against `expected`.
pub fn read_input(_path: &Path, _expected: Shape) -> Result<Tensor> {
    todo!()
}

/// The bytes of a float32 `.npy` file of shape `dims`.
pub fn encode(_dims: &[usize], _data: &[f32]) -> Vec<u8> {
    todo!()
}
