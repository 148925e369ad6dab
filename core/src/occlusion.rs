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
//! | `heatmap` | what comes out |
//! | `order` | coarse places first; what lies between |
//! | `incremental` | chunks of squares on the threads, then the linear layers for all |
//! | `work` | how much that saves, counted |
//! | `whole` | full passes: the oracle, and the way out where there is little memory |

mod clean;
mod columns;
mod heatmap;
mod incremental;
mod occluder;
mod order;
mod patch;
mod spread;
mod whole;
mod work;

use std::ops::ControlFlow;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::network::NodeId;
use crate::progress::Progress;
use crate::session::Session;
use crate::tensor::{Shape, Tensor};
use crate::trace::Keep;
use clean::Clean;
pub use heatmap::{Apart, Heatmap};
use incremental::Incremental;
use occluder::Occluder;
pub use occluder::{Cover, Fill};
use whole::Whole;
pub use work::{Work, work};

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
    Ok(sweep(session, input, settings, (method, Manner::Whole), &mut |p, _| progress(p))?.0)
}

/// [`occlude`], but a cancel after the coarse lattice (one place in sixteen) ends with what was computed until then, the
/// rest interpolated: see [`Heatmap::complete`] and [`Heatmap::known`].
///
/// # Errors
/// As [`occlude`].
pub fn occlude_or_keep(
    session: &Session,
    input: &Tensor,
    settings: &Settings,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Heatmap> {
    Ok(sweep(session, input, settings, (Method::Windows, Manner::Kept), &mut |p, _| progress(p))?.0)
}

/// How long each step took, by the node whose layer it runs.
pub type Spent = Vec<(NodeId, Duration)>;

/// [`occlude`], and how long each step took, by the node whose layer it runs: of all threads together, without the clean
/// run. Nothing is told of steps where memory allows whole passes only.
///
/// # Errors
/// As [`occlude`].
pub fn occlude_timed(session: &Session, input: &Tensor, settings: &Settings) -> Result<(Heatmap, Spent)> {
    let go_on = &mut |_: Progress, _: Option<&Heatmap>| ControlFlow::Continue(());
    sweep(session, input, settings, (Method::Windows, Manner::Whole), go_on)
}

/// [`occlude`] for somebody who looks on: places are visited from a coarse lattice to the full one, and after each stage
/// (one place in sixteen, one in four, all) `progress` also gets the map, interpolated where it is not yet known. A
/// cancel after the first stage ends with the last stage that was complete; see [`Heatmap::complete`].
///
/// # Errors
/// As [`occlude`].
pub fn occlude_in_stages(
    session: &Session,
    input: &Tensor,
    settings: &Settings,
    progress: &mut dyn FnMut(Progress, Option<&Heatmap>) -> ControlFlow<()>,
) -> Result<Heatmap> {
    Ok(sweep(session, input, settings, (Method::Windows, Manner::Stages), progress)?.0)
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

/// The top left corners of all places, row by row, and the occluder's height and width.
fn places(shape: Shape, settings: &Settings) -> Result<(Vec<[usize; 2]>, [usize; 2])> {
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
    let across = (0..=shape.w - width).step_by(stride);
    let row = |y: usize| across.clone().map(move |x| [y, x]);
    Ok(((0..=shape.h - height).step_by(stride).flat_map(row).collect(), [height, width]))
}

/// What is shown on the way, and what a cancel leaves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Nothing, nothing.
    Whole,
    /// Nothing; all that was computed, once the coarse lattice is.
    Kept,
    /// Each stage; the last of them.
    Stages,
}

fn sweep(
    session: &Session,
    input: &Tensor,
    settings: &Settings,
    (method, manner): (Method, Manner),
    progress: &mut dyn FnMut(Progress, Option<&Heatmap>) -> ControlFlow<()>,
) -> Result<(Heatmap, Spent)> {
    let network = session.network();
    let shape = network.input_shape();
    let stride = settings.stride;
    let (_, [height, width]) = places(shape, settings)?;
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
    map.complete = visit(&mut map, &mut sweep, settings, manner, progress)?;
    map.peak_memory = sweep.peak();
    let spent = match &sweep {
        Sweep::Windows(windows) => windows.spent(),
        Sweep::Whole(..) => Vec::new(),
    };
    Ok((map, spent))
}

/// Visits all places, the coarse lattice first. Whether all were visited, and not a cancel ended it with what is there.
fn visit(
    map: &mut Heatmap,
    sweep: &mut Sweep<'_>,
    settings: &Settings,
    manner: Manner,
    progress: &mut dyn FnMut(Progress, Option<&Heatmap>) -> ControlFlow<()>,
) -> Result<bool> {
    let (what, total) = ("positions", map.known.len());
    let (rows, columns) = (map.rows, map.columns);
    if progress(Progress { what, done: 0, total }, None).is_break() {
        return Err(Error::Cancelled);
    }
    // Elsewhere the linear layers run once for the squares of all stages.
    let answered = manner == Manner::Stages || settings.adaptive.is_some();
    let corner = |&p: &usize| [p / columns * settings.stride, p % columns * settings.stride];
    let mut waiting = Vec::new();
    let mut done = 0;
    for (stage, &step) in order::STEPS.iter().enumerate() {
        let mut places: Vec<usize> = order::places(rows, columns, step).collect();
        done += places.len();
        if let (Some(threshold), 1..) = (settings.adaptive, stage) {
            places.retain(|&place| order::moves(map, 2 * step, place, threshold));
        }
        done -= places.len();
        let mut left = &places[..];
        while !left.is_empty() {
            let (now, later) = left.split_at(sweep.batch().min(left.len()));
            sweep.push(&now.iter().map(corner).collect::<Vec<_>>())?;
            waiting.extend_from_slice(now);
            (done, left) = (done + now.len(), later);
            if sweep.is_full() || done == total || answered && left.is_empty() {
                answer(map, sweep, &mut waiting)?;
            }
            if progress(Progress { what, done, total }, None).is_break() && done < total {
                return match (manner, stage, left) {
                    (Manner::Kept, _, []) | (Manner::Kept, 1.., _) => {
                        answer(map, sweep, &mut waiting)?;
                        order::fill(map, if left.is_empty() { step } else { 2 * step });
                        Ok(false)
                    }
                    (Manner::Stages, 1.., _) => Ok(false),
                    // A lattice that is not whole is no map.
                    _ => Err(Error::Cancelled),
                };
            }
        }
        if answered {
            order::fill(map, step);
        }
        let shown = Some(&*map).filter(|_| manner == Manner::Stages);
        if shown.is_some() && progress(Progress { what, done, total }, shown).is_break() && done < total {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Fetches the answers to the places that wait.
fn answer(map: &mut Heatmap, sweep: &mut Sweep<'_>, waiting: &mut Vec<usize>) -> Result<()> {
    for (place, answer) in waiting.drain(..).zip(sweep.flush()?) {
        map.put(place, &answer);
    }
    Ok(())
}

/// What the network says to one square.
struct Answer {
    probabilities: Vec<f32>,
    activity: f32,
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
}
