//! Looks at one picture at a time: decoding, maps and composing go on beside the UI, and only for the latest wish.

use std::sync::Arc;
use std::time::{Duration, Instant};

use candle_core::Device;
use ratatui::Frame;
use ratatui::layout::Rect;

use crate::cards::catalogue::Home;
use crate::cards::model::{Input, ModelCard};
use crate::data::Sample;
use crate::error::{Error, Result};
use crate::explain::explainer::{self, Method};
use crate::explain::gradcam::Cam;
use crate::explain::integrated_gradients;
use crate::explain::map::{Map, Placed};
use crate::explain::overlay::EMPTY;
use crate::explain::region;
use crate::imaging::picture::Picture;
use crate::inference::prepare;
use crate::models::{self, Model};
use crate::tui::compose::View;
use crate::tui::image::{Graphics, Prepared};
use crate::tui::jobs::News;
use crate::tui::keymap::Action;
use crate::tui::shared::Shared;

/// The methods that a map is made by, in turn.
fn methods() -> [Method; 5] {
    let cams = [Cam::GradCam, Cam::GradCamPlusPlus, Cam::HiResCam].map(Method::Cam);
    let integrated = Method::IntegratedGradients(integrated_gradients::Settings::default());
    [cams[0], cams[1], cams[2], Method::InputGradient, integrated]
}

/// A model that explains, and how to get it.
#[derive(Clone)]
pub struct Explainer {
    /// Its card.
    pub card: ModelCard,
    /// Where the card was.
    pub home: Home,
    /// SHA-256 of the weights that the scores are from, where they are.
    pub weights: Option<String>,
}

/// Places in [`Viewer::making`].
const QUICK: usize = 0;
const SLOW: usize = 1;

/// What is to be seen.
#[derive(Clone, PartialEq)]
pub struct Wanted {
    sample: Sample,
    view: View,
    size: (usize, usize),
    graphics: Graphics,
    /// Number of the model's label that is explained, and how.
    map: Option<(usize, Method)>,
}

/// What is seen.
pub struct Look {
    wanted: Wanted,
    prepared: Option<Arc<Prepared>>,
    picture: Option<Arc<Picture>>,
    explained: Option<Explained>,
    model: Option<Arc<Model>>,
    /// Of the model's labels, where it was run.
    pub probabilities: Option<Vec<f64>>,
    /// What went wrong, if anything did.
    pub fault: Option<Error>,
}

/// A map, and how it was made.
#[derive(Clone)]
struct Explained {
    of: (usize, Method),
    /// The method and its layer.
    name: String,
    map: Arc<Map>,
    took: Duration,
}

/// The viewer's state.
#[derive(Default)]
pub struct Viewer {
    /// How the picture is looked at.
    pub view: View,
    /// Number of the model's label that is explained, where it is not the panel's.
    pub label: Option<usize>,
    method: usize,
    look: Option<Look>,
    /// What is being made: something quick, and a map that takes seconds.
    making: [Option<Wanted>; 2],
}

impl Viewer {
    /// Carries an action out. Whether it was one of the viewer's.
    pub fn act(&mut self, action: Action) -> bool {
        let view = &mut self.view;
        match action {
            Action::Overlaid => view.map = !view.map,
            Action::Method => self.method += 1,
            Action::Opacity => view.opacity += 1,
            Action::Colours => view.turbo = !view.turbo,
            Action::SideBySide => view.side = !view.side,
            Action::Window => view.window += 1,
            Action::Level => view.level += 1,
            Action::ZoomIn => view.zoom = (view.zoom + 1).min(4),
            Action::ZoomOut => {
                view.zoom = view.zoom.saturating_sub(1);
                view.pan = if view.zoom == 0 { (0, 0) } else { view.pan };
            }
            Action::PanLeft => view.pan.0 = (view.pan.0 - 1).max(-64),
            Action::PanRight => view.pan.0 = (view.pan.0 + 1).min(64),
            Action::PanUp => view.pan.1 = (view.pan.1 - 1).max(-64),
            Action::PanDown => view.pan.1 = (view.pan.1 + 1).min(64),
            _ => return false,
        }
        true
    }

    /// Takes in what was looked at, if this viewer has asked for it.
    pub fn hear(&mut self, look: Box<Look>) -> Option<Box<Look>> {
        let Some(slot) = self.making.iter().position(|m| m.as_ref() == Some(&look.wanted)) else { return Some(look) };
        self.making[slot] = None;
        match &mut self.look {
            // A person has gone on to another picture meanwhile.
            Some(now) if slot == SLOW && now.wanted.sample != look.wanted.sample => now.model = look.model,
            _ => self.look = Some(*look),
        }
        None
    }

    /// What is known of `sample` by now.
    pub fn look(&self, sample: &Sample) -> Option<&Look> {
        self.look.as_ref().filter(|l| l.wanted.sample == *sample)
    }

    /// Starts what is needed for `wanted`, one thing of a kind at a time. What takes seconds comes after the bare picture.
    fn make(&mut self, wanted: Wanted, explainer: Option<&Explainer>, shared: &mut Shared) {
        let slow = matches!(wanted.map, Some((_, Method::IntegratedGradients(_))));
        let look = self.look(&wanted.sample);
        let at_hand = look.and_then(|l| l.explained.as_ref()).is_some_and(|e| Some(e.of) == wanted.map);
        let bare = Wanted { map: None, ..wanted.clone() };
        let (wanted, slot) = match slow && !at_hand {
            false => (wanted, QUICK),
            true if look.is_some_and(|l| l.wanted == bare) => (wanted, SLOW),
            true => (bare, QUICK),
        };
        if self.making[slot].is_none() {
            self.making[slot] = Some(wanted.clone());
            let before = self.look.as_ref().map(Look::kept);
            let explainer = explainer.cloned();
            shared.jobs.start(move |_| News::Looked(Box::new(Look::new(wanted, before, explainer))));
        }
    }

