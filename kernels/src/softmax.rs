//! Softmax and its logarithm, with the maximum taken off first.

use crate::Cpu;

/// Over groups of `len` numbers that lie `stride` apart: `data` is `outer × len × stride`, and for each outer index
/// and each of the `stride` places the `len` numbers are normalised. (`stride` 1: rows. Per place of a map: len = channels,
/// stride = height · width.)
pub fn softmax(_cpu: &Cpu, _data: &mut [f32], _len: usize, _stride: usize) {
    todo!()
}

/// The logarithm of [`softmax`].
pub fn log_softmax(_cpu: &Cpu, _data: &mut [f32], _len: usize, _stride: usize) {
    todo!()
}
