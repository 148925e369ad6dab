//! The browser's loop without a screen: a network of random weights, a picture, and a user who cannot make up their mind.

use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use switchback_core::picture::Picture;
use switchback_core::projection::{self, Rule, Settings};

use super::{Decoding, Worker};
use crate::cli::context::Context;
use crate::cli::input::Source;
use crate::color::ColorMode;
use crate::job::{Answer, Job, Kind, Request, Scope};
use crate::keys::TABLE;
use crate::message::{Effect, Message};
use crate::stage::squeezenet;
use crate::state::{CacheKey, State};
use crate::update::update;

struct Stage {
    state: State,
    worker: Worker,
    heard: Receiver<Message>,
    folder: tempfile::TempDir,
}

impl Stage {
    fn new(budget: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut state = State::new([120, 40], ColorMode::TrueColor, budget);
        for seed in 0..3_usize {
            let rgb = (0..256 * 256 * 3).map(|i| (i * (7 + seed) % 251) as u8).collect();
            let path = folder.path().join(format!("{seed}.png"));
            std::fs::write(&path, Picture::new(256, 256, rgb).to_png().unwrap()).unwrap();
            state.pictures.push(Source::Picture(path));
        }
        let (send, heard) = mpsc::channel();
        let worker = Worker::start(Context::for_tests(), Box::new(move |m| drop(send.send(m)))).unwrap();
        let mut stage = Self { state, worker, heard, folder };
        let mut effects = Vec::new();
        crate::update::open_model(&mut stage.state, None, &mut effects);
        // The model is built here, not opened by the worker.
        let generation = stage.state.flights[&Kind::Open].generation;
        let answer = Answer::Opened { id: 1, subject: squeezenet(1), warnings: Vec::new() };
        stage.tell(Message::Job { kind: Kind::Open, generation, answer });
        stage
    }

    fn tell(&mut self, message: Message) {
        for effect in update(&mut self.state, message) {
            match effect {
                Effect::Submit(request) => self.worker.submit(request),
                Effect::Cancel(kind) => self.worker.cancel(kind),
                _ => {}
            }
        }
    }

    fn press(&mut self, key: &str) {
        self.tell(Message::Key(key.parse().unwrap()));
    }

    /// Until nothing is under way.
    fn settle(&mut self) {
        while !self.state.flights.is_empty() {
            let message = self.heard.recv_timeout(Duration::from_secs(60)).expect("an answer");
            self.tell(message);
        }
    }
}

/// Threads of this process, where the system tells.
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

#[test]
fn a_thousand_selections_leave_one_worker_bounded_memory_and_an_empty_queue() {
    let mut stage = Stage::new(64 << 20);
    stage.settle();
    let before = threads();
    let mut seed = 1_u32;
    let mut random = |n: usize| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as usize % n
    };
    for _ in 0..1000 {
        let keys =
            ["h", "l", "j", "k", "J", "K", ".", ",", "b", "[", "]", "1", "2", "3", "a", "g", "G", "enter", "esc"];
        stage.press(keys[random(keys.len())]);
        assert!(stage.worker.waiting() <= Kind::ALL.len());
        assert!(stage.state.cache.bytes() <= stage.state.cache.budget());
        if random(4) == 0
            && let Ok(message) = stage.heard.try_recv()
        {
            stage.tell(message);
        }
    }
    stage.press("1");
    stage.settle();
    assert_eq!(stage.worker.waiting(), 0);
    // Other tests of this process come and go.
    assert!(threads() < before + 20, "{before} threads became {}", threads());
    assert!(stage.state.cache.bytes() <= stage.state.cache.budget());
    // What is on the screen is what was asked for last.
    let rule = crate::state::rule_index(stage.state.selection.rule);
    let projects = stage.state.subject().unwrap().projects(stage.state.selection.layer);
    let seen = stage.state.shown.projections[rule].clone();
    assert!(!projects || seen.is_some_and(|s| stage.state.is_current(&s)));
}

#[test]
fn a_glimpse_shows_what_the_whole_trace_shows() {
    let mut stage = Stage::new(256 << 20);
    let mut seen = None;
    while !stage.state.flights.is_empty() {
        let message = stage.heard.recv_timeout(Duration::from_secs(60)).unwrap();
        stage.tell(message);
        let projection = stage.state.shown.projections[0].as_ref().map(|s| s.projection.tensor.clone());
        seen = seen.or_else(|| Some((stage.state.run()?.clone(), projection?)));
    }
    let ((glimpse, projection), whole) = (seen.unwrap(), stage.state.run().unwrap().clone());
    let layer = stage.state.selection.layer;
    assert_eq!((glimpse.scope, whole.scope), (Scope::Glimpse { layer, rule: Rule::Deconv }, Scope::Whole));
    assert!(glimpse.bytes * 4 < whole.bytes, "{} of {} bytes", glimpse.bytes, whole.bytes);
    assert_eq!(glimpse.classes, whole.classes);
    assert_eq!(glimpse.trace.tensor(layer), whole.trace.tensor(layer));
    assert!(std::sync::Arc::ptr_eq(&glimpse.loaded, &whole.loaded), "the picture is read once");
    let subject = stage.state.subject().unwrap();
    let unit = stage.state.unit(Rule::Deconv);
    let again = projection::project(&subject.opened.session, &whole.trace, 0, layer, unit.seed, &Settings::default());
    assert_eq!(again.unwrap().tensor, projection);
    // Nothing of it is held twice.
    let key = CacheKey::Run { model: whole.model, picture: whole.picture, scope: glimpse.scope };
    assert!(stage.state.cache.get(&key).is_none());
}

