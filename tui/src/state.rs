//! Everything that the browser shows, in one place. `update` changes it, `view` reads it, the worker never sees it.
//!
//! ```text
//! selection (picture, layer, unit, place, rule, class) ─▶ what is wanted ─▶ cache or worker ─▶ shown
//! ```

pub(crate) mod overlay;
pub(crate) mod selection;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use switchback_core::Tensor;
use switchback_core::projection::{self, Projection, Rule, Seed};

use crate::cache::Cache;
use crate::cli::input::{Loaded, Source};
use crate::color::ColorMode;
use crate::colormap::{Colormap, MapName};
use crate::job::{Kind, Occlusion, Run, Scope, Sweep, Unit};
use crate::keys::KeyMap;
use crate::subject::Subject;
use crate::theme::{Theme, flat};
pub(crate) use overlay::{Hit, Line, Overlay, Picker};
pub(crate) use selection::{Pane, Selection, View};

/// The browser.
#[derive(Debug)]
pub(crate) struct State {
    /// Columns and rows.
    pub(crate) size: [u16; 2],
    pub(crate) mode: ColorMode,
    /// Height of a cell over its width.
    pub(crate) aspect: f64,
    /// Since the start.
    pub(crate) now: Duration,
    pub(crate) keys: KeyMap,
    pub(crate) look: Look,
    pub(crate) model: Model,
    pub(crate) pictures: Vec<Source>,
    pub(crate) selection: Selection,
    pub(crate) view: View,
    pub(crate) pane: Pane,
    /// The pane alone on the screen.
    pub(crate) expanded: bool,
    /// One map instead of the mosaic.
    pub(crate) zoomed: bool,
    pub(crate) overlay: Option<Overlay>,
    pub(crate) found: Found,
    pub(crate) pin: Option<Pin>,
    pub(crate) frozen: bool,
    pub(crate) flights: HashMap<Kind, Flight>,
    /// What failed or was cancelled is not asked for again.
    pub(crate) failed: HashMap<Kind, (CacheKey, String)>,
    pub(crate) generation: u64,
    pub(crate) cache: Cache<CacheKey, Value>,
    pub(crate) shown: Shown,
    pub(crate) notice: Option<Notice>,
    /// Where the mouse is.
    pub(crate) hover: Option<[u16; 2]>,
    /// Where the picker begins.
    pub(crate) folder: PathBuf,
    /// Nobody has chosen a unit yet: the first run brings its strongest.
    pub(crate) fresh: bool,
    /// A selection to take once the model is open.
    pub(crate) wished: Option<Wished>,
    /// Options that a reproducing command needs; see [`crate::update::command`].
    pub(crate) options: Vec<String>,
}

/// How things are shown.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    pub(crate) themes: Vec<Theme>,
    pub(crate) theme: usize,
    /// The ground decides between dark and light.
    pub(crate) theme_follows: bool,
    pub(crate) colormap: MapName,
    pub(crate) range: Range,
    pub(crate) hints: bool,
    pub(crate) mouse: bool,
}

impl Default for Look {
    fn default() -> Self {
        Self {
            themes: Theme::built_in(),
            theme: 0,
            theme_follows: true,
            colormap: MapName::Ember,
            range: Range::Picture,
            hints: true,
            mouse: true,
        }
    }
}

/// What the colours of feature maps span.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Range {
    /// Each map its own numbers.
    Picture,
    /// All maps of the layer the same.
    Layer,
    /// These numbers, whatever is shown.
    Fixed([f32; 2]),
}

/// The model: what is open, what is being opened, what failed.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) subject: Option<Arc<Subject>>,
    /// The number and the path of the one that is being opened.
    pub(crate) opening: Option<(u32, Option<PathBuf>)>,
    /// Safe to show.
    pub(crate) failed: Option<String>,
    pub(crate) count: u32,
}

/// A selection by names, from a session or the command line.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Wished {
    pub(crate) layer: Option<String>,
    pub(crate) channel: Option<usize>,
    pub(crate) place: Option<[usize; 2]>,
    pub(crate) class: Option<usize>,
}

/// What `/` found, for `n` and `N`.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) query: String,
    pub(crate) hits: Vec<Hit>,
    pub(crate) at: usize,
}

/// Kept to compare with.
#[derive(Clone, Debug)]
pub(crate) struct Pin {
    pub(crate) seen: Option<Seen>,
    pub(crate) occlusion: Option<Arc<Occlusion>>,
    /// Safe to show.
    pub(crate) title: String,
}

