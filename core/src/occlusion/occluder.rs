//! What covers the picture at one place: a rectangle of numbers, all of it or a share of each pixel, over the clean ones.
//!
//! ```text
//! out = clean + cover · (fill − clean)      cover: 1 everywhere (square, rectangle), a disc, or a mask picture
//! ```

use crate::architecture::Random;
use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// What the square is filled with, in the network's input space.
#[derive(Clone, Debug, PartialEq)]
pub enum Fill {
    /// One number a channel.
    Constant(Vec<f32>),
    /// Uniform between two numbers a channel, the same noise at every position.
    Noise {
        /// Lower bound a channel.
        low: Vec<f32>,
        /// Upper bound a channel.
        high: Vec<f32>,
        /// Of the generator.
        seed: u64,
    },
    /// The picture itself under a Gaussian.
    Blur {
        /// In input pixels.
        sigma: f32,
    },
}

/// Which cells the occluder covers.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Cover {
    /// All of a square of [`Settings::size`](super::Settings::size).
    #[default]
    Square,
    /// The circle in a square of [`Settings::size`](super::Settings::size).
    Disc,
    /// All of a rectangle, in input pixels.
    Rectangle {
        /// In pixels.
        height: usize,
        /// In pixels.
        width: usize,
    },
    /// A share of each pixel: 0 leaves it as it is, 1 puts the fill there.
    Mask {
        /// In pixels.
        height: usize,
        /// In pixels.
        width: usize,
        /// `height × width`, from 0 to 1.
        shares: Vec<f32>,
    },
}

/// Ready to be laid anywhere on one picture.
pub(super) struct Occluder {
    /// `[height, width]`
    pub(super) size: [usize; 2],
    fill: Content,
    /// A share for each cell; `None`: all of every cell.
    cover: Option<Vec<f32>>,
}

enum Content {
    /// `channels × height × width`, the same at every place.
    Numbers(Vec<f32>),
    /// A picture of the input's shape, seen through the cover.
    Picture(Tensor),
}

impl Occluder {
    /// For pictures like `picture`, which a blur also looks at.
    pub(super) fn new(size: usize, cover: &Cover, fill: &Fill, picture: &Tensor) -> Result<Self> {
        let size = cover.size(size);
        let cells = size[0] * size[1];
        let cover = match cover {
            Cover::Square | Cover::Rectangle { .. } => None,
            Cover::Disc => Some(disc(size[0])),
            Cover::Mask { shares, .. } => {
                if shares.len() != cells || shares.iter().any(|s| !(0.0..=1.0).contains(s)) {
                    let expected = format!("{}×{} shares from 0 to 1", size[0], size[1]);
                    return Err(Error::Invalid(format!("a mask of {} numbers where {expected} go", shares.len())));
                }
                Some(shares.clone())
            }
        };
        let fill = match fill {
            Fill::Blur { sigma } => Content::Picture(blurred(picture, *sigma)?),
            fill => Content::Numbers(fill.numbers(cells, picture.shape.c)?),
        };
        Ok(Self { size, fill, cover })
    }

    /// Whether the numbers are the same wherever it lies.
    pub(super) fn is_fixed(&self) -> bool {
        self.cover.is_none() && matches!(self.fill, Content::Numbers(_))
    }

    /// `channels × height × width` numbers with the top left corner at `[y, x]` of `picture`.
    pub(super) fn at(&self, picture: &Tensor, [y, x]: [usize; 2]) -> Vec<f32> {
        let [height, width] = self.size;
        let shape = picture.shape;
        let mut out = Vec::with_capacity(shape.c * height * width);
        for c in 0..shape.c {
            for i in 0..height {
                let start = (y + i) * shape.w + x;
                let clean = &picture.channel(0, c)[start..start + width];
                let fill = match &self.fill {
                    Content::Numbers(numbers) => &numbers[(c * height + i) * width..][..width],
                    Content::Picture(blurred) => &blurred.channel(0, c)[start..start + width],
                };
                match &self.cover {
                    None => out.extend_from_slice(fill),
                    Some(cover) => {
                        let shares = &cover[i * width..(i + 1) * width];
                        out.extend(clean.iter().zip(fill).zip(shares).map(|((a, b), s)| match *s {
                            1.0 => *b,
                            s => a + s * (b - a),
                        }));
                    }
                }
            }
        }
        out
    }