#[test]
fn a_picture_that_is_read_ahead_is_the_one_that_is_asked_for() {
    let stage = Stage::new(1 << 20);
    let [first, second] = [0, 1].map(|i| &stage.state.pictures[i]);
    let path = first.path().unwrap();
    let found = Decoding::begin(first).unwrap().end(first).unwrap().unwrap();
    assert_eq!(found, Picture::open(path).unwrap());
    assert!(Decoding::begin(first).unwrap().end(second).is_none());
    assert!(Decoding::begin(&Source::Stdin).is_none());
    let missing = Source::Picture(stage.folder.path().join("missing.png"));
    assert!(Decoding::begin(&missing).unwrap().end(&missing).unwrap().is_err());
}

#[test]
fn an_occlusion_map_comes_coarse_to_fine_and_gives_way() {
    let mut stage = Stage::new(256 << 20);
    stage.settle();
    stage.press("3");
    let mut seen = Vec::new();
    let mut moved = false;
    while !stage.state.flights.is_empty() {
        let message = stage.heard.recv_timeout(Duration::from_secs(60)).unwrap();
        if let Message::Job { answer: Answer::Occluded { occlusion, .. }, .. } = &message {
            let known = occlusion.map.known.iter().filter(|&&k| k).count();
            seen.push((occlusion.whole, known));
        }
        stage.tell(message);
        if seen.len() == 1 && !moved {
            moved = true;
            // Another rule: a projection is served while the map goes on.
            stage.press("b");
        }
    }
    let whole = stage.state.occlusion().unwrap();
    assert!(whole.whole && whole.map.known.iter().all(|&k| k));
    assert!(seen.len() >= 3 && !seen[0].0 && seen[0].1 < seen[seen.len() - 1].1, "{seen:?}");
    let guided = stage.state.shown.projections[1].as_ref().unwrap();
    assert!(stage.state.is_current(guided), "the projection did not wait");
}

#[test]
fn failures_and_panics_are_messages() {
    let mut stage = Stage::new(64 << 20);
    stage.settle();
    let run = stage.state.run().unwrap().clone();
    stage.state.pictures.push(Source::Picture(PathBuf::from("/nowhere/\u{1b}[31m.png")));
    stage.press("[");
    stage.settle();
    let notice = stage.state.notice.clone().unwrap();
    assert!(notice.bad && notice.text.contains("nowhere") && !notice.text.contains('\u{1b}'), "{notice:?}");
    // A unit that is not there makes the job fail; one whose layer was not kept makes it panic.
    let mut unit = stage.state.unit(stage.state.selection.rule);
    unit.layer = usize::MAX;
    let request =
        Request { kind: Kind::Project, generation: 1 << 40, job: Job::Project { subject: squeezenet(9), run, unit } };
    let key = CacheKey::Save;
    let flight = crate::state::Flight { generation: 1 << 40, key, since: Duration::ZERO, progress: None };
    stage.state.flights.insert(Kind::Project, flight);
    stage.worker.submit(request);
    let message = loop {
        match stage.heard.recv_timeout(Duration::from_secs(60)).unwrap() {
            Message::Job { answer: Answer::Panicked(what), .. } => break what,
            _ => continue,
        }
    };
    assert!(message.contains("index out of bounds"), "{message}");
    // It goes on working.
    stage.state.flights.clear();
    stage.press("]");
    stage.settle();
    assert!(stage.state.run_is_current());
}

#[test]
fn what_is_shown_is_saved_with_its_command() {
    let mut stage = Stage::new(256 << 20);
    stage.settle();
    let stem = stage.folder.path().join("saved.unit");
    for (keys, want) in [(&["1"][..], "project"), (&["e"], "features"), (&["e", "3"], "occlude")] {
        keys.iter().for_each(|k| stage.press(k));
        stage.settle();
        let mut effects = Vec::new();
        crate::update::act(&mut stage.state, crate::keys::Action::Save, &mut effects);
        for effect in effects {
            let Effect::Submit(mut request) = effect else { continue };
            let Job::Save(save) = &mut request.job else { panic!("{want}") };
            save.stem.clone_from(&stem);
            stage.worker.submit(request);
        }
        stage.settle();
    }
    for (name, verb) in [("saved.unit", "project"), ("saved.unit-2", "features"), ("saved.unit-3", "occlude")] {
        let read = |end: &str| std::fs::read(stage.folder.path().join(format!("{name}.{end}"))).unwrap();
        Picture::decode(std::path::Path::new(name), &read("png")).unwrap();
        assert!(read("npy").starts_with(b"\x93NUMPY"));
        let document: serde_json::Value = serde_json::from_slice(&read("json")).unwrap();
        let command = String::from_utf8(read("sh")).unwrap();
        assert_eq!(document["command"], command.trim_end());
        assert!(command.starts_with(&format!("switchback {verb} ")), "{command}");
        assert!(document["model"].is_object() && document["preprocess"].is_object());
    }
}

#[test]
fn every_action_may_come_at_any_time() {
    let mut stage = Stage::new(64 << 20);
    for binding in TABLE {
        for key in binding.keys {
            stage.press(key);
            stage.state.overlay = None;
        }
    }
    stage.settle();
    assert_eq!(stage.worker.waiting(), 0);
}
