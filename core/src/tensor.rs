//! A batch of feature maps that owns its numbers: `batch × (C, H, W)`, row-major. Vectors are `(C, 1, 1)`.

use std::fmt;

use serde::{Deserialize, Serialize};
use switchback_kernels::{Maps, MapsMut};

/// Channels, height and width of one picture's maps.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "[usize; 3]", into = "[usize; 3]")]
pub struct Shape {
    /// Channels.
    pub c: usize,
    /// Rows.
    pub h: usize,
    /// Columns.
    pub w: usize,
}

impl Shape {
    /// `(c, h, w)`
    pub const fn new(c: usize, h: usize, w: usize) -> Self {
        Self { c, h, w }
    }

    /// A vector of `c` numbers.
    pub const fn vector(c: usize) -> Self {
        Self { c, h: 1, w: 1 }
    }

    /// Numbers in all.
    pub const fn len(&self) -> usize {
        self.c * self.h * self.w
    }

    /// Has no numbers.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `[height, width]`
    pub const fn size(&self) -> [usize; 2] {
        [self.h, self.w]
    }

    /// Has more than one place.
    pub const fn is_spatial(&self) -> bool {
        self.h * self.w > 1
    }
}

impl From<[usize; 3]> for Shape {
    fn from([c, h, w]: [usize; 3]) -> Self {
        Self { c, h, w }
    }
}

impl From<Shape> for [usize; 3] {
    fn from(s: Shape) -> Self {
        [s.c, s.h, s.w]
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({}, {}, {})", self.c, self.h, self.w)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}×{}×{}", self.c, self.h, self.w)
    }
}

/// `batch` pictures of maps.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Pictures.
    pub batch: usize,
    /// Of each picture.
    pub shape: Shape,
    /// `batch × c × h × w` numbers.
    pub data: Vec<f32>,
}

impl Tensor {
    /// All zeros.
    pub fn zeros(batch: usize, shape: Shape) -> Self {
        Self { batch, shape, data: vec![0.0; batch * shape.len()] }
    }

    /// One picture; panics unless `data` has `shape.len()` numbers.
    pub fn single(shape: Shape, data: Vec<f32>) -> Self {
        assert_eq!(data.len(), shape.len(), "{} numbers for a shape of {shape}", data.len());
        Self { batch: 1, shape, data }
    }

    /// The numbers of picture `n`.
    pub fn picture(&self, n: usize) -> &[f32] {
        &self.data[n * self.shape.len()..(n + 1) * self.shape.len()]
    }

    /// Channel `c` of picture `n`, row by row.
    pub fn channel(&self, n: usize, c: usize) -> &[f32] {
        let plane = self.shape.h * self.shape.w;
        &self.picture(n)[c * plane..(c + 1) * plane]
    }

    /// For the kernels.
    pub fn maps(&self) -> Maps<'_> {
        Maps::new(&self.data, self.batch, self.shape.c, self.shape.size())
    }

    /// For the kernels to write.
    pub fn maps_mut(&mut self) -> MapsMut<'_> {
        MapsMut::new(&mut self.data, self.batch, self.shape.c, self.shape.size())
    }
}
