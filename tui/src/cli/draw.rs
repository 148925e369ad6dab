//! Results as sheets of panels: projections beside their crops, maps with their scales, labels with their names.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};

use switchback_core::picture::Picture;
use switchback_core::preprocess::Order;
use switchback_core::projection::{Projection, Seed};
use switchback_core::text::escape;
use switchback_core::{NodeId, Result, Shape, Tensor, Window};

use super::arguments::Color;
use super::context::Context;
use super::input::Loaded;
use super::model::Opened;
use super::occlude::Occluded;
use crate::color::{ColorMode, category};
use crate::colormap::Scale;
use crate::sheet::{self, Panel};
use crate::terminal;

pub(crate) use crate::sheet::Sheet;

/// The colours to draw in on stdout, or `None` where a picture would be no use: no terminal, and no colours asked for.
pub(crate) fn mode(context: &Context) -> Option<ColorMode> {
    match context.options.color {
        Color::Auto => io::stdout().is_terminal().then(terminal::color_mode),
        Color::Truecolor => Some(ColorMode::TrueColor),
        Color::Indexed => Some(ColorMode::Ansi256),
        Color::Ansi => Some(ColorMode::Ansi16),
        Color::None => Some(ColorMode::None),
    }
}

/// For the terminal, as wide as it is; 100 columns where there is none.
pub(crate) fn text(sheet: &Sheet, mode: ColorMode) -> String {
    let columns = match io::stdout().is_terminal() {
        true => terminal::size().map_or(80, |(columns, _)| usize::from(columns)),
        false => 100,
    };
    sheet::to_text(sheet, columns, mode)
}

pub(crate) fn png(sheet: &Sheet) -> Result<Vec<u8>> {
    sheet::to_png(sheet)
}

/// What the network saw: the placed picture, or a tensor turned back by the preprocessing record.
fn seen(opened: &Opened, loaded: &Loaded) -> Picture {
    if let Some(placed) = &loaded.placed {
        return placed.clone();
    }
    let record = &opened.preprocess.record;
    rgb(&loaded.tensor, record.order, |channel, x| {
        (x * record.std[channel] + record.mean[channel]) * 255.0 / record.scale
    })
}

/// A tensor as a picture: `byte(channel, x)` gives 0–255. One channel is grey; of other counts than three the mean is.
fn rgb(tensor: &Tensor, order: Order, byte: impl Fn(usize, f32) -> f32) -> Picture {
    let Shape { c, h, w } = tensor.shape;
    let channels = match (c, order) {
        (3, Order::Rgb) => [0, 1, 2],
        (3, Order::Bgr) => [2, 1, 0],
        _ => [0; 3],
    };
    let value = |channel: usize, i: usize| match c {
        1 | 3 => byte(channel, tensor.data[channel * h * w + i]),
        _ => (0..c).map(|k| byte(0, tensor.data[k * h * w + i])).sum::<f32>() / c as f32,
    };
    let rgb = (0..h * w).flat_map(|i| channels.map(|k| value(k, i).round() as u8)).collect();
    Picture { width: w, height: h, rgb }
}

/// Grey is zero; the largest magnitude of the projection reaches black or white.
fn signed(projection: &Tensor, order: Order) -> Picture {
    let peak = projection.data.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
    let gain = if peak > 0.0 { 127.5 / peak } else { 0.0 };
    rgb(projection, order, |_, x| 127.5 + gain * x)
}

/// Each unit: the part of the input that it sees, and its projection there.
pub(crate) fn projections(opened: &Opened, loaded: &Loaded, units: &[Projection]) -> anyhow::Result<Sheet> {
    let input = seen(opened, loaded);
    let order = opened.preprocess.record.order;
    let mut panels = Vec::with_capacity(2 * units.len());
    for u in units {
        let name = match u.seed {
            Seed::Unit { channel, at: [y, x] } => format!("channel {channel} at {y},{x}"),
            Seed::Map { channel } => format!("channel {channel}, whole map"),
        };
        // A unit of a layer that sees nothing has an empty window; the whole input then says as much.
        let window = if u.window.is_empty() { Window::full([input.height, input.width]) } else { u.window };
        panels.push(Panel::photo(name, input.crop(window)));
        panels.push(Panel::photo(format!("activation {:.3}", u.activation), signed(&u.tensor, order).crop(window)));
    }
    let mut lines = vec![format!("{} · {}", escape(&loaded.name), opened.caption())];
    if let Some(unit) = units.first() {
        let node = opened.network().node(unit.layer);
        lines.push(format!("{} (#{}, {}): input and projection", escape(&node.name), unit.layer, node.shape));
    }
    Ok(Sheet { lines, panels })
}

