//! Preprocessing as data: how a picture becomes a network's input tensor.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::model::Model;
use crate::picture::Picture;
use crate::tensor::{Shape, Tensor};

/// How a picture becomes a network's input: x = (pixel · scale / 255 − mean) / std, channel by channel in `order`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocess {
    /// How the picture is brought to size.
    pub resize: Resize,
    /// Side of the crop over the side of what it is cut from; 1 with `squash`.
    pub crop_ratio: f64,
    /// Of the channels.
    pub order: Order,
    /// What the brightest pixel becomes: 255 or 1.
    pub scale: f32,
    /// Subtracted, in `order`.
    pub mean: [f32; 3],
    /// Divided by, in `order`.
    pub std: [f32; 3],
}

/// How a picture is brought to the network's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resize {
    /// Scaled until it covers, then the centre is cut out.
    Cover,
    /// Straight to the size, whatever the aspect.
    Squash,
}

/// Of colour channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// Red first.
    #[serde(rename = "RGB")]
    Rgb,
    /// Blue first.
    #[serde(rename = "BGR")]
    Bgr,
}

/// A record and where it came from; what every JSON repeats.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Chosen {
    /// The record.
    #[serde(flatten)]
    pub record: Preprocess,
    /// `option: caffe`, `model file`, `known model: squeezenet1.1-7`, `default: torchvision`, …
    pub source: String,
    /// Nobody said: the caller must warn aloud.
    #[serde(skip)]
    pub guessed: bool,
}

impl Preprocess {
    /// `torchvision`, `caffe`, `caffe-squash`, `unit` or `raw`.
    pub fn preset(_name: &str) -> Option<Self> {
        todo!()
    }

    /// From a TOML file with the fields of this struct.
    pub fn from_toml(_path: &Path) -> Result<Self> {
        todo!()
    }

    /// What to use for `model`: `asked` (a preset or a TOML file), else what the file records, else the table of
    /// known public models, else `torchvision` as a guess.
    pub fn choose(_asked: Option<&str>, _model: &Model) -> Result<Chosen> {
        todo!()
    }

    /// The picture at the network's size, RGB8: what the network sees, before normalisation.
    pub fn place(&self, _picture: &Picture, _input: Shape) -> Result<Picture> {
        todo!()
    }

    /// A placed picture, normalised, as `(C, H, W)`; C is 1 (grey) or 3.
    pub fn normalise(&self, _placed: &Picture, _input: Shape) -> Result<Tensor> {
        todo!()
    }

    /// An RGB colour (0–255) in the network's input space, one number a channel of `input`.
    pub fn colour(&self, _rgb: [f32; 3], _input: Shape) -> Vec<f32> {
        todo!()
    }
}