    /// Lays it over picture `n` of `tensor`, where `picture` is the clean one.
    pub(super) fn paint(&self, tensor: &mut Tensor, n: usize, picture: &Tensor, [y, x]: [usize; 2]) {
        let [height, width] = self.size;
        let numbers = self.at(picture, [y, x]);
        let mut maps = tensor.maps_mut();
        for (row, values) in numbers.chunks(width).enumerate() {
            maps.row_mut(n, row / height, y + row % height)[x..x + width].copy_from_slice(values);
        }
    }
}

impl Fill {
    /// `channels × cells` numbers; a blur, which depends on the picture, is laid by the `Occluder`.
    fn numbers(&self, cells: usize, channels: usize) -> Result<Vec<f32>> {
        let check = |given: usize| match given == channels {
            true => Ok(()),
            false => Err(Error::Invalid(format!("a fill of {given} channels for an input of {channels}"))),
        };
        match self {
            Fill::Blur { .. } => unreachable!("looks at the picture"),
            Fill::Constant(values) => {
                check(values.len())?;
                Ok(values.iter().flat_map(|&v| std::iter::repeat_n(v, cells)).collect())
            }
            Fill::Noise { low, high, seed } => {
                check(low.len())?;
                check(high.len())?;
                let mut noise = Random::new(*seed);
                let bounds = low.iter().zip(high);
                Ok(bounds
                    .flat_map(|(l, h)| (0..cells).map(|_| l + (h - l) * noise.unit()).collect::<Vec<_>>())
                    .collect())
            }
        }
    }
}

impl Cover {
    /// `[height, width]` where squares and discs are `size` across.
    pub fn size(&self, size: usize) -> [usize; 2] {
        match *self {
            Cover::Square | Cover::Disc => [size; 2],
            Cover::Rectangle { height, width } | Cover::Mask { height, width, .. } => [height, width],
        }
    }
}

/// Shares of cells within the circle that fits: by 8 × 8 points in each.
fn disc(size: usize) -> Vec<f32> {
    const POINTS: usize = 8;
    let radius = size as f32 / 2.0;
    let offset = |cell: usize, point: usize| cell as f32 + (point as f32 + 0.5) / POINTS as f32 - radius;
    let inside = |y: f32, x: f32| y * y + x * x <= radius * radius;
    let share = |cell: usize| {
        let (y, x) = (cell / size, cell % size);
        let hit = |&point: &usize| inside(offset(y, point / POINTS), offset(x, point % POINTS));
        (0..POINTS * POINTS).filter(hit).count() as f32 / (POINTS * POINTS) as f32
    };
    (0..size * size).map(share).collect()
}