/// A job that waits or runs.
#[derive(Clone, Debug)]
pub(crate) struct Flight {
    pub(crate) generation: u64,
    pub(crate) key: CacheKey,
    pub(crate) since: Duration,
    /// Done and total.
    pub(crate) progress: Option<[usize; 2]>,
}

/// A line that goes away.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Notice {
    pub(crate) bad: bool,
    pub(crate) text: String,
    pub(crate) until: Duration,
}

/// What a result answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CacheKey {
    Open(u32),
    Run { model: u32, picture: usize, scope: Scope },
    Project { model: u32, picture: usize, unit: Unit },
    Occlude { model: u32, picture: usize, sweep: Sweep },
    List(PathBuf),
    Save,
}

/// A result.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Run(Arc<Run>),
    Project(Seen),
    Occlude(Arc<Occlusion>),
}

/// What the panes show until something newer comes.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    pub(crate) loaded: Option<(usize, Arc<Loaded>)>,
    pub(crate) run: Option<Arc<Run>>,
    /// By rule, see [`rule_index`].
    pub(crate) projections: [Option<Seen>; 3],
    pub(crate) occlusion: Option<(usize, u32, Arc<Occlusion>)>,
}

/// A projection and the picture that it is of.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) model: u32,
    pub(crate) picture: usize,
    pub(crate) unit: Unit,
    pub(crate) projection: Arc<Projection>,
    pub(crate) loaded: Arc<Loaded>,
}

/// All rules, in the order of `b`.
pub(crate) const RULES: [Rule; 3] = [Rule::Deconv, Rule::Gradient, Rule::Guided];

/// Its place in [`RULES`].
pub(crate) fn rule_index(rule: Rule) -> usize {
    RULES.iter().position(|&r| r == rule).unwrap_or(0)
}

/// `deconv`, `gradient`, `guided`
pub(crate) fn rule_name(rule: Rule) -> &'static str {
    match rule {
        Rule::Deconv => "deconv",
        Rule::Gradient => "gradient",
        Rule::Guided => "guided",
    }
}

/// Of a unit whose projection is nothing.
pub(crate) const SILENT: &str = "silent here: nothing comes back";

/// One line on what a rule does.
pub(crate) fn rule_meaning(rule: Rule) -> &'static str {
    match rule {
        Rule::Deconv => "deconv: a ReLU passes the positive part of the signal (Zeiler & Fergus 2013)",
        Rule::Gradient => "gradient: a ReLU passes what it passed on the way up: the true gradient (Simonyan 2013)",
        Rule::Guided => "guided: both gates at once; the cleanest and the least selective (Springenberg 2014)",
    }
}

impl State {
    /// Nothing open yet; the cache holds at most `budget` bytes.
    pub(crate) fn new(size: [u16; 2], mode: ColorMode, budget: usize) -> Self {
        Self {
            size,
            mode,
            aspect: 2.0,
            now: Duration::ZERO,
            keys: KeyMap::default(),
            look: Look::default(),
            model: Model::default(),
            pictures: Vec::new(),
            selection: Selection::default(),
            view: View::Browse,
            pane: Pane::Maps,
            expanded: false,
            zoomed: false,
            overlay: None,
            found: Found::default(),
            pin: None,
            frozen: false,
            flights: HashMap::new(),
            failed: HashMap::new(),
            generation: 0,
            cache: Cache::new(budget),
            shown: Shown::default(),
            notice: None,
            hover: None,
            folder: PathBuf::from("."),
            fresh: false,
            wished: None,
            options: Vec::new(),
        }
    }

    pub(crate) fn theme(&self) -> &Theme {
        &self.look.themes[self.look.theme.min(self.look.themes.len() - 1)]
    }

    pub(crate) fn subject(&self) -> Option<&Arc<Subject>> {
        self.model.subject.as_ref()
    }

    /// Of cursors and outlines on pictures.
    pub(crate) fn cursor(&self) -> [u8; 3] {
        flat(self.theme().cursor, self.mode)
    }

    /// Whether pictures are drawn with letters that are darker than their ground.
    pub(crate) fn dark_letters(&self) -> bool {
        self.mode == ColorMode::None && self.theme().light
    }

