//! Occlusion sensitivity (Zeiler & Fergus 2013, section 4.2): a square slides over the input, and for each place we
//! note the class probability, the most probable label and the activity of one feature map.
//!
//! A square changes little, so little is computed: from one clean run, node by node, the window that each square can
//! change (incremental inference, Nakandala et al. 2019).
//!
//! | file | what |
//! | --- | --- |
//! | `clean` | the run without a square, and what its steps leave behind |
//! | `patch` | a square's window at a node, and the maps around it |
//! | `spread` | some squares, from node to node |
//! | `columns` | linear layers by the columns that change |
//! | `occluder` | what lies over the picture: square, rectangle, disc, mask |
//! | `order` | coarse places first; what lies between |
//! | `incremental` | chunks of squares on the threads, then the linear layers for all |
//! | `whole` | full passes: the oracle, and the way out where there is little memory |

mod clean;
mod columns;
mod incremental;
mod occluder;
mod order;
mod patch;
mod pool;
mod spread;
mod whole;

use std::ops::ControlFlow;

use serde::Serialize;

use crate::error::{Error, Result};
use crate::network::NodeId;
use crate::progress::Progress;
use crate::session::Session;
use crate::tensor::Tensor;
use crate::trace::Keep;
use clean::Clean;
use incremental::Incremental;
use occluder::Occluder;
use whole::Whole;

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
    /// All of a square of [`Settings::size`].
    #[default]
    Square,
    /// The circle in a square of [`Settings::size`].
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

/// What to run.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Side of the square, or across the disc, in input pixels.
    pub size: usize,
    /// Which cells are covered.
    pub cover: Cover,
    /// Steps in input pixels.
    pub stride: usize,
    /// What is in the square.
    pub fill: Fill,
    /// Whose probability is mapped; several share one sweep. Empty: the picture's most probable class.
    pub classes: Vec<usize>,
    /// Whose activity is mapped; default [`Network::last_spatial`](crate::Network::last_spatial).
    pub layer: Option<NodeId>,
    /// Which map; default the one with the largest sum on the whole picture.
    pub channel: Option<usize>,
    /// Visit a finer place only where, around it, a probability moves by more than this or the label changes; what is
    /// skipped is interpolated. An approximation; [`ADAPTIVE`] is a sensible number.
    pub adaptive: Option<f32>,
}

/// For [`Settings::adaptive`]: one percent.
pub const ADAPTIVE: f32 = 0.01;

/// The maps of one sweep: row i, column j is the square with its top left corner at (i·stride, j·stride).
#[derive(Clone, Debug, PartialEq)]
pub struct Heatmap {
    /// Positions down.
    pub rows: usize,
    /// Positions across.
    pub columns: usize,
    /// As asked for, or found.
    pub classes: Vec<usize>,
    /// Whose activity.
    pub layer: NodeId,
    /// Which map.
    pub channel: usize,
    /// `[class][row · columns + column]`
    pub probability: Vec<Vec<f32>>,
    /// The most probable class at each position.
    pub label: Vec<usize>,
    /// The sum over the map at each position.
    pub activity: Vec<f32>,
    /// Without a square: probability a class.
    pub baseline_probability: Vec<f32>,
    /// Without a square: the most probable class.
    pub baseline_label: usize,
    /// Without a square: the sum over the map.
    pub baseline_activity: f32,
    /// Whether each place was computed; the others are interpolated between those around them.
    pub known: Vec<bool>,
    /// The most bytes that the sweep took at one time beside the model file, by count.
    pub peak_memory: u64,
}

/// Default side of the square: round(side / 7) of the shorter input side, 32 at 224.
pub fn default_size(side: usize) -> usize {
    ((side as f64 / 7.0).round() as usize).max(1)
}

/// Default stride: round(side / 28) of the shorter input side, 8 at 224.
pub fn default_stride(side: usize) -> usize {
    ((side as f64 / 28.0).round() as usize).max(1)
}

/// How the places of a square are computed. Both give the same map: with im2col bit for bit up to the last spatial layer,
/// with Winograd within its rounding; within the rounding of sums after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// Only what each square can change, from one clean run.
    #[default]
    Windows,
    /// A full pass for each place: the oracle.
    Whole,
}

