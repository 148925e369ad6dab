//! Layers that slide over maps: convolution, its transpose, pooling, padding.
//!
//! ```text
//! SAME      out = ⌈in / stride⌉, pads total (out − 1)·stride + extent − in; an odd cell goes to the end (UPPER)
//!           or to the beginning (LOWER)
//! transpose out = (in − 1)·stride + extent + output_padding − pads
//! ```

use switchback_kernels::Geometry;

use crate::network::Layer;

use super::constant::Constant;
use super::lower::{Lowered, Lowering, Map, Stop, Value, graph_error, shape_error, unsupported};
use super::proto::Node;

/// No extent, stride or pad of a network is larger, and no arithmetic with these can overflow.
const LARGE: i64 = 1 << 20;

/// A pooling window of more cells has no one-byte switch.
const MOST_CELLS: usize = 256;

/// Attribute `auto_pad`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AutoPad {
    /// `pads` says it.
    Notset,
    SameUpper,
    SameLower,
    Valid,
}

/// A window before its input's size is known.
#[derive(Clone, Copy, Debug)]
struct Taps {
    geometry: Geometry,
    auto: AutoPad,
}

impl Taps {
    /// With the pads that an input of `size` gives.
    fn over(self, size: [usize; 2]) -> Geometry {
        let mut geometry = self.geometry;
        if matches!(self.auto, AutoPad::SameUpper | AutoPad::SameLower) {
            let extent = geometry.extent();
            for i in 0..2 {
                let reach = (size[i].div_ceil(geometry.stride[i]).max(1) - 1) * geometry.stride[i] + extent[i];
                let total = reach.saturating_sub(size[i]);
                let less = total / 2;
                (geometry.pads[i], geometry.pads[i + 2]) = match self.auto {
                    AutoPad::SameUpper => (less, total - less),
                    _ => (total - less, less),
                };
            }
        }
        geometry
    }
}

impl<'a> Lowering<'a> {
    pub(super) fn conv(&mut self, node: &Node<'a>) -> Lowered<Value> {
        let filters = self.constant(node, 1, "weights")?;
        let kernel = kernel_of(node, &filters)?;
        let taps = self.taps(node, Some(kernel))?;
        let groups = self.groups(node)?;
        let (out_channels, depth) = (filters.dims[0], filters.dims[1]);
        let bias = self.bias(node, 2, out_channels)?;
        let map = self.map(node, 0)?;
        let shape = self.spatial(node, &map)?;
        if depth.checked_mul(groups) != Some(shape.c) {
            let expected =
                format!("an input of {groups} group(s) of {depth} channels, as its weights {:?} say", filters.dims);
            return Err(shape_error(node, expected, shape.to_string()));
        }
        let geometry = taps.over(shape.size());
        let (weight, bias) = self.weights(node, &filters, bias)?;
        self.emit_maps(node, Layer::Conv2d { geometry, out_channels, groups, weight, bias }, vec![map.node])
    }

    pub(super) fn conv_transpose(&mut self, node: &Node<'a>) -> Lowered<Value> {
        let filters = self.constant(node, 1, "weights")?;
        let kernel = kernel_of(node, &filters)?;
        let taps = self.taps(node, Some(kernel))?;
        let groups = self.groups(node)?;
        let out_channels = filters.dims[1]
            .checked_mul(groups)
            .ok_or_else(|| shape_error(node, "a number of channels", format!("{} × {groups}", filters.dims[1])))?;
        let bias = self.bias(node, 2, out_channels)?;
        let output_padding = self.pair(node, "output_padding", 0)?.unwrap_or([0; 2]);
        let wanted = match self.ints(node, "output_shape")? {
            Some(ints) if ints.len() == 4 => Some(pair_of(node, "output_shape", &ints[2..], 1)?),
            Some(ints) => Some(pair_of(node, "output_shape", &ints, 1)?),
            None => None,
        };
        let map = self.map(node, 0)?;
        let shape = self.spatial(node, &map)?;
        if filters.dims[0] != shape.c {
            let expected = format!("{} input channels, as its weights {:?} say", filters.dims[0], filters.dims);
            return Err(shape_error(node, expected, shape.to_string()));
        }
        let mut geometry = taps.geometry;
        let same = matches!(taps.auto, AutoPad::SameUpper | AutoPad::SameLower);
        for i in 0..2 {
            let out = match wanted {
                Some(out) => out[i],
                None if same => shape.size()[i] * geometry.stride[i],
                None => continue,
            };
            let whole = (shape.size()[i] - 1) * geometry.stride[i] + output_padding[i] + geometry.extent()[i];
            let Some(total) = whole.checked_sub(out) else {
                return unsupported(format!("an output of {out} cells where the kernel reaches {whole}"));
            };
            let less = total / 2;
            (geometry.pads[i], geometry.pads[i + 2]) = match taps.auto {
                AutoPad::SameUpper => (less, total - less),
                _ => (total - less, less),
            };
        }
        let (weight, bias) = self.weights(node, &filters, bias)?;
        let layer = Layer::ConvTranspose2d { geometry, out_channels, groups, output_padding, weight, bias };
        self.emit_maps(node, layer, vec![map.node])
    }

