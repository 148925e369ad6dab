//! Every kind of layer as one enum: an exhaustive `match` makes a forgotten layer a compile error.

use serde::{Deserialize, Serialize};
use switchback_kernels::Geometry;

/// Which entry of the model's [`WeightStore`](crate::weights::WeightStore).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WeightId(pub usize);

/// What a node computes. Names and meanings are ONNX's and PyTorch's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Layer {
    /// The network's input; always node 0 and only there.
    Input {
        /// `(C, H, W)`
        shape: crate::tensor::Shape,
    },
    /// Convolution; `weight` is `(out_channels, C / groups, kernel)`.
    Conv2d {
        /// Taps, steps and pads.
        #[serde(with = "GeometryDef")]
        geometry: Geometry,
        /// Maps out.
        out_channels: usize,
        /// Groups of channels that do not see each other.
        groups: usize,
        /// The filters.
        weight: WeightId,
        /// One number an output channel.
        bias: Option<WeightId>,
    },
    /// Transposed convolution; `weight` is `(C, out_channels / groups, kernel)`.
    ConvTranspose2d {
        /// Of the convolution that it is the adjoint of.
        #[serde(with = "GeometryDef")]
        geometry: Geometry,
        /// Maps out.
        out_channels: usize,
        /// Groups of channels that do not see each other.
        groups: usize,
        /// Rows and columns added at the far end of the output.
        output_padding: [usize; 2],
        /// The filters.
        weight: WeightId,
        /// One number an output channel.
        bias: Option<WeightId>,
    },
    /// Fully connected, over the flattened input (C, then H, then W).
    Linear {
        /// Numbers out.
        outputs: usize,
        /// `weight` is `(outputs, inputs)`; else `(inputs, outputs)`.
        transposed: bool,
        /// The matrix.
        weight: WeightId,
        /// One number an output.
        bias: Option<WeightId>,
    },
    /// scale·x + shift, one pair a channel: batch normalisation at inference, and arithmetic with constants.
    Affine {
        /// One number a channel.
        scale: WeightId,
        /// One number a channel.
        shift: WeightId,
    },
    /// max(x, 0)
    Relu,
    /// x where x > 0, else slope·x.
    LeakyRelu {
        /// Of the negative side.
        slope: f32,
    },
    /// x within [min, max].
    Clip {
        /// Lower bound; may be −∞.
        #[serde(with = "extended")]
        min: f32,
        /// Upper bound; may be ∞.
        #[serde(with = "extended")]
        max: f32,
    },
    /// The largest of each window; padding never wins, the first of equals in row-major order does.
    MaxPool2d {
        /// Taps, steps and pads.
        #[serde(with = "GeometryDef")]
        geometry: Geometry,
        /// Keep a last window that hangs over.
        ceil: bool,
    },
    /// The mean of each window.
    AvgPool2d {
        /// Taps, steps and pads.
        #[serde(with = "GeometryDef")]
        geometry: Geometry,
        /// Keep a last window that hangs over.
        ceil: bool,
        /// Padding counts as cells (zeros); cells beyond the padding never do.
        count_include_pad: bool,
    },
    /// The mean of each map.
    GlobalAvgPool,
    /// The largest of each map.
    GlobalMaxPool,
    /// x / (k + alpha / size · Σ x²)^beta over `size` neighbouring channels.
    Lrn {
        /// Channels of the sum.
        size: usize,
        /// Weight of the sum.
        alpha: f32,
        /// Exponent.
        beta: f32,
        /// Constant.
        k: f32,
    },
    /// To a vector.
    Flatten,
    /// Passes its input on: dropout at inference, a cast or reshape that changes nothing.
    Identity,
    /// Channels of all inputs, one after the other.
    Concat,
    /// The sum of all inputs.
    Add,
    /// Rows and columns of `value` around each map: top, left, bottom, right.
    Pad {
        /// Top, left, bottom, right.
        pads: [usize; 4],
        /// What stands there.
        #[serde(with = "extended")]
        value: f32,
    },
    /// eˣ / Σ eˣ
    Softmax {
        /// Over channels, height and width together (ONNX before opset 13); else over channels at each place.
        flat: bool,
    },
    /// x − ln Σ eˣ
    LogSoftmax {
        /// As in `Softmax`.
        flat: bool,
    },
}

impl Layer {
    /// The word for it in tables and JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            Layer::Input { .. } => "input",
            Layer::Conv2d { .. } => "conv2d",
            Layer::ConvTranspose2d { .. } => "conv_transpose2d",
            Layer::Linear { .. } => "linear",
            Layer::Affine { .. } => "affine",
            Layer::Relu => "relu",
            Layer::LeakyRelu { .. } => "leaky_relu",
            Layer::Clip { .. } => "clip",
            Layer::MaxPool2d { .. } => "max_pool2d",
            Layer::AvgPool2d { .. } => "avg_pool2d",
            Layer::GlobalAvgPool => "global_avg_pool",
            Layer::GlobalMaxPool => "global_max_pool",
            Layer::Lrn { .. } => "lrn",
            Layer::Flatten => "flatten",
            Layer::Identity => "identity",
            Layer::Concat => "concat",
            Layer::Add => "add",
            Layer::Pad { .. } => "pad",
            Layer::Softmax { .. } => "softmax",
            Layer::LogSoftmax { .. } => "log_softmax",
        }
    }

    /// The weights that it reads.
    pub fn weights(&self) -> Vec<WeightId> {
        match self {
            Layer::Conv2d { weight, bias, .. }
            | Layer::ConvTranspose2d { weight, bias, .. }
            | Layer::Linear { weight, bias, .. } => [Some(*weight), *bias].into_iter().flatten().collect(),
            Layer::Affine { scale, shift } => vec![*scale, *shift],
            Layer::Input { .. }
            | Layer::Relu
            | Layer::LeakyRelu { .. }
            | Layer::Clip { .. }
            | Layer::MaxPool2d { .. }
            | Layer::AvgPool2d { .. }
            | Layer::GlobalAvgPool
            | Layer::GlobalMaxPool
            | Layer::Lrn { .. }
            | Layer::Flatten
            | Layer::Identity
            | Layer::Concat
            | Layer::Add
            | Layer::Pad { .. }
            | Layer::Softmax { .. }
            | Layer::LogSoftmax { .. } => Vec::new(),
        }
    }
}

/// How a [`Geometry`] is written in JSON.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Geometry", deny_unknown_fields)]
struct GeometryDef {
    kernel: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
    pads: [usize; 4],
}

/// JSON has no infinity: a bound that is not finite is written as the text `inf` or `-inf`.
mod extended {
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(x: &f32, s: S) -> Result<S::Ok, S::Error> {
        if x.is_finite() { s.serialize_f32(*x) } else { s.serialize_str(if *x > 0.0 { "inf" } else { "-inf" }) }
    }

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Finite(f32),
        Text(String),
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<f32, D::Error> {
        match Number::deserialize(d)? {
            Number::Finite(x) => Ok(x),
            Number::Text(t) if t == "inf" => Ok(f32::INFINITY),
            Number::Text(t) if t == "-inf" => Ok(f32::NEG_INFINITY),
            Number::Text(_) => Err(de::Error::custom("expected a number, \"inf\" or \"-inf\"")),
        }
    }
}
