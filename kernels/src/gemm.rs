//! C = A·B in five loops around a register tile.