    pub(super) fn max_pool(&mut self, node: &Node<'a>) -> Lowered<Value> {
        let taps = self.taps(node, None)?;
        let [kh, kw] = taps.geometry.kernel;
        if kh * kw > MOST_CELLS {
            return unsupported(format!("a window of {kh}×{kw} cells; at most {MOST_CELLS}, a switch is one byte"));
        }
        let ceil = self.int(node, "ceil_mode")?.unwrap_or(0) != 0;
        let map = self.map(node, 0)?;
        let geometry = taps.over(self.spatial(node, &map)?.size());
        self.emit_maps(node, Layer::MaxPool2d { geometry, ceil }, vec![map.node])
    }

    pub(super) fn average_pool(&mut self, node: &Node<'a>) -> Lowered<Value> {
        let taps = self.taps(node, None)?;
        let ceil = self.int(node, "ceil_mode")?.unwrap_or(0) != 0;
        let count_include_pad = self.int(node, "count_include_pad")?.unwrap_or(0) != 0;
        let map = self.map(node, 0)?;
        let geometry = taps.over(self.spatial(node, &map)?.size());
        self.emit_maps(node, Layer::AvgPool2d { geometry, ceil, count_include_pad }, vec![map.node])
    }

    pub(super) fn global_pool(&mut self, node: &Node<'a>, layer: Layer) -> Lowered<Value> {
        let map = self.map(node, 0)?;
        if !map.batch {
            return Err(shape_error(node, "maps (N, C, …)", map.to_string()));
        }
        let mut rest = vec![1; map.rest.len()];
        rest[0] = map.rest[0];
        self.emit(node, layer, vec![map.node], Map { rest, ..map })
    }

    pub(super) fn pad(&mut self, node: &Node<'a>) -> Lowered<Value> {
        let Some(pads) = self.int_list(node, "pads", 1)? else { return Err(graph_error(node, "has no pads".into())) };
        let axes = self.int_list(node, "axes", 3)?;
        let mode = self.text(node, "mode")?.unwrap_or_else(|| "constant".into());
        let value = match (self.float(node, "value")?, self.optional_constant(node, 2, "constant_value")?) {
            (Some(value), _) => value,
            (None, None) => 0.0,
            (None, Some(c)) => match self.scalar(node, &c)? {
                Some(value) => value,
                None => return Err(shape_error(node, "one constant_value", format!("{:?}", c.dims))),
            },
        };
        let map = self.map(node, 0)?;
        let rank = map.rank();
        let axes = axes.unwrap_or_else(|| (0..rank as i64).collect());
        if pads.len() != 2 * axes.len() {
            return Err(shape_error(node, format!("{} pads", 2 * axes.len()), format!("{}", pads.len())));
        }
        if pads.iter().all(|&p| p == 0) {
            return self.elementwise(node, Layer::Identity);
        }
        if mode != "constant" {
            return unsupported(format!("mode \"{mode}\"; only constant padding is supported"));
        }
        self.spatial(node, &map)?;
        let mut edges = [0; 4];
        for (i, &a) in axes.iter().enumerate() {
            let a = super::lower::axis(node, a, rank)?;
            for (side, p) in [pads[i], pads[axes.len() + i]].into_iter().enumerate() {
                match (a, p) {
                    (_, 0) => {}
                    (2 | 3, 1..=LARGE) => edges[a - 2 + 2 * side] = p as usize,
                    (2 | 3, _) => return unsupported(format!("pads of {p} cells")),
                    _ => return unsupported(format!("pads axis {a}; only height and width are supported")),
                }
            }
        }
        self.emit_maps(node, Layer::Pad { pads: edges, value }, vec![map.node])
    }