    /// Draws the picture of `sample` into `area`, and starts what is needed for it. `label` is the number of the model's
    /// label to explain.
    pub fn draw(
        &mut self,
        sample: &Sample,
        explainer: Option<&Explainer>,
        label: Option<usize>,
        area: Rect,
        frame: &mut Frame,
        shared: &mut Shared,
    ) {
        let graphics = shared.graphics;
        let size = graphics.pixels(area);
        if size.0 == 0 || size.1 == 0 {
            return;
        }
        let method = methods()[self.method % methods().len()];
        let map = self.label.or(label).filter(|_| self.view.map && explainer.is_some()).map(|label| (label, method));
        let wanted = Wanted { sample: sample.clone(), view: self.view, size, graphics, map };
        if self.look.as_ref().is_none_or(|l| l.wanted != wanted) {
            self.make(wanted, explainer, shared);
        }
        let Some(look) = self.look(sample).filter(|l| l.fault.is_none() || l.picture.is_some()) else { return };
        let fits = (look.wanted.size, look.wanted.graphics) == (size, graphics);
        if let Some(prepared) = look.prepared.as_ref().filter(|_| fits) {
            graphics.place(&prepared.raster, area, frame.buffer_mut(), &shared.theme);
            if graphics.sends() {
                shared.picture = Some((prepared.clone(), area));
            }
        }
    }
}

/// What of one look serves the next.
struct Kept {
    sample: Sample,
    picture: Option<Arc<Picture>>,
    explained: Option<Explained>,
    model: Option<Arc<Model>>,
    probabilities: Option<Vec<f64>>,
}

impl Look {
    fn kept(&self) -> Kept {
        Kept {
            sample: self.wanted.sample.clone(),
            picture: self.picture.clone(),
            explained: self.explained.clone(),
            model: self.model.clone(),
            probabilities: self.probabilities.clone(),
        }
    }

    /// Does what has not been done before.
    fn new(wanted: Wanted, before: Option<Kept>, explainer: Option<Explainer>) -> Self {
        let mut look = Self {
            prepared: None,
            picture: None,
            explained: None,
            model: before.as_ref().and_then(|b| b.model.clone()),
            probabilities: None,
            fault: None,
            wanted,
        };
        if let Some(before) = before.filter(|b| b.sample == look.wanted.sample) {
            look.picture = before.picture;
            look.explained = before.explained;
            look.probabilities = before.probabilities;
        }
        if let Err(e) = look.fill(explainer.as_ref()) {
            look.fault = Some(e);
        }
        look
    }

    /// The map that was asked for, if it is there.
    fn shown(&self) -> Option<&Explained> {
        self.explained.as_ref().filter(|e| Some(e.of) == self.wanted.map)
    }

    /// How the map of `label` was made and how long that took, in words; `None` where there is no map.
    pub fn map_line(&self, label: &str) -> Option<String> {
        let Explained { name, map, took, .. } = self.shown()?;
        let empty = if map.highest() > 0.0 { String::new() } else { format!(", {EMPTY}") };
        Some(format!("{name} of {label}, {:.0} ms{empty}", 1000.0 * took.as_secs_f64()))
    }

    fn fill(&mut self, explainer: Option<&Explainer>) -> Result<()> {
        let whole = Input { channels: 1, steps: Vec::new() };
        let input = explainer.map_or(&whole, |e| &e.card.input);
        let picture = match &self.picture {
            Some(picture) => picture.clone(),
            None => Arc::new(prepare::picture(&self.wanted.sample, input).1?),
        };
        self.picture = Some(picture.clone());
        let explained = match (self.wanted.map, explainer) {
            (Some(of), Some(explainer)) if self.shown().is_none() => self.explain(&picture, explainer, of),
            _ => Ok(()),
        };
        let region = region::seen(input, picture.width, picture.height);
        let placed = self.shown().map(|e| Placed { map: &e.map, region });
        let raster = self.wanted.view.compose(&picture, placed, self.wanted.size);
        self.prepared = Some(Arc::new(self.wanted.graphics.prepare(raster)?));
        explained
    }

    fn explain(&mut self, picture: &Picture, by: &Explainer, of: (usize, Method)) -> Result<()> {
        let model = match &self.model {
            Some(model) => model.clone(),
            None => by.load()?,
        };
        self.model = Some(model.clone());
        let begun = Instant::now();
        let explainer = explainer::Explainer::new(&model, &by.card, of.1, None)?;
        let image = explainer.input(picture)?;
        let found = explainer.explain(&image, (picture.width, picture.height), &[of.0])?;
        let map = found.maps.into_iter().next().ok_or_else(|| Error::new("no map").at(explainer.name()))?;
        self.probabilities = Some(models::probabilities(by.card.output, &found.logits));
        self.explained = Some(Explained { of, name: explainer.name(), map: Arc::new(map), took: begun.elapsed() });
        Ok(())
    }
}

impl Explainer {
    fn load(&self) -> Result<Arc<Model>> {
        let (model, weights) = models::load(&self.card, &self.home, &Device::Cpu)?;
        match &self.weights {
            Some(wanted) if *wanted != weights => {
                Err(Error::new("the weights are not those of the run").at(format_args!("model `{}`", self.card.name)))
            }
            _ => Ok(Arc::new(model)),
        }
    }
}
