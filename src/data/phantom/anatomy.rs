//! The drawn facts of one radiograph: who the patient is, how the image was taken, where everything lies.
//!
//! Lengths are fractions of the image side in the patient's own frame: x is 0 on the midline and positive towards
//! the patient's left (the right of the image), y is 0 at the top and 1 at the bottom.

use super::maths::{Rng, bump, smooth};
use super::{Cohort, PhantomId};

// Where each finding stands in `super::LABELS`.
pub const CARDIOMEGALY: usize = 0;
pub const EFFUSION: usize = 1;
pub const NODULE: usize = 2;
pub const PNEUMOTHORAX: usize = 3;
pub const CONSOLIDATION: usize = 4;

/// A finding as drawn in one image.
#[derive(Clone, Copy)]
pub struct Lesion {
    /// 0 is practically invisible, 1 is plain.
    pub severity: f32,
    /// -1 is the patient's right, 1 the left.
    pub side: f32,
    /// Where in the lung: across (0 inner, 1 outer edge) and down (0 apex, 1 base).
    pub across: f32,
    pub down: f32,
}

/// One lung: a half ellipse from the apex down to its widest level, straight below, cut off by the diaphragm.
pub struct Lung {
    pub centre: f32,
    pub half: f32,
    pub apex: f32,
    pub widest: f32,
    pub base: f32,
}

impl Lung {
    /// How deep a point lies inside; negative outside. `m` is the distance from the midline.
    pub fn depth(&self, m: f32, y: f32) -> f32 {
        self.wall(m, y).min(self.dome(m) - y)
    }

    /// The distance from the ribs and the mediastinum alone.
    pub fn wall(&self, m: f32, y: f32) -> f32 {
        let across = (m - self.centre) / self.half;
        if y < self.widest {
            let up = (self.widest - y) / (self.widest - self.apex);
            (1.0 - (across * across + up * up).sqrt()) * self.half
        } else {
            let flare = self.half * (1.0 + 0.07 * smooth((y - self.widest) / 0.4));
            flare - (m - self.centre).abs()
        }
    }

    /// The level of the diaphragm: a dome that falls steeply to the costophrenic angle.
    pub fn dome(&self, m: f32) -> f32 {
        let q = (m - self.centre) / self.half + 0.15;
        self.base + if q > 0.0 { 0.105 * q * q } else { 0.04 * q * q }
    }

    /// The point at (`across`, `down`) of the lung.
    pub fn point(&self, across: f32, down: f32) -> (f32, f32) {
        let y = self.apex + down * (self.base - self.apex);
        let up = ((self.widest - y) / (self.widest - self.apex)).max(0.0);
        let half = self.half * (1.0 - up * up).max(0.0).sqrt();
        (self.centre + (2.0 * across - 1.0) * half, y)
    }
}

/// Everything that decides one radiograph, besides its noise.
pub struct Anatomy {
    pub age: u32,
    pub sex: &'static str,
    pub view: &'static str,
    /// The findings in the order of [`super::LABELS`].
    pub lesions: [Option<Lesion>; 5],
    /// The stream of the patient's fixed detail (vessels, marks) and of the image's own.
    pub patient_key: u64,
    pub image_key: u64,
    /// How the patient lies in the image: magnification, tangent of the roll, offset.
    pub scale: f32,
    pub roll: f32,
    pub shift: (f32, f32),
    /// How far the mediastinum is turned off the midline.
    pub turn: f32,
    /// The patient's right lung, then the left.
    pub lungs: [Lung; 2],
    /// Centre, half-axes and slant of the heart.
    pub heart: (f32, f32, f32, f32, f32),
    /// Half-width of the mediastinum and radius of the aortic knob.
    pub mediastinum: f32,
    pub knob: f32,
    /// Levels of the first rib and of the collar bones at the spine; from one rib to the next.
    pub rib_top: f32,
    pub rib_gap: f32,
    pub clavicle: f32,
    /// From a slim (0) to a stout (1) chest wall.
    pub tissue: f32,
    /// Contrast and brightness of the exposure, and its noise at 128 pixels a side.
    pub gain: f32,
    pub offset: f32,
    pub noise: f32,
    /// How plain the vessels are.
    pub vessels: f32,
}