    /// The map of colours; where there are none, the one whose lowest number is no ink at all.
    pub(crate) fn colormap(&self) -> &'static Colormap {
        match self.mode {
            ColorMode::None => MapName::Grey.map(),
            mode => self.look.colormap.in_mode(mode),
        }
    }

    /// The run that is shown, if it is of this model.
    pub(crate) fn run(&self) -> Option<&Arc<Run>> {
        let subject = self.subject()?;
        self.shown.run.as_ref().filter(|r| r.model == subject.id)
    }

    /// Whether the run that is shown is of the selected picture.
    pub(crate) fn run_is_current(&self) -> bool {
        self.run().is_some_and(|r| r.picture == self.selection.picture)
    }

    /// Whether something is on its way that will change the panes.
    pub(crate) fn awaits(&self) -> bool {
        let changes = |kind: &Kind| match kind {
            Kind::Open | Kind::Project => true,
            // Else more of a run that is shown.
            Kind::Run => !self.run_is_current(),
            Kind::List | Kind::Save | Kind::Occlude => false,
        };
        self.flights.keys().any(changes)
    }

    /// The selected layer's maps, once they are there.
    pub(crate) fn maps(&self) -> Option<&Tensor> {
        self.run()?.trace.tensor(self.selection.layer)
    }

    /// The place that counts: the cursor's, else the strongest of the unit.
    pub(crate) fn place(&self) -> [usize; 2] {
        let Some(maps) = self.maps() else { return self.selection.place.unwrap_or([0, 0]) };
        let [h, w] = maps.shape.size();
        match self.selection.place {
            Some([y, x]) => [y.min(h - 1), x.min(w - 1)],
            None => projection::strongest_place(maps.channel(0, self.selection.channel.min(maps.shape.c - 1)), w).0,
        }
    }

    /// The selected unit, to be walked back from under `rule`.
    pub(crate) fn unit(&self, rule: Rule) -> Unit {
        let seed = Seed::Unit { channel: self.selection.channel, at: self.place() };
        Unit { layer: self.selection.layer, seed, rule }
    }

    /// The activation at the selected place.
    pub(crate) fn activation(&self) -> Option<f32> {
        let maps = self.maps()?;
        let [y, x] = self.place();
        maps.channel(0, self.selection.channel).get(y * maps.shape.w + x).copied()
    }

    /// Whether `seen` is what is selected now.
    pub(crate) fn is_current(&self, seen: &Seen) -> bool {
        let id = self.subject().map(|s| s.id);
        Some(seen.model) == id && seen.picture == self.selection.picture && seen.unit == self.unit(seen.unit.rule)
    }

    /// The class whose probability is mapped and marked: the chosen one, else the most probable.
    pub(crate) fn class(&self) -> Option<usize> {
        self.selection.class.or_else(|| self.run().and_then(|r| r.classes.first()).map(|c| c.0))
    }

    /// What the occlusion view asks for.
    pub(crate) fn sweep(&self) -> Sweep {
        let unit = self.subject().and_then(|s| {
            let network = s.network();
            let layer = self.selection.layer;
            // A map is needed, and one that the scores depend on.
            let spatial = s.shape(layer).is_spatial() && layer > 0 && network.ancestors(network.scores())[layer];
            spatial.then_some((layer, self.selection.channel))
        });
        Sweep { class: self.selection.class, unit }
    }

    /// The occlusion map that is shown, if it is of this picture and model.
    pub(crate) fn occlusion(&self) -> Option<&Arc<Occlusion>> {
        let id = self.subject()?.id;
        let (picture, model, map) = self.shown.occlusion.as_ref()?;
        (*picture == self.selection.picture && *model == id).then_some(map)
    }

    /// Says something for a while.
    pub(crate) fn say(&mut self, bad: bool, text: impl Into<String>) {
        let text = text.into();
        // Long enough to be read, not for ever in the way.
        let until = self.now + Duration::from_millis((2500 + 50 * text.chars().count() as u64).min(8000));
        self.notice = Some(Notice { bad, text, until });
    }

    /// The selected picture's name without its folder; safe to show.
    pub(crate) fn picture_name(&self, picture: usize) -> String {
        let Some(source) = self.pictures.get(picture) else { return String::new() };
        let name = match source.path().and_then(|p| p.file_name()) {
            Some(name) => name.to_string_lossy().into_owned(),
            None => "stdin".into(),
        };
        switchback_core::text::escape(&name).into_owned()
    }
}