/// All maps in one mosaic, as square as it can be, on one scale.
pub(crate) fn features(
    opened: &Opened,
    input: &str,
    layer: NodeId,
    channels: &[usize],
    maps: &Tensor,
) -> anyhow::Result<Sheet> {
    let Shape { c, h, w } = maps.shape;
    let scale = Scale::of(maps.data.iter().copied());
    // Vectors are laid out as one map of single cells, without gaps.
    let gap = usize::from(maps.shape.is_spatial());
    let across = ((c as f64 * (h + gap) as f64 / (w + gap) as f64).sqrt().ceil() as usize).clamp(1, c);
    let down = c.div_ceil(across);
    let (width, height) = (across * (w + gap) - gap, down * (h + gap) - gap);
    let mut picture = Picture { width, height, rgb: vec![64; 3 * width * height] };
    for i in 0..c {
        let (top, left) = (i / across * (h + gap), i % across * (w + gap));
        for (j, &x) in maps.channel(0, i).iter().enumerate() {
            let at = 3 * ((top + j / w) * width + left + j % w);
            picture.rgb[at..at + 3].copy_from_slice(&scale.color(x));
        }
    }
    let node = opened.network().node(layer);
    let lines = vec![
        format!("{} · {}", escape(input), opened.caption()),
        format!("{} (#{layer}, {})", escape(&node.name), node.shape),
    ];
    let title = match channels {
        [one] => format!("channel {one}"),
        [first, .., last] if last - first + 1 == c => format!("channels {first}–{last}, {across} in a row"),
        _ => format!("{c} channels, {across} in a row"),
    };
    let panel = Panel { title, picture, blocks: true, scale: Some(scale), legend: Vec::new() };
    Ok(Sheet { lines, panels: vec![panel] })
}

/// The input, what is lost of each class, the activity, and the most probable class at every place.
pub(crate) fn occlusion(result: &Occluded) -> anyhow::Result<Sheet> {
    const NAMED: usize = 8;
    let Occluded { opened, loaded, map, .. } = result;
    let name = |class: usize| escape(opened.class_name(class)).into_owned();
    let mut panels = vec![Panel::photo("input", seen(opened, loaded))];
    for (i, &class) in map.classes.iter().enumerate() {
        let scale = Scale::of(map.probability[i].iter().copied().chain([map.baseline_probability[i]]));
        let title = format!("p({}), whole {:.3}", name(class), map.baseline_probability[i]);
        panels.push(Panel::map(title, &map.probability[i], map.columns, scale));
    }
    let scale = Scale::of(map.activity.iter().copied().chain([map.baseline_activity]));
    let node = opened.network().node(map.layer);
    let title = format!("{} #{}, whole {:.1}", escape(&node.name), map.channel, map.baseline_activity);
    panels.push(Panel::map(title, &map.activity, map.columns, scale));

    // The most frequent classes get colours of their own; the rest share grey.
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    map.label.iter().for_each(|&l| *counts.entry(l).or_default() += 1);
    let mut frequent: Vec<(usize, usize)> = counts.into_iter().collect();
    frequent.sort_by_key(|&(class, count)| (std::cmp::Reverse(count), class));
    const REST: [u8; 3] = [110; 3];
    let color = |class: usize| frequent.iter().take(NAMED).position(|f| f.0 == class).map_or(REST, category);
    let rgb = map.label.iter().flat_map(|&l| color(l)).collect();
    let mut legend: Vec<([u8; 3], String)> =
        frequent.iter().take(NAMED).map(|&(class, n)| (color(class), format!("{} {n}", name(class)))).collect();
    if frequent.len() > NAMED {
        let n: usize = frequent[NAMED..].iter().map(|f| f.1).sum();
        legend.push((REST, format!("{} other classes {n}", frequent.len() - NAMED)));
    }
    panels.push(Panel {
        title: "most probable class".into(),
        picture: Picture { width: map.columns, height: map.rows, rgb },
        blocks: true,
        scale: None,
        legend,
    });
    let lines = vec![
        format!("{} · {}", escape(&loaded.name), opened.caption()),
        format!("square of {} every {} pixels: each cell is one place of the square", result.size, result.stride),
    ];
    Ok(Sheet { lines, panels })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blue_first_networks_are_shown_red_first() {
        let tensor = Tensor::single(Shape::new(3, 1, 2), vec![2.0, 0.0, -1.0, 0.0, 0.5, 0.0]);
        assert_eq!(signed(&tensor, Order::Bgr).rgb, [159, 64, 255, 128, 128, 128]);
        assert_eq!(signed(&tensor, Order::Rgb).rgb, [255, 64, 159, 128, 128, 128]);
        let grey = Tensor::single(Shape::new(1, 1, 2), vec![1.0, -1.0]);
        assert_eq!(signed(&grey, Order::Rgb).rgb, [255, 255, 255, 0, 0, 0]);
        let silent = Tensor::zeros(1, Shape::new(3, 1, 1));
        assert_eq!(signed(&silent, Order::Rgb).rgb, [128; 3]);
    }
}
