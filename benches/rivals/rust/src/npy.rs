//! The little of `.npy` that is needed here: float32 arrays written by NumPy, vectors written for it.

use crate::Result;

/// The numbers of a version 1 file.
pub fn read(path: &str) -> Result<Vec<f32>> {
    let bytes = std::fs::read(path)?;
    let header = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    Ok(bytes[header..].as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect())
}

/// A vector.
pub fn write(path: &str, numbers: &[f32]) -> Result<()> {
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({},), }}", numbers.len());
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend_from_slice(&(header.len() as u16).to_le_bytes());
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend(numbers.iter().flat_map(|x| x.to_le_bytes()));
    Ok(std::fs::write(path, bytes)?)
}