/// Sweeps the square over picture 0 of `input`. `progress` may cancel.
///
/// Where the clean run and one square do not fit the memory that is allowed, whole passes are made.
///
/// # Errors
/// [`Error::Invalid`] for a square that does not fit, a fill of another number of channels, or a network without a
/// spatial layer; [`Error::Range`] for a class or channel beyond the last; [`Error::Memory`] where one picture does not
/// fit; [`Error::Cancelled`].
pub fn occlude(
    session: &Session,
    input: &Tensor,
    settings: &Settings,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Heatmap> {
    occlude_by(session, input, settings, Method::Windows, progress)
}

/// [`occlude`] by a given method.
///
/// # Errors
/// As [`occlude`].
pub fn occlude_by(
    session: &Session,
    input: &Tensor,
    settings: &Settings,
    method: Method,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Heatmap> {
    match sweep(session, input, settings, (method, false), &mut |p, _| progress(p))? {
        (map, true) => Ok(map),
        (_, false) => Err(Error::Cancelled),
    }
}

/// [`occlude`] for somebody who looks on: places are visited from a coarse lattice to the full one, and after each stage
/// (one place in sixteen, one in four, all) `progress` also gets the map, interpolated where it is not yet known. A
/// cancel after the first stage ends with the map as it then is; see [`Heatmap::known`].
///
/// # Errors
/// As [`occlude`].
pub fn occlude_in_stages(
    session: &Session,
    input: &Tensor,
    settings: &Settings,
    progress: &mut dyn FnMut(Progress, Option<&Heatmap>) -> ControlFlow<()>,
) -> Result<Heatmap> {
    Ok(sweep(session, input, settings, (Method::Windows, true), progress)?.0)
}

/// Picture 0 of `input` under the occluder with its top left corner at `[y, x]`.
///
/// # Errors
/// [`Error::Invalid`] where it does not fit there, or its fill or mask do not fit the input.
pub fn covered(input: &Tensor, settings: &Settings, [y, x]: [usize; 2]) -> Result<Tensor> {
    let mut tensor = Tensor { batch: 1, shape: input.shape, data: input.picture(0).to_vec() };
    let occluder = Occluder::new(settings.size, &settings.cover, &settings.fill, &tensor)?;
    let [height, width] = occluder.size;
    if y + height > input.shape.h || x + width > input.shape.w {
        return Err(Error::Invalid(format!("{height}×{width} at {y},{x} is not within the input")));
    }
    let clean = tensor.clone();
    occluder.paint(&mut tensor, 0, &clean, [y, x]);
    Ok(tensor)
}

fn sweep(
    session: &Session,
    input: &Tensor,
    settings: &Settings,
    (method, staged): (Method, bool),
    progress: &mut dyn FnMut(Progress, Option<&Heatmap>) -> ControlFlow<()>,
) -> Result<(Heatmap, bool)> {
    let network = session.network();
    let shape = network.input_shape();
    let stride = settings.stride;
    let [height, width] = settings.cover.size(settings.size);
    if height == 0 || width == 0 || stride == 0 || height > shape.h || width > shape.w {
        return Err(Error::Invalid(format!(
            "a square of {height}×{width} every {stride} does not fit an input of {}×{}: --size from 1 to {}, --stride \
             from 1",
            shape.h,
            shape.w,
            shape.h.min(shape.w)
        )));
    }
    let layer = match settings.layer.or_else(|| network.last_spatial()) {
        Some(layer) => layer,
        None => {
            return Err(Error::Invalid("the network has no spatial layer before its scores: name one with -l".into()));
        }
    };
    // Winograd's convolutions may run: what a square cannot reach is not computed at all, so it differs by exactly 0.
    let asked = Keep { plain: true, ..session.keep_scores().and(&Keep::nodes(network, &[layer])) };
    let all = clean::keep(session, &asked);
    let fits = |keep: &Keep| session.max_memory().is_none_or(|limit| session.memory(keep, 1) <= limit);
    let windows = method == Method::Windows && fits(&all);
    let keep = if windows { &all } else { &asked };

    let picture = Tensor { batch: 1, shape: input.shape, data: input.picture(0).to_vec() };
    let occluder = Occluder::new(settings.size, &settings.cover, &settings.fill, &picture)?;
    let trace = session.run(&picture, keep)?;
    let probabilities = session.scores(&trace).probabilities.swap_remove(0);
    let baseline_label = argmax(&probabilities);
    let classes = if settings.classes.is_empty() { vec![baseline_label] } else { settings.classes.clone() };
    if let Some(&class) = classes.iter().find(|&&c| c >= probabilities.len()) {
        return Err(out_of_range("class", class, "the network".into(), probabilities.len(), "classes"));
    }
    let maps = trace.tensor(layer).expect("kept");
    let channel = match settings.channel {
        Some(channel) if channel >= maps.shape.c => {
            let of = format!("layer \"{}\"", network.node(layer).name);
            return Err(out_of_range("channel", channel, of, maps.shape.c, "channels"));
        }
        Some(channel) => channel,
        None => {
            let sums: Vec<f32> = (0..maps.shape.c).map(|c| sum(maps.channel(0, c))).collect();
            argmax(&sums)
        }
    };

    let (rows, columns) = ((shape.h - height) / stride + 1, (shape.w - width) / stride + 1);
    let mut map = Heatmap {
        baseline_probability: classes.iter().map(|&c| probabilities[c]).collect(),
        baseline_label,
        baseline_activity: sum(maps.channel(0, channel)),
        layer,
        channel,
        ..Heatmap::blank(rows, columns, classes)
    };
    let whole = Whole { session, picture: &picture, keep: &asked, occluder: &occluder, layer, channel };
    let incremental = windows.then(|| {
        let clean = Clean::new(session, keep, trace, (&picture, &occluder), (layer, channel));
        Incremental::new(clean, whole, session.memory(keep, 1))
    });
    let mut sweep = match incremental.flatten() {
        Some(windows) => Sweep::Windows(Box::new(windows)),
        None => Sweep::Whole(whole, Vec::new()),
    };
    let done = visit(&mut map, &mut sweep, settings, staged, progress)?;
    map.peak_memory = sweep.peak();
    Ok((map, done))
}

/// Visits all places. Whether all were visited: where stages are looked at, a cancel after the first keeps what is there.
fn visit(
    map: &mut Heatmap,
    sweep: &mut Sweep<'_>,
    settings: &Settings,
    staged: bool,
    progress: &mut dyn FnMut(Progress, Option<&Heatmap>) -> ControlFlow<()>,
) -> Result<bool> {
    let (what, total) = ("positions", map.known.len());
    let (rows, columns) = (map.rows, map.columns);
    if progress(Progress { what, done: 0, total }, None).is_break() {
        return Err(Error::Cancelled);
    }
    // In one stage the linear layers run once for all squares.
    let steps = if staged || settings.adaptive.is_some() { &order::STEPS[..] } else { &[1] };
    let mut done = 0;
    for (stage, &step) in steps.iter().enumerate() {
        let mut places: Vec<usize> = match steps.len() {
            1 => (0..total).collect(),
            _ => order::places(rows, columns, step).collect(),
        };
        done += places.len();
        if let (Some(threshold), 1..) = (settings.adaptive, stage) {
            places.retain(|&place| order::moves(map, 2 * step, place, threshold));
        }
        done -= places.len();
        let (mut pushed, mut known) = (0, 0);
        while pushed < places.len() {
            let next = (pushed + sweep.batch()).min(places.len());
            let corner = |&p: &usize| [p / columns * settings.stride, p % columns * settings.stride];
            sweep.push(&places[pushed..next].iter().map(corner).collect::<Vec<_>>())?;
            done += next - pushed;
            pushed = next;
            if pushed == places.len() || sweep.is_full() {
                for answer in sweep.flush()? {
                    map.put(places[known], &answer);
                    known += 1;
                }
            }
            if progress(Progress { what, done, total }, None).is_break() && done < total {
                return if stage == 0 { Err(Error::Cancelled) } else { Ok(false) };
            }
        }
        order::fill(map, step);
        if progress(Progress { what, done, total }, Some(map)).is_break() && done < total {
            return Ok(false);
        }
    }
    Ok(true)
}

/// How far two maps of the same sweep are apart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Apart {
    /// The largest difference of a probability.
    pub probability: f32,
    /// The largest difference of an activity, relative to the largest activity.
    pub activity: f32,
    /// Places with another most probable class.
    pub labels: usize,
}

impl Heatmap {
    /// Nothing known yet.
    fn blank(rows: usize, columns: usize, classes: Vec<usize>) -> Self {
        let total = rows * columns;
        Self {
            rows,
            columns,
            probability: vec![vec![f32::NAN; total]; classes.len()],
            baseline_probability: vec![f32::NAN; classes.len()],
            classes,
            layer: 0,
            channel: 0,
            label: vec![0; total],
            activity: vec![f32::NAN; total],
            baseline_label: 0,
            baseline_activity: f32::NAN,
            known: vec![false; total],
            peak_memory: 0,
        }
    }

    /// The share of places that were not computed but interpolated.
    pub fn skipped(&self) -> f64 {
        self.known.iter().filter(|&&k| !k).count() as f64 / self.known.len() as f64
    }

    /// How far `other` is from this map; panics where the places are not the same.
    pub fn apart(&self, other: &Heatmap) -> Apart {
        assert_eq!(
            (self.rows, self.columns, &self.classes),
            (other.rows, other.columns, &other.classes),
            "other sweeps"
        );
        let most = |a: &[f32], b: &[f32]| {
            let difference = |(a, b): (&f32, &f32)| if a.to_bits() == b.to_bits() { 0.0 } else { (a - b).abs() };
            // Not `max` alone: NaN must not pass for 0.
            a.iter().zip(b).map(difference).fold(0.0, |m: f32, d| if d.is_nan() { f32::INFINITY } else { m.max(d) })
        };
        let probabilities = self.probability.iter().zip(&other.probability).map(|(a, b)| most(a, b));
        let largest = self.activity.iter().fold(self.baseline_activity.abs(), |m, x| m.max(x.abs()));
        Apart {
            probability: probabilities.fold(0.0, f32::max),
            activity: most(&self.activity, &other.activity) / if largest > 0.0 { largest } else { 1.0 },
            labels: self.label.iter().zip(&other.label).filter(|(a, b)| a != b).count(),
        }
    }
}

/// What the network says to one square.
struct Answer {
    probabilities: Vec<f32>,
    activity: f32,
}

impl Heatmap {
    fn put(&mut self, position: usize, answer: &Answer) {
        for (map, &class) in self.probability.iter_mut().zip(&self.classes) {
            map[position] = answer.probabilities[class];
        }
        self.label[position] = argmax(&answer.probabilities);
        self.activity[position] = answer.activity;
        self.known[position] = true;
    }
}

/// One method at work.
enum Sweep<'a> {
    Windows(Box<Incremental<'a>>),
    Whole(Whole<'a>, Vec<Answer>),
}

impl Sweep<'_> {
    /// Squares to hand over together.
    fn batch(&self) -> usize {
        match self {
            Sweep::Windows(windows) => windows.batch(),
            Sweep::Whole(whole, _) => whole.batch(),
        }
    }

    fn push(&mut self, corners: &[[usize; 2]]) -> Result<()> {
        match self {
            Sweep::Windows(windows) => windows.push(corners)?,
            Sweep::Whole(whole, answers) => answers.extend(whole.answers(corners)?),
        }
        Ok(())
    }

    /// Whether answers must be fetched before more squares come.
    fn is_full(&self) -> bool {
        match self {
            Sweep::Windows(windows) => windows.is_full(),
            Sweep::Whole(..) => true,
        }
    }

    /// The answers to all squares since the last time, in order.
    fn flush(&mut self) -> Result<Vec<Answer>> {
        match self {
            Sweep::Windows(windows) => windows.flush(),
            Sweep::Whole(_, answers) => Ok(std::mem::take(answers)),
        }
    }

    fn peak(&self) -> u64 {
        match self {
            Sweep::Windows(windows) => windows.peak(),
            Sweep::Whole(whole, _) => whole.session.memory(whole.keep, whole.batch()),
        }
    }
}

impl Fill {
    /// `channels × cells` numbers; a blur, which depends on the picture, is laid by the [`Occluder`].
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
                let mut noise = Splitmix(*seed);
                let bounds = low.iter().zip(high);
                Ok(bounds
                    .flat_map(|(l, h)| (0..cells).map(|_| l + (h - l) * noise.unit()).collect::<Vec<_>>())
                    .collect())
            }
        }
    }
}

/// Steele, Lea & Flood's splitmix64: the same numbers everywhere for a seed.
struct Splitmix(u64);

impl Splitmix {
    /// In 0..1, of 24 bits.
    fn unit(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1u32 << 24) as f32
    }
}

/// The first of the largest.
fn argmax(values: &[f32]) -> usize {
    (1..values.len()).fold(0, |best, i| if values[i] > values[best] { i } else { best })
}

fn sum(map: &[f32]) -> f32 {
    map.iter().map(|&x| f64::from(x)).sum::<f64>() as f32
}

fn out_of_range(what: &'static str, value: usize, of: String, count: usize, unit: &str) -> Error {
    Error::Range { what, value: value.to_string(), of, limit: format!("{count} {unit} (0–{})", count - 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_the_contract() {
        assert_eq!((default_size(224), default_stride(224)), (32, 8));
        assert_eq!((default_size(64), default_stride(64)), (9, 2));
        assert_eq!((default_size(3), default_stride(3)), (1, 1));
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
