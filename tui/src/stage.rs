//! For tests: the browser without screen and worker. What is asked for is done at once, between two messages.

use std::ops::ControlFlow;
use std::sync::Arc;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use switchback_core::architecture::{Name, build};
use switchback_core::occlusion::{self, Cover, default_size, default_stride, occlude_in_stages};
use switchback_core::picture::Picture;
use switchback_core::preprocess::{Chosen, Preprocess};
use switchback_core::projection::{self, Settings};
use switchback_core::session::Session;
use switchback_core::{Cpu, Model, labels};

use crate::cli::input::{Loaded, Source};
use crate::cli::model::Opened;
use crate::cli::occlude::mean_fill;
use crate::color::ColorMode;
use crate::job::{Answer, Job, Kind, Occlusion, Run, Scope, Sweep};
use crate::message::{Effect, Message};
use crate::state::State;
use crate::subject::Subject;
use crate::update::{open_model, update};
use crate::view::draw;
use crate::worker::keep;

/// A network that can be reckoned by hand, as the tests of the command line have it.
#[path = "../../tests/cli/tiny.rs"]
#[allow(dead_code)]
mod reckoned;

fn subject(id: u32, model: Model, preset: &str, path: Option<&str>) -> Arc<Subject> {
    let labels = model.labels.clone().unwrap_or_else(labels::imagenet);
    let session = Arc::new(Session::new(Arc::new(model), Cpu::new(2), None).unwrap());
    let record = Preprocess::preset(preset).unwrap();
    let preprocess = Chosen { record, source: "test".into(), guessed: false };
    Arc::new(Subject::new(id, Opened { session, preprocess, labels }, path.map(Into::into)))
}

/// SqueezeNet with random weights.
pub(crate) fn squeezenet(id: u32) -> Arc<Subject> {
    subject(id, build(Name::SqueezeNet11, 1), "caffe", Some("model.onnx"))
}

/// The network that can be reckoned by hand: the same numbers on every machine.
pub(crate) fn tiny(id: u32) -> Arc<Subject> {
    let folder = reckoned::folder();
    let model = Model::open(&folder.path().join("tiny.safetensors"), false).unwrap();
    subject(id, model, "unit", Some("tiny.safetensors"))
}

pub(crate) struct Stage {
    pub(crate) state: State,
    /// Whether occlusion maps are made; else they stay under way.
    pub(crate) sweeps: bool,
}

impl Stage {
    /// Two pictures, no model.
    pub(crate) fn new(size: [u16; 2], mode: ColorMode) -> Self {
        let mut state = State::new(size, mode, 256 << 20);
        state.pictures = vec![Source::of("photos/cat\u{1b}[31m.png".as_ref()), Source::of("photos/dog.png".as_ref())];
        Self { state, sweeps: false }
    }

    /// The same with a model.
    pub(crate) fn open(mut self, subject: Arc<Subject>) -> Self {
        open_model(&mut self.state, None, &mut Vec::new());
        let generation = self.state.flights[&Kind::Open].generation;
        let answer = Answer::Opened { id: subject.id, subject, warnings: vec![] };
        self.tell(Message::Job { kind: Kind::Open, generation, answer });
        self
    }

    /// Takes a message, and does what it asks for.
    pub(crate) fn tell(&mut self, message: Message) {
        let mut waiting = update(&mut self.state, message);
        while let Some(effect) = waiting.pop() {
            waiting.extend(self.perform(effect));
        }
    }

    /// Does what one effect asks for: what follows from it.
    pub(crate) fn perform(&mut self, effect: Effect) -> Vec<Effect> {
        let Effect::Submit(request) = effect else { return Vec::new() };
        let Some(answer) = self.answer(request.job) else { return Vec::new() };
        update(&mut self.state, Message::Job { kind: request.kind, generation: request.generation, answer })
    }

    fn answer(&self, job: Job) -> Option<Answer> {
        Some(match job {
            Job::Run { subject, picture, scope, .. } => Answer::Ran(Arc::new(run(&subject, picture, scope))),
            Job::Project { subject, run, unit } => {
                let settings = Settings { rule: unit.rule, ..Settings::default() };
                let session = &subject.opened.session;
                let found = projection::project(session, &run.trace, 0, unit.layer, unit.seed, &settings).unwrap();
                Answer::Projected { picture: run.picture, model: run.model, unit, projection: Arc::new(found) }
            }
            Job::Occlude { subject, run, sweep } if self.sweeps => {
                let occlusion = Arc::new(occlude(&subject, &run, sweep));
                Answer::Occluded { picture: run.picture, model: run.model, occlusion }
            }
            _ => return None,
        })
    }

    pub(crate) fn press(&mut self, keys: &[&str]) -> &mut Self {
        keys.iter().for_each(|k| self.tell(Message::Key(k.parse().unwrap())));
        self
    }

    /// The screen's rows.
    pub(crate) fn screen(&self) -> Vec<String> {
        let [w, h] = self.state.size;
        let mut terminal = Terminal::new(TestBackend::new(w, h)).unwrap();
        terminal.draw(|frame| draw(&self.state, frame)).unwrap();
        let buffer = terminal.backend().buffer().clone();
        (0..h).map(|y| (0..w).map(|x| buffer[(x, y)].symbol().to_owned()).collect()).collect()
    }

    pub(crate) fn shows(&self, words: &[&str]) {
        let screen = self.screen();
        let text = screen.join("\n");
        for word in words {
            assert!(text.contains(word), "{word} is missing at {:?}:\n{text}", self.state.size);
        }
        assert!(!text.contains('\u{1b}'), "an escape reached the screen");
    }
}

fn run(subject: &Subject, picture: usize, scope: Scope) -> Run {
    let shape = subject.opened.input_shape();
    let rgb = (0..3 * shape.h * shape.w).map(|i| (i * (3 + picture) % 241) as u8).collect();
    let placed = Picture::new(shape.w, shape.h, rgb);
    let tensor = subject.opened.preprocess.record.normalise(&placed, shape).unwrap();
    let loaded = Arc::new(Loaded { name: "photos/cat.png".into(), tensor, placed: Some(placed) });
    let keep = keep(subject.network(), scope).and(&subject.opened.session.keep_scores());
    let trace = subject.opened.session.run(&loaded.tensor, &keep).unwrap();
    let mut classes: Vec<(usize, f32)> =
        subject.opened.session.scores(&trace).probabilities[0].iter().copied().enumerate().collect();
    classes.sort_by(|a, b| b.1.total_cmp(&a.1));
    Run { model: subject.id, picture, scope, loaded, trace, classes, bytes: 1000 }
}

fn occlude(subject: &Subject, run: &Run, sweep: Sweep) -> Occlusion {
    let side = subject.opened.input_shape().h;
    let settings = occlusion::Settings {
        size: default_size(side),
        cover: Cover::Square,
        stride: default_stride(side),
        fill: mean_fill(&subject.opened.preprocess.record, &run.loaded).unwrap(),
        classes: vec![sweep.class.unwrap_or(run.classes[0].0)],
        layer: sweep.unit.map(|u| u.0),
        channel: sweep.unit.map(|u| u.1),
        adaptive: None,
    };
    let session = &subject.opened.session;
    let go_on = &mut |_, _: Option<&_>| ControlFlow::Continue(());
    let map = occlude_in_stages(session, &run.loaded.tensor, &settings, go_on).unwrap();
    Occlusion { sweep, map, settings, seconds: 0.0, whole: true }
}
