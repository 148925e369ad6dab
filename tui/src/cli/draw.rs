//! Results as pictures: which panels a sheet has, for the terminal and for PNG alike.

use switchback_core::preprocess::Order;
use switchback_core::projection::{Projection, Seed};
use switchback_core::text::escape;
use switchback_core::{NodeId, Tensor, Window};

use super::context::Context;
use super::input::Loaded;
use super::model::Opened;
use super::occlude::Occluded;
use crate::color::ColorMode;
use crate::colormap::Colormap;
pub(crate) use crate::sheet::Sheet;
use crate::sheet::{Panel, mosaic};
use crate::signed::Signed;
use crate::terminal;

/// Units shown at most; more would scroll away.
const MOST_UNITS: usize = 12;

/// The colours to draw with on stdout; `None` where it is no terminal and nobody asked for colours by name.
pub(crate) fn mode(context: &Context) -> Option<ColorMode> {
    let of_terminal = || terminal::stdout_is_terminal().then(|| terminal::detect(&terminal::Process));
    let named = context.options.color.named().map(|mode| terminal::named(mode, &terminal::Process));
    named.or_else(of_terminal)
}

/// The sheet for this terminal, where `below` lines follow it.
pub(crate) fn text(sheet: &Sheet, below: usize, mode: ColorMode) -> String {
    sheet.text(terminal::size(), below, terminal::cell_aspect(), mode)
}

/// The sheet as PNG.
pub(crate) fn png(sheet: &Sheet) -> anyhow::Result<Vec<u8>> {
    Ok(sheet.to_picture().to_png()?)
}

/// The input's part in each unit's receptive field, beside what the unit projects there.
pub(crate) fn projections(opened: &Opened, loaded: &Loaded, units: &[Projection]) -> anyhow::Result<Sheet> {
    let mut panels = Vec::new();
    for unit in units.iter().take(MOST_UNITS) {
        let name = match unit.seed {
            Seed::Unit { channel, at: [y, x] } => format!("{channel} at {y},{x}"),
            Seed::Map { channel } => format!("map {channel}"),
        };
        let layer = &opened.network().node(unit.layer).name;
        panels.push(seen(opened, loaded, unit.window).note(format!("activation {:.4}", unit.activation)));
        let title = format!("{} · {name}", escape(layer));
        panels.push(Panel::signed(title, signed_crop(opened, &unit.tensor, unit.window)));
    }
    Ok(Sheet { panels })
}

/// The input inside `window`.
fn seen(opened: &Opened, loaded: &Loaded, window: Window) -> Panel {
    let title = escape(&loaded.name).rsplit('/').next().unwrap_or_default().to_owned();
    match &loaded.placed {
        Some(picture) => Panel::picture(title, picture.crop(window)),
        None => Panel::signed(title, signed_crop(opened, &loaded.tensor, window)),
    }
}

/// Which of `count` channels of the input's space are shown: red, green and blue, or the first.
pub(crate) fn channels(opened: &Opened, count: usize) -> &'static [usize] {
    match (count, opened.preprocess.record.order) {
        (3, Order::Rgb) => &[0, 1, 2],
        (3, Order::Bgr) => &[2, 1, 0],
        _ => &[0],
    }
}

/// A tensor of the input's space inside `window`, red first; of other than three channels the first.
pub(crate) fn signed_crop(opened: &Opened, tensor: &Tensor, window: Window) -> Signed {
    let crop = |c: usize| -> Vec<f32> {
        let rows = tensor.channel(0, c).chunks(tensor.shape.w);
        rows.skip(window.y0).take(window.height()).flat_map(|r| &r[window.x0..window.x1]).copied().collect()
    };
    let order = channels(opened, tensor.shape.c);
    Signed::new(order.iter().map(|&c| crop(c)).collect(), window.width())
}

