//! What the worker is asked and what it answers.
//!
//! ```text
//! Request { kind, generation, job } ──▶ worker ──▶ Answer …  (the same kind and generation)
//! ```
//! A request carries all that it needs: the worker never sees the state.

use std::path::PathBuf;
use std::sync::Arc;

use switchback_core::NodeId;
use switchback_core::occlusion::{Heatmap, Settings};
use switchback_core::projection::{Projection, Rule, Seed};
use switchback_core::trace::Trace;

use crate::cli::input::{Loaded, Source};
use crate::subject::Subject;

/// Kinds of jobs, the more urgent first. Of each kind the newest request alone is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    Open,
    Run,
    Project,
    List,
    Save,
    Occlude,
}

impl Kind {
    /// The most urgent first.
    pub(crate) const ALL: [Kind; 6] = [Kind::Open, Kind::Run, Kind::Project, Kind::List, Kind::Save, Kind::Occlude];

    /// For the bar at the bottom.
    pub(crate) fn verb(self) -> &'static str {
        match self {
            Kind::Open => "opening the model",
            Kind::Run => "running the network",
            Kind::Project => "projecting",
            Kind::List => "reading the folder",
            Kind::Save => "saving",
            Kind::Occlude => "occluding",
        }
    }
}

/// A job with its place in the queue.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) kind: Kind,
    pub(crate) generation: u64,
    pub(crate) job: Job,
}

/// What to do.
#[derive(Clone, Debug)]
pub(crate) enum Job {
    /// `None` is the built-in model.
    Open {
        id: u32,
        path: Option<PathBuf>,
    },
    Run {
        subject: Arc<Subject>,
        picture: usize,
        source: Source,
        scope: Scope,
        /// The picture, where an earlier run read it.
        loaded: Option<Arc<Loaded>>,
    },
    Project {
        subject: Arc<Subject>,
        run: Arc<Run>,
        unit: Unit,
    },
    Occlude {
        subject: Arc<Subject>,
        run: Arc<Run>,
        sweep: Sweep,
    },
    List {
        path: PathBuf,
        what: Listed,
    },
    Save(Save),
}

/// What of a run is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scope {
    /// Every tensor and every switch.
    Whole,
    /// What this layer and its projections need: for networks whose whole trace would not fit.
    Layer(NodeId),
    /// What the first screen of a picture shows: this layer, its projections under this rule, the classes. It is there in
    /// a third of the time; the whole trace follows.
    Glimpse { layer: NodeId, rule: Rule },
}

/// A unit and how to walk back from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Unit {
    pub(crate) layer: NodeId,
    pub(crate) seed: Seed,
    pub(crate) rule: Rule,
}

/// Which occlusion map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Sweep {
    /// `None`: the most probable.
    pub(crate) class: Option<usize>,
    /// Whose activity; `None`: the network's last spatial layer and its strongest map.
    pub(crate) unit: Option<(NodeId, usize)>,
}

/// What of a folder is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listed {
    Pictures,
    Models,
}

/// What is written, and where.
#[derive(Clone, Debug)]
pub(crate) struct Save {
    pub(crate) what: Saved,
    /// Path without extension; a number is added where files are there already.
    pub(crate) stem: PathBuf,
    /// What reproduces it.
    pub(crate) command: String,
}

/// A result to be written.
#[derive(Clone, Debug)]
pub(crate) enum Saved {
    Features { subject: Arc<Subject>, run: Arc<Run>, layer: NodeId },
    Projection { subject: Arc<Subject>, run: Arc<Run>, projection: Arc<Projection>, rule: Rule },
    Occlusion { subject: Arc<Subject>, run: Arc<Run>, occlusion: Arc<Occlusion> },
}

/// A network run on a picture.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) model: u32,
    pub(crate) picture: usize,
    pub(crate) scope: Scope,
    pub(crate) loaded: Arc<Loaded>,
    pub(crate) trace: Trace,
    /// Every class with its probability, the most probable first.
    pub(crate) classes: Vec<(usize, f32)>,
    pub(crate) bytes: usize,
}

/// An occlusion map, perhaps not finished.
#[derive(Debug)]
pub(crate) struct Occlusion {
    pub(crate) sweep: Sweep,
    pub(crate) map: Heatmap,
    pub(crate) settings: Settings,
    pub(crate) seconds: f64,
    /// All places were visited.
    pub(crate) whole: bool,
}

/// A file or folder of the picker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) folder: bool,
    pub(crate) bytes: u64,
}

/// What comes back.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// With warnings that somebody should read.
    Opened {
        id: u32,
        subject: Arc<Subject>,
        warnings: Vec<String>,
    },
    /// The picture, before the network has seen it.
    Placed {
        picture: usize,
        loaded: Arc<Loaded>,
    },
    Ran(Arc<Run>),
    Projected {
        picture: usize,
        model: u32,
        unit: Unit,
        projection: Arc<Projection>,
    },
    Progress {
        done: usize,
        total: usize,
    },
    Occluded {
        picture: usize,
        model: u32,
        occlusion: Arc<Occlusion>,
    },
    Listed {
        path: PathBuf,
        what: Listed,
        entries: Vec<Entry>,
    },
    Wrote(Vec<PathBuf>),
    /// Safe to show.
    Failed(String),
    Cancelled,
    /// A job panicked; safe to show.
    Panicked(String),
}

impl Answer {
    /// Nothing follows for this request.
    pub(crate) fn is_last(&self) -> bool {
        match self {
            Answer::Placed { .. } | Answer::Progress { .. } => false,
            Answer::Occluded { occlusion, .. } => occlusion.whole,
            _ => true,
        }
    }
}