/// Picture 0 under a Gaussian of `sigma` pixels, cut at three sigma; beyond its border the picture goes on as at it.
fn blurred(picture: &Tensor, sigma: f32) -> Result<Tensor> {
    if !(sigma > 0.0 && sigma <= 1e3) {
        return Err(Error::Invalid(format!("a blur of {sigma} pixels: more than 0, at most 1000")));
    }
    let reach = (3.0 * sigma).ceil() as isize;
    let mut weights: Vec<f32> = (-reach..=reach).map(|d| (-0.5 * (d as f32 / sigma).powi(2)).exp()).collect();
    let total: f32 = weights.iter().sum();
    weights.iter_mut().for_each(|w| *w /= total);
    let shape = picture.shape;
    let mut out = Tensor { batch: 1, shape, data: picture.picture(0).to_vec() };
    // Along rows, then along columns.
    for [count, step, lines, next] in [[shape.w, 1, shape.h, shape.w], [shape.h, shape.w, shape.w, 1]] {
        for map in out.data.chunks_mut(shape.h * shape.w) {
            for line in 0..lines {
                let values: Vec<f32> = (0..count).map(|i| map[line * next + i * step]).collect();
                for i in 0..count {
                    let near =
                        |k: usize| values[(i as isize + k as isize - reach).clamp(0, count as isize - 1) as usize];
                    map[line * next + i * step] = weights.iter().enumerate().map(|(k, w)| w * near(k)).sum();
                }
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Shape;

    fn ramp() -> Tensor {
        let shape = Shape::new(2, 6, 7);
        Tensor::single(shape, (0..shape.len()).map(|i| i as f32).collect())
    }

    #[test]
    fn squares_and_rectangles_are_painted_where_they_belong() {
        let picture = ramp();
        let cover = Cover::Rectangle { height: 2, width: 3 };
        let occluder = Occluder::new(9, &cover, &Fill::Constant(vec![-1.0, -2.0]), &picture).unwrap();
        let mut t = Tensor { batch: 2, shape: picture.shape, data: picture.data.repeat(2) };
        occluder.paint(&mut t, 1, &picture, [1, 4]);
        assert_eq!(t.picture(0), picture.data);
        for c in 0..2 {
            for (i, v) in t.channel(1, c).iter().enumerate() {
                let inside = (1..3).contains(&(i / 7)) && (4..7).contains(&(i % 7));
                assert_eq!(*v, if inside { -1.0 - c as f32 } else { picture.channel(0, c)[i] });
            }
        }
        assert!(occluder.is_fixed());
    }

    #[test]
    fn a_disc_leaves_the_corners_and_is_round() {
        let shares = disc(16);
        assert_eq!((shares[0], shares[8 * 16 + 8]), (0.0, 1.0));
        let area: f32 = shares.iter().sum();
        assert!((area - std::f32::consts::PI * 64.0).abs() < 1.0, "{area}");
        let picture = ramp();
        let occluder = Occluder::new(4, &Cover::Disc, &Fill::Constant(vec![9.0; 2]), &picture).unwrap();
        assert!(!occluder.is_fixed());
        let numbers = occluder.at(&picture, [1, 1]);
        assert_eq!(numbers[5], 9.0);
        assert!(numbers[0] != 9.0 && numbers[0] >= picture.data[8]);
    }

    #[test]
    fn masks_mix_and_are_checked() {
        let picture = ramp();
        let mask = |shares: &[f32]| Cover::Mask { height: 1, width: 3, shares: shares.to_vec() };
        let fill = Fill::Constant(vec![100.0; 2]);
        let occluder = Occluder::new(1, &mask(&[0.0, 0.5, 1.0]), &fill, &picture).unwrap();
        assert_eq!(occluder.at(&picture, [0, 0])[..3], [0.0, 50.5, 100.0]);
        for wrong in [&[0.0, 1.0][..], &[0.0, 1.0, 1.5], &[0.0, 1.0, f32::NAN]] {
            assert!(Occluder::new(1, &mask(wrong), &fill, &picture).is_err());
        }
    }

    #[test]
    fn a_blur_keeps_what_is_flat_and_softens_what_is_not() {
        let flat = Tensor::single(Shape::new(1, 5, 5), vec![3.0; 25]);
        assert!(blurred(&flat, 2.0).unwrap().data.iter().all(|v| (v - 3.0).abs() < 1e-5));
        let mut dot = Tensor::zeros(1, Shape::new(1, 21, 21));
        dot.data[10 * 21 + 10] = 1.0;
        let soft = blurred(&dot, 1.5).unwrap().data;
        assert!((soft.iter().sum::<f32>() - 1.0).abs() < 1e-4 && soft[220] < 0.1 && soft[220] > soft[221]);
        assert_eq!(soft[219], soft[221]);
        assert!(blurred(&dot, 0.0).is_err() && blurred(&dot, f32::NAN).is_err());
    }

    #[test]
    fn noise_is_repeatable_and_within_bounds() {
        let fill = |seed| Fill::Noise { low: vec![-1.0, 5.0], high: vec![1.0, 6.0], seed }.numbers(256, 2).unwrap();
        assert_eq!(fill(7), fill(7));
        assert_ne!(fill(7), fill(8));
        let noise = fill(7);
        assert!(noise[..256].iter().all(|x| (-1.0..1.0).contains(x)) && noise[..256].iter().any(|x| *x < -0.5));
        assert!(noise[256..].iter().all(|x| (5.0..6.0).contains(x)));
        assert!(Fill::Constant(vec![0.0]).numbers(4, 3).is_err());
    }
}