    /// Kernel, strides, dilations, pads; `kernel` is what the weights say, if there are any.
    fn taps(&self, node: &Node<'a>, kernel: Option<[usize; 2]>) -> Lowered<Taps> {
        let named = self.pair(node, "kernel_shape", 1)?;
        let kernel = match (named, kernel) {
            (Some(named), Some(kernel)) if named != kernel => {
                return Err(shape_error(
                    node,
                    format!("weights for its kernel_shape {named:?}"),
                    format!("{kernel:?}"),
                ));
            }
            (_, Some(kernel)) | (Some(kernel), None) => kernel,
            (None, None) => return Err(graph_error(node, "has no kernel_shape".into())),
        };
        let auto = match self.text(node, "auto_pad")?.as_deref() {
            None | Some("NOTSET" | "") => AutoPad::Notset,
            Some("SAME_UPPER") => AutoPad::SameUpper,
            Some("SAME_LOWER") => AutoPad::SameLower,
            Some("VALID") => AutoPad::Valid,
            Some(other) => return Err(graph_error(node, format!("its auto_pad \"{other}\" is none of ONNX's"))),
        };
        let mut pads = [0; 4];
        if let Some(ints) = self.ints(node, "pads")?.filter(|_| auto == AutoPad::Notset) {
            if ints.len() != 4 {
                return unsupported(format!("pads {ints:?}: not two-dimensional"));
            }
            for (to, &p) in pads.iter_mut().zip(&ints) {
                match p {
                    0..=LARGE => *to = p as usize,
                    i64::MIN..0 => return unsupported(format!("negative pads {ints:?}")),
                    _ => return Err(shape_error(node, format!("pads of at most {LARGE}"), format!("{ints:?}"))),
                }
            }
        }
        let stride = self.pair(node, "strides", 1)?.unwrap_or([1; 2]);
        let dilation = self.pair(node, "dilations", 1)?.unwrap_or([1; 2]);
        Ok(Taps { geometry: Geometry { kernel, stride, dilation, pads }, auto })
    }

    /// Two numbers, height's first.
    fn pair(&self, node: &Node<'a>, name: &str, least: i64) -> Lowered<Option<[usize; 2]>> {
        self.ints(node, name)?.map(|ints| pair_of(node, name, &ints, least)).transpose()
    }

    fn groups(&self, node: &Node<'a>) -> Lowered<usize> {
        let groups = self.int(node, "group")?.unwrap_or(1);
        match groups {
            1..=LARGE => Ok(groups as usize),
            _ => Err(shape_error(node, format!("between 1 and {LARGE} groups"), groups.to_string())),
        }
    }

    /// The bias, one number a channel.
    fn bias(&mut self, node: &Node<'a>, i: usize, channels: usize) -> Lowered<Option<Constant>> {
        let bias = self.optional_constant(node, i, "bias")?;
        match &bias {
            Some(b) if b.dims != [channels] => {
                Err(shape_error(node, format!("a bias of {channels} numbers"), format!("{:?}", b.dims)))
            }
            _ => Ok(bias),
        }
    }

    fn weights(
        &mut self,
        node: &Node<'a>,
        filters: &Constant,
        bias: Option<Constant>,
    ) -> Lowered<(crate::network::WeightId, Option<crate::network::WeightId>)> {
        let weight = self.weight(node, filters)?;
        let bias = bias.map(|b| self.weight(node, &b)).transpose()?;
        Ok((weight, bias))
    }
}

fn pair_of(node: &Node<'_>, name: &str, ints: &[i64], least: i64) -> Lowered<[usize; 2]> {
    match *ints {
        [y, x] if (least..=LARGE).contains(&y) && (least..=LARGE).contains(&x) => Ok([y as usize, x as usize]),
        [_, _] => Err(shape_error(node, format!("{name} between {least} and {LARGE}"), format!("{ints:?}"))),
        _ => unsupported(format!("{name} {ints:?}: only two dimensions are supported")),
    }
}

/// Height and width of filters that must be (out, in, height, width), or (in, out, height, width) for the transpose.
fn kernel_of(node: &Node<'_>, filters: &Constant) -> Result<[usize; 2], Stop> {
    match *filters.dims.as_slice() {
        [a, b, h, w] if (1..=LARGE as usize).contains(&h) && (1..=LARGE as usize).contains(&w) && a > 0 && b > 0 => {
            Ok([h, w])
        }
        [_, _, _, _] => Err(shape_error(node, "weights that are not empty", format!("{:?}", filters.dims))),
        [_, _, _] => unsupported("a one-dimensional kernel; only two dimensions are supported"),
        [_, _, _, _, _] => unsupported("a three-dimensional kernel; only two dimensions are supported"),
        _ => Err(shape_error(node, "weights of four axes", format!("{:?}", filters.dims))),
    }
}
