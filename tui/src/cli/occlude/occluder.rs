//! What slides over the picture, as the command line names it: its size, its shape, what fills it.

use std::fmt;
use std::str::FromStr;

use clap::ValueEnum;
use serde::Serialize;
use switchback_core::Tensor;
use switchback_core::occlusion::{Cover, Fill};
use switchback_core::picture::Picture;
use switchback_core::preprocess::Preprocess;

use super::Arguments;
use crate::cli::failure::Failure;
use crate::cli::input::Loaded;

/// Sigma of a blur: this part of the input's shorter side.
const BLUR: f32 = 28.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FillName {
    Mean,
    Grey,
    Black,
    Noise,
    Blur,
    Colour([u8; 3]),
}

impl FromStr for FillName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let byte = |hex: &str, i: usize| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).expect("two digits");
        Ok(match text {
            "mean" => Self::Mean,
            "grey" | "gray" => Self::Grey,
            "black" => Self::Black,
            "noise" => Self::Noise,
            "blur" => Self::Blur,
            _ => match text.strip_prefix('#').filter(|h| h.len() == 6 && h.bytes().all(|b| b.is_ascii_hexdigit())) {
                Some(hex) => Self::Colour([0, 1, 2].map(|i| byte(hex, i))),
                None => return Err("mean, grey, black, noise, blur, or a colour such as #ff8000".into()),
            },
        })
    }
}

impl fmt::Display for FillName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mean => f.write_str("mean"),
            Self::Grey => f.write_str("grey"),
            Self::Black => f.write_str("black"),
            Self::Noise => f.write_str("noise"),
            Self::Blur => f.write_str("blur"),
            Self::Colour([r, g, b]) => write!(f, "#{r:02x}{g:02x}{b:02x}"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ShapeName {
    /// All of it
    Square,
    /// The circle that fits
    Disc,
}

/// Height and width; one number gives both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size(pub(super) [usize; 2]);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let side = |t: &str| t.parse::<usize>().ok().filter(|&n| n > 0);
        let both = match text.split_once('x') {
            None => side(text).map(|n| [n, n]),
            Some((h, w)) => side(h).zip(side(w)).map(|(h, w)| [h, w]),
        };
        both.map(Self).ok_or_else(|| "a number from 1, or height and width such as 24x48".into())
    }
}

/// Which cells are covered; a mask picture is read here.
pub(super) fn cover(arguments: &Arguments, [height, width]: [usize; 2]) -> anyhow::Result<Cover> {
    if let Some(path) = &arguments.mask {
        let picture = Picture::open(path)?;
        let share = |p: &[u8]| (0.299 * f32::from(p[0]) + 0.587 * f32::from(p[1]) + 0.114 * f32::from(p[2])) / 255.0;
        let shares = picture.rgb.chunks(3).map(|p| share(p).min(1.0)).collect();
        return Ok(Cover::Mask { height: picture.height, width: picture.width, shares });
    }
    match (arguments.shape, height == width) {
        (ShapeName::Square, true) => Ok(Cover::Square),
        (ShapeName::Square, false) => Ok(Cover::Rectangle { height, width }),
        (ShapeName::Disc, true) => Ok(Cover::Disc),
        (ShapeName::Disc, false) => Err(Failure::usage("a disc is as high as it is wide: --size N")),
    }
}

