//! The shape of a layer's output, from its inputs' shapes: checked once, when a network is built, so that a run
//! cannot fail on shape.

use crate::error::{Error, Result};
use crate::network::layer::Layer;
use crate::tensor::Shape;

/// More numbers than this in one picture's maps are refused: a corrupt file, not a network.
const MOST: usize = 1 << 31;

/// The output of `layer`, named `node`, over `inputs`.
pub fn output_shape(node: &str, layer: &Layer, inputs: &[Shape]) -> Result<Shape> {
    let wrong = |expected: String, found: String| Error::Shape { node: node.to_owned(), expected, found };
    let arity = |ok: bool, expected: &str| {
        if ok { Ok(()) } else { Err(wrong(expected.to_owned(), format!("{} inputs", inputs.len()))) }
    };
    match layer {
        Layer::Input { .. } => arity(inputs.is_empty(), "no inputs")?,
        Layer::Concat | Layer::Add => arity(!inputs.is_empty(), "at least one input")?,
        _ => arity(inputs.len() == 1, "one input")?,
    }
    let x = inputs.first().copied().unwrap_or(Shape::new(0, 0, 0));
    let fit = |out: Option<[usize; 2]>, extent: [usize; 2]| {
        out.filter(|o| o[0] > 0 && o[1] > 0).ok_or_else(|| {
            wrong(format!("maps of at least {}×{} with their padding", extent[0], extent[1]), x.to_string())
        })
    };
    let shape = match layer {
        Layer::Input { shape } => *shape,
        Layer::Conv2d { geometry, out_channels, groups, .. } => {
            sane(geometry.kernel, geometry.stride, geometry.dilation, geometry.pads)
                .map_err(|what| wrong("a sound kernel".into(), what))?;
            if *groups == 0 || *out_channels == 0 || x.c % groups != 0 || out_channels % groups != 0 {
                return Err(wrong(
                    format!("channels in and out that {groups} groups divide"),
                    format!("{} in, {out_channels} out", x.c),
                ));
            }
            let [h, w] = fit(geometry.out_size(x.size(), false), geometry.extent())?;
            Shape::new(*out_channels, h, w)
        }
        Layer::ConvTranspose2d { geometry, out_channels, groups, output_padding, .. } => {
            sane(geometry.kernel, geometry.stride, geometry.dilation, geometry.pads)
                .map_err(|what| wrong("a sound kernel".into(), what))?;
            if *groups == 0 || *out_channels == 0 || x.c % groups != 0 || out_channels % groups != 0 {
                return Err(wrong(
                    format!("channels in and out that {groups} groups divide"),
                    format!("{} in, {out_channels} out", x.c),
                ));
            }
            let mut size = [0; 2];
            for i in 0..2 {
                let whole = (x.size()[i].max(1) - 1) * geometry.stride[i] + geometry.extent()[i] + output_padding[i];
                size[i] =
                    whole.checked_sub(geometry.pads[i] + geometry.pads[i + 2]).filter(|&n| n > 0).ok_or_else(|| {
                        wrong(format!("pads below {whole}"), format!("{} + {}", geometry.pads[i], geometry.pads[i + 2]))
                    })?;
                if output_padding[i] >= geometry.stride[i].max(geometry.dilation[i]) {
                    return Err(wrong(
                        format!("output padding below the stride {} or dilation", geometry.stride[i]),
                        output_padding[i].to_string(),
                    ));
                }
            }
            Shape::new(*out_channels, size[0], size[1])
        }
        Layer::Linear { outputs, .. } => Shape::vector(*outputs),
        Layer::MaxPool2d { geometry, ceil } | Layer::AvgPool2d { geometry, ceil, .. } => {
            sane(geometry.kernel, geometry.stride, geometry.dilation, geometry.pads)
                .map_err(|what| wrong("a sound window".into(), what))?;
            if matches!(layer, Layer::MaxPool2d { .. }) && geometry.kernel[0] * geometry.kernel[1] > 256 {
                return Err(wrong(
                    "a pooling window of at most 256 cells (a switch is one byte)".into(),
                    format!("{}×{}", geometry.kernel[0], geometry.kernel[1]),
                ));
            }
            for i in 0..2 {
                if geometry.pads[i] >= geometry.extent()[i] || geometry.pads[i + 2] >= geometry.extent()[i] {
                    return Err(wrong("pads smaller than the window".into(), format!("{:?}", geometry.pads)));
                }
            }
            let [h, w] = fit(geometry.out_size(x.size(), *ceil), geometry.extent())?;
            Shape::new(x.c, h, w)
        }
        Layer::GlobalAvgPool | Layer::GlobalMaxPool => Shape::vector(x.c),
        Layer::Flatten => Shape::vector(x.len()),
        Layer::Lrn { size, .. } if *size == 0 => return Err(wrong("a size of at least 1".into(), "0".into())),
        Layer::Affine { .. }
        | Layer::Relu
        | Layer::LeakyRelu { .. }
        | Layer::Clip { .. }
        | Layer::Lrn { .. }
        | Layer::Identity
        | Layer::Softmax { .. }
        | Layer::LogSoftmax { .. } => x,
        Layer::Concat => {
            let mut c = 0;
            for s in inputs {
                if s.size() != x.size() {
                    return Err(wrong(format!("maps of {}×{} from every input", x.h, x.w), s.to_string()));
                }
                c += s.c;
            }
            Shape::new(c, x.h, x.w)
        }
        Layer::Add => {
            if let Some(s) = inputs.iter().find(|&&s| s != x) {
                return Err(wrong(format!("{x} from every input"), s.to_string()));
            }
            x
        }
        Layer::Pad { pads, .. } => Shape::new(x.c, x.h + pads[0] + pads[2], x.w + pads[1] + pads[3]),
    };
    let numbers = shape.c.checked_mul(shape.h).and_then(|n| n.checked_mul(shape.w));
    match numbers {
        Some(1..=MOST) => Ok(shape),
        _ => Err(wrong(format!("between 1 and {MOST} numbers a picture"), shape.to_string())),
    }
}

/// Kernels whose arithmetic cannot overflow.
fn sane(kernel: [usize; 2], stride: [usize; 2], dilation: [usize; 2], pads: [usize; 4]) -> Result<(), String> {
    const LARGE: usize = 1 << 20;
    if kernel.iter().chain(&stride).chain(&dilation).any(|&n| n == 0 || n > LARGE) || pads.iter().any(|&n| n > LARGE) {
        return Err(format!("kernel {kernel:?}, strides {stride:?}, dilations {dilation:?}, pads {pads:?}"));
    }
    Ok(())
}