impl Anatomy {
    pub fn of(cohort: &Cohort, id: &PhantomId) -> Self {
        let patient_key = Rng::new(&[cohort.seed, 1, u64::from(id.patient)]).bits();
        let image_key = Rng::new(&[patient_key, u64::from(id.index)]).bits();
        // What stays with the patient is drawn from `p`, what differs from image to image from `i`.
        let (mut p, mut i) = (Rng::new(&[patient_key]), Rng::new(&[image_key]));

        let female = p.chance(0.46);
        let age = (18.0 + 72.0 * (0.65 * p.unit() + 0.35 * p.unit())) as u32;
        let years = (age as f32 - 18.0) / 72.0;
        let bedridden = p.chance(0.3);
        let portable = i.chance(if bedridden { 0.85 } else { 0.12 });

        let lesions = lesions(&mut p, &mut i, years, bedridden);

        let breath = (0.018 * p.bell() + 0.016 * i.bell() - if portable { 0.035 } else { 0.0 }).clamp(-0.09, 0.06);
        let size = if female { 0.965 } else { 1.0 };
        let half = 0.178 * (1.0 + 0.045 * p.bell());
        let apex = 0.105 + 0.012 * p.bell();
        let base = 0.745 + breath;
        let left_lower = 0.018 + 0.012 * p.bell();
        let turn = 0.011 * i.bell();
        let lung = |side: f32| Lung {
            centre: 0.232 + 0.4 * side * turn,
            half: half * (1.0 - 0.02 * side),
            apex,
            widest: 0.50 + 0.3 * breath,
            base: base + side.max(0.0) * left_lower,
        };
        let lungs = [lung(-1.0), lung(1.0)];

        // Heart width over chest width: 0.38 to 0.50 when normal, more with the finding or from the front.
        let mut ratio = 0.440 + 0.028 * p.bell() + 0.010 * i.bell() + 0.02 * years - 0.25 * breath;
        if portable {
            ratio *= 1.05;
        }
        if let Some(lesion) = lesions[CARDIOMEGALY] {
            ratio += 0.010 + 0.135 * lesion.severity;
        }
        let wide = ratio * (lungs[0].centre + lungs[0].half);
        let tall = 0.078 + 0.27 * wide + 0.004 * p.bell();
        let slant = 0.30 + 0.05 * p.bell();
        // The half-axis along the slant that gives the outline its half-width `wide`.
        let long = (wide * wide * (1.0 + slant * slant) - slant * slant * tall * tall).sqrt();
        let heart = (0.010 + turn + 0.27 * wide, base - 0.050 - 0.4 * (tall - 0.125), long, tall, slant);

        Self {
            age,
            sex: if female { "F" } else { "M" },
            view: if portable { "AP" } else { "PA" },
            lesions,
            patient_key,
            image_key,
            scale: size * (1.0 + 0.03 * p.bell()) * (1.0 + 0.015 * i.bell()) * if portable { 1.05 } else { 1.0 },
            roll: (0.012 * p.bell() + if portable { 0.032 } else { 0.014 } * i.bell()).clamp(-0.12, 0.12),
            shift: (0.012 * i.bell(), 0.012 * i.bell() - 0.01),
            turn,
            lungs,
            heart,
            mediastinum: 0.058 + 0.006 * p.bell() + if portable { 0.008 } else { 0.0 },
            knob: 0.026 + 0.018 * years + 0.003 * p.bell(),
            rib_top: 0.155 + 0.010 * p.bell(),
            rib_gap: 0.068 + 0.003 * p.bell() + 0.12 * breath,
            clavicle: 0.185 + 0.012 * p.bell() - if portable { 0.04 } else { 0.0 },
            tissue: (0.5 + 0.22 * p.bell()).clamp(0.0, 1.0),
            gain: 1.0 + 0.07 * i.bell(),
            offset: 0.025 * i.bell(),
            noise: 0.013 * (1.0 + 0.2 * i.bell()) * if portable { 1.5 } else { 1.0 },
            vessels: 1.0 + 0.15 * p.bell() + if portable { 0.15 } else { 0.0 },
        }
    }