/// The square's contents in the network's input space.
pub(super) fn fill(name: FillName, seed: u64, preprocess: &Preprocess, loaded: &Loaded) -> anyhow::Result<Fill> {
    let shape = loaded.tensor.shape;
    let colour = |rgb: f32| preprocess.colour([rgb; 3], shape);
    Ok(match (name, &loaded.placed) {
        (FillName::Mean, None) => Fill::Constant(vec![0.0; shape.c]),
        // Normalisation takes the mean colour to zero; without a mean there is no such colour.
        (FillName::Mean, Some(_)) if preprocess.mean == [0.0; 3] => Fill::Constant(means(&loaded.tensor)),
        (FillName::Mean, Some(_)) => Fill::Constant(vec![0.0; shape.c]),
        (FillName::Grey, Some(_)) => Fill::Constant(colour(127.5)),
        (FillName::Black, Some(_)) => Fill::Constant(colour(0.0)),
        (FillName::Colour(rgb), Some(_)) => Fill::Constant(preprocess.colour(rgb.map(f32::from), shape)),
        (FillName::Blur, _) => Fill::Blur { sigma: shape.h.min(shape.w) as f32 / BLUR },
        (FillName::Grey | FillName::Black | FillName::Colour(_), None) => {
            return Err(Failure::usage(
                "a tensor has no grey, no black and no colours: nobody knows its normalisation; try --fill mean (0), blur or noise",
            ));
        }
        (FillName::Noise, Some(_)) => {
            let (a, b) = (colour(0.0), colour(255.0));
            let low = a.iter().zip(&b).map(|(x, y)| x.min(*y)).collect();
            let high = a.iter().zip(&b).map(|(x, y)| x.max(*y)).collect();
            Fill::Noise { low, high, seed }
        }
        (FillName::Noise, None) => {
            let channel = |c: usize| loaded.tensor.channel(0, c).iter().copied();
            let low = (0..shape.c).map(|c| channel(c).fold(f32::INFINITY, f32::min)).collect();
            let high = (0..shape.c).map(|c| channel(c).fold(f32::NEG_INFINITY, f32::max)).collect();
            Fill::Noise { low, high, seed }
        }
    })
}

/// The default fill.
pub(crate) fn mean_fill(preprocess: &Preprocess, loaded: &Loaded) -> anyhow::Result<Fill> {
    fill(FillName::Mean, 0, preprocess, loaded)
}

/// Of each channel.
fn means(tensor: &Tensor) -> Vec<f32> {
    let mean = |c: usize| {
        let map = tensor.channel(0, c);
        (map.iter().map(|&x| f64::from(x)).sum::<f64>() / map.len() as f64) as f32
    };
    (0..tensor.shape.c).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use switchback_core::Shape;

    use super::*;

    fn loaded(placed: bool) -> Loaded {
        let picture = switchback_core::picture::Picture { width: 1, height: 2, rgb: vec![0; 6] };
        let tensor = Tensor::single(Shape::new(3, 2, 1), vec![1.0, 3.0, -1.0, 1.0, 5.0, 5.0]);
        Loaded { name: "x".into(), tensor, placed: placed.then_some(picture) }
    }

    #[test]
    fn the_mean_is_zero_unless_there_is_none() {
        let raw = Preprocess::preset("raw").unwrap();
        let caffe = Preprocess::preset("caffe").unwrap();
        let mean = |p: &Preprocess, placed| fill(FillName::Mean, 0, p, &loaded(placed)).unwrap();
        assert_eq!(mean(&caffe, true), Fill::Constant(vec![0.0; 3]));
        assert_eq!(mean(&raw, true), Fill::Constant(vec![2.0, 0.0, 5.0]));
        assert_eq!(mean(&raw, false), Fill::Constant(vec![0.0; 3]));
    }

    #[test]
    fn colours_need_a_picture() {
        let caffe = Preprocess::preset("caffe").unwrap();
        assert!(fill(FillName::Black, 0, &caffe, &loaded(false)).is_err());
        let black = fill(FillName::Black, 0, &caffe, &loaded(true)).unwrap();
        assert_eq!(black, Fill::Constant(vec![-104.0, -117.0, -123.0]));
        let noise = fill(FillName::Noise, 7, &caffe, &loaded(false)).unwrap();
        assert_eq!(noise, Fill::Noise { low: vec![1.0, -1.0, 5.0], high: vec![3.0, 1.0, 5.0], seed: 7 });
    }
}