/// The feature maps as a mosaic, each over its own range.
pub(crate) fn features(
    opened: &Opened,
    input: &str,
    layer: NodeId,
    channels: &[usize],
    maps: &Tensor,
) -> anyhow::Result<Sheet> {
    let all: Vec<&[f32]> = (0..maps.shape.c).map(|c| maps.channel(0, c)).collect();
    let title = format!("{} of {}", escape(&opened.network().node(layer).name), escape(input));
    let which = match (channels.first(), channels.last()) {
        (Some(a), Some(b)) if b - a + 1 == channels.len() => format!("channels {a} to {b}, row by row"),
        _ => format!("{} channels, row by row", channels.len()),
    };
    // A vector is shown as one map of its own.
    if maps.shape.h * maps.shape.w == 1 && maps.shape.c > 1 {
        let across = (maps.shape.c as f64).sqrt().ceil() as usize;
        let mut values = maps.data.clone();
        values.resize(across * maps.shape.c.div_ceil(across), f32::NAN);
        let heat = Panel::heat(title, &values, across, Colormap::ember(), number);
        return Ok(Sheet { panels: vec![heat.note(which)] });
    }
    let picture = mosaic(&all, maps.shape.size(), Colormap::ember(), 1.6);
    Ok(Sheet { panels: vec![Panel::picture(title, picture).note(which).note("each map over its own range")] })
}

fn number(v: f32) -> String {
    format!("{v:.4}")
}

fn percent(v: f32) -> String {
    format!("{:.1} %", 100.0 * v)
}

/// The panels of Figure 7: (a) the picture with the square where it tells most, (b) the activity of the watched map,
/// (c) that map's projection, and those from other pictures, (d) the probability of each class, (e) the most probable
/// label.
pub(crate) fn occlusion(result: &Occluded<'_>) -> anyhow::Result<Sheet> {
    let Occluded { opened, loaded, map, .. } = result;
    let shape = opened.input_shape();
    let title = escape(&loaded.name).rsplit('/').next().unwrap_or_default().to_owned();
    let picture = match &result.under {
        Some(picture) => Panel::picture(title, picture.clone()),
        None => seen(opened, loaded, Window::full(shape.size())),
    };
    let [y, x] = result.corner();
    let telling = percent(map.probability[0][result.telling()]);
    let mut panels = vec![picture.note(format!("least probable under the square at {y},{x}: {telling}"))];
    panels.push(activity(result));
    for (of, projection) in &result.projections {
        let title = format!("map {} of {}", map.channel, escape(&of.name).rsplit('/').next().unwrap_or_default());
        let signed = signed_crop(opened, &projection.tensor, projection.window);
        panels.push(Panel::signed(title, signed).note(format!("projection, activation {:.4}", projection.activation)));
    }
    for ((&class, values), base) in map.classes.iter().zip(&map.probability).zip(&map.baseline_probability) {
        let title = format!("probability of {}", escape(opened.class_name(class)));
        let heat = Panel::heat(title, values, map.columns, Colormap::ember(), percent);
        panels.push(heat.note(format!("whole picture {}{}", percent(*base), result.caveat())));
    }
    let mut counts: Vec<(usize, usize)> = Vec::new();
    for &label in &map.label {
        match counts.iter_mut().find(|c| c.0 == label) {
            Some(c) => c.1 += 1,
            None => counts.push((label, 1)),
        }
    }
    // The whole picture's label keeps the first colour, the others follow by how many places they win.
    counts.sort_by_key(|&(label, n)| (label != map.baseline_label, std::cmp::Reverse(n), label));
    let category = |label: &usize| counts.iter().position(|c| c.0 == *label).unwrap_or(0);
    let cells = map.label.iter().map(category).collect();
    let names = counts.iter().map(|&(label, n)| format!("{} ({n})", escape(opened.class_name(label)))).collect();
    panels.push(Panel::labels("most probable label", cells, map.columns, names));
    Ok(Sheet { panels })
}

/// The sum over the watched map at every place.
fn activity(result: &Occluded<'_>) -> Panel {
    let map = &result.map;
    let layer = escape(&result.opened.network().node(map.layer).name);
    let title = format!("activity of {layer} · {}", map.channel);
    let heat = Panel::heat(title, &map.activity, map.columns, Colormap::ember(), |v| format!("{v:.1}"));
    heat.note(format!("whole picture {:.1}{}", map.baseline_activity, result.caveat()))
}