    /// From the patient's frame to the image (fractions of its side).
    pub fn project(&self, x: f32, y: f32) -> (f32, f32) {
        let (c, s) = self.rotation();
        let (x, y) = (x * self.scale, (y - 0.5) * self.scale);
        (0.5 + self.shift.0 + c * x - s * y, 0.5 + self.shift.1 + s * x + c * y)
    }

    /// From the image to the patient's frame.
    pub fn locate(&self, u: f32, v: f32) -> (f32, f32) {
        let (c, s) = self.rotation();
        let (u, v) = (u - 0.5 - self.shift.0, v - 0.5 - self.shift.1);
        ((c * u + s * v) / self.scale, 0.5 + (c * v - s * u) / self.scale)
    }

    /// Cosine and sine of the roll, which is the tangent of half its angle.
    fn rotation(&self) -> (f32, f32) {
        let t = 0.5 * self.roll;
        ((1.0 - t * t) / (1.0 + t * t), 2.0 * t / (1.0 + t * t))
    }

    /// The lung on `side` (-1 or 1).
    pub fn lung(&self, side: f32) -> &Lung {
        &self.lungs[usize::from(side > 0.0)]
    }

    /// How far inside the heart's outline a point is: 1 at the centre, 0 on the outline, negative outside.
    pub fn in_heart(&self, x: f32, y: f32) -> f32 {
        let (cx, cy, a, b, slant) = self.heart;
        let (dx, dy, length) = (x - cx, y - cy, (1.0 + slant * slant).sqrt());
        let (along, over) = ((dx + slant * dy) / (a * length), (dy - slant * dx) / (b * length));
        1.0 - (along * along + over * over).sqrt()
    }

    /// The rim of air at `(m, y)` of a collapsed lung: positive outside the lung, in lengths from its surface.
    pub fn rim(&self, lesion: &Lesion, m: f32, y: f32) -> f32 {
        let lung = self.lung(lesion.side);
        let reach = lung.apex + 0.30 + 0.45 * lesion.severity;
        let fade = smooth((reach - y) / (reach - lung.apex) * 1.4);
        let width = (0.022 + 0.10 * lesion.severity) * fade;
        // Towards the midline the lung keeps touching its root.
        width * smooth((m - lung.centre + 0.75 * lung.half) / (0.6 * lung.half)) - lung.wall(m, y)
    }

    /// The level of a pleural effusion's surface: high along the wall, falling towards the midline.
    pub fn fluid_level(&self, lesion: &Lesion, m: f32) -> f32 {
        let lung = self.lung(lesion.side);
        let floor = lung.dome(lung.centre + 1.05 * lung.half);
        let height = 0.030 + 0.28 * lesion.severity;
        let inward = ((lung.centre + lung.half - m) / (2.0 * lung.half)).max(0.0);
        floor - height * (0.72 + 0.28 * bump(4.0 * inward * inward)) + 0.06 * inward
    }
}

/// The findings of an image. Those of a patient come back in most of the patient's images, a little changed.
fn lesions(p: &mut Rng, i: &mut Rng, years: f32, bedridden: bool) -> [Option<Lesion>; 5] {
    let mut lesions = [None; 5];
    // How often a patient has the finding, and how often an image of such a patient shows it.
    let rates = [(0.10 + 0.22 * years, 0.95), (0.20, 0.75), (0.20, 0.90), (0.17, 0.75), (0.23, 0.75)];
    for (lesion, (rate, shown)) in lesions.iter_mut().zip(rates) {
        let has = p.chance(if bedridden { 1.4 * rate } else { 0.85 * rate });
        let (usual, side) = (p.unit(), p.sign());
        let usual = usual * (1.6 - 0.6 * usual);
        let (across, down) = (p.between(0.42, 0.84), p.between(0.22, 0.86));
        let severity = (usual + 0.12 * i.bell()).clamp(0.0, 1.0);
        if i.chance(if has { shown } else { 0.02 }) {
            *lesion = Some(Lesion { severity, side, across, down });
        }
    }
    lesions
}
