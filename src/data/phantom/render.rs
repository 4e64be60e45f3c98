//! Draws an [`Anatomy`] into pixels and masks.

use super::anatomy::{Anatomy, CARDIOMEGALY, CONSOLIDATION, EFFUSION, Lesion, Lung, NODULE, PNEUMOTHORAX};
use super::maths::{Rng, bump, noise, smooth};
use super::sheet::Sheet;
use super::{Cohort, Phantom, PhantomId};

/// Draws one image of the cohort. The same arguments give the same bytes on every machine.
pub fn render(cohort: &Cohort, id: &PhantomId) -> Phantom {
    let body = Anatomy::of(cohort, id);
    let side = cohort.size as usize;
    let vessels = Sheet::vessels(&body, side);
    let marks = Sheet::marks(&body, side);
    let mut grain = Rng::new(&[body.image_key, 9]);
    // Larger pixels catch more quanta.
    let grain_size = body.noise * (cohort.size as f32 / 128.0).sqrt();
    let mut pixels = Vec::with_capacity(side * side);
    let mut masks = body.lesions.map(|lesion| lesion.map(|_| Vec::with_capacity(side * side)));
    for at in 0..side * side {
        let (u, v) = ((at % side) as f32 + 0.5, (at / side) as f32 + 0.5);
        let (x, y) = body.locate(u / side as f32, v / side as f32);
        let (thickness, found) = thickness(&body, x, y, vessels.at(at));
        for (mask, found) in masks.iter_mut().zip(found) {
            if let Some(mask) = mask {
                mask.push(found);
            }
        }
        // Few quanta pass where the body is thick.
        let quanta = grain_size * (0.5 + thickness) * grain.bell();
        let exposed = (thickness + quanta - 0.5) * body.gain + 0.5 + body.offset;
        let shown = exposed.max(marks.at(at)).clamp(0.0, 1.0);
        pixels.push((255.0 * (0.35 * shown + 0.65 * smooth(shown)) + 0.5) as u8);
    }
    Phantom {
        size: cohort.size,
        pixels,
        truths: body.lesions.map(|lesion| lesion.is_some()),
        masks,
        age: body.age,
        sex: body.sex,
        view: body.view,
    }
}

/// What lies in the beam at a point, as the gray it makes (0 air, 1 metal), and which findings are there.
fn thickness(body: &Anatomy, x: f32, y: f32, vessel: f32) -> (f32, [bool; 5]) {
    let mut found = [false; 5];
    let middle = x - body.turn;
    let side = if middle < 0.0 { -1.0 } else { 1.0 };
    let m = middle.abs();
    let lung = body.lung(side);
    let depth = lung.depth(m, y);
    let air = 0.65 * smooth(depth / 0.014 + 0.5) + 0.35 * smooth(depth / 0.13);
    let inside = depth > 0.0;

    // Soft tissue: neck, shoulders, chest wall, belly.
    let trunk = 0.12 + 0.46 * smooth((y - 0.005) / 0.20) - 0.06 * smooth((y - 0.22) / 0.22) + 0.02 * y;
    let skin = smooth((trunk - x.abs()) / 0.10).sqrt();
    let blotch = noise(body.patient_key, 7.0 * x + 90.0, 7.0 * y + 90.0);
    let mut t = skin * (0.49 + 0.10 * body.tissue + 0.10 * y + 0.018 * blotch);
    if body.sex == "F" {
        let (bx, by) = ((m - 0.23) / 0.19, (y - 0.63) / 0.17);
        t += (0.03 + 0.06 * body.tissue) * smooth(2.5 * (1.0 - (bx * bx + by * by).sqrt()));
    }
    // Stomach gas under the left dome.
    let (gx, gy) = ((x - 0.19) / 0.075, (y - lung.dome(0.19) - 0.06) / 0.032);
    t -= 0.13 * smooth(1.6 * (1.0 - gx * gx - gy * gy)) * if side > 0.0 { 1.0 } else { 0.0 };

    // What the air of the lung is replaced by: heart, great vessels, then the findings.
    let in_heart = body.in_heart(x, y);
    let heart = smooth(in_heart / 0.10 + 0.5) * smooth((lung.dome(m) + 0.06 - y) / 0.05);
    found[CARDIOMEGALY] = in_heart > 0.0 && y < lung.dome(m) + 0.03;
    // The great vessels widen towards the heart.
    let waist = body.mediastinum
        + 0.010 * noise(body.patient_key ^ 4, side, 9.0 * y)
        + 0.035 * smooth((y - 0.36) / 0.22) * if side > 0.0 { 1.0 } else { 0.3 };
    let (kx, ky) = (x - body.turn - 0.052, y - 0.315);
    let knob = smooth((body.knob - (kx * kx + ky * ky).sqrt()) / 0.016 + 0.5);
    let (hx, hy) = ((m - 0.085) / 0.05, (y - 0.455 - 0.02 * side) / 0.075);
    let root = 0.55 * bump(hx * hx + hy * hy);
    let centre = smooth((waist - m) / 0.024 + 0.5).max(knob).max(root);
    let open = air * (1.0 - 0.92 * heart) * (1.0 - centre);

    // Lung tissue and its vessels, or the bare air of a pneumothorax.
    let fine = noise(body.patient_key ^ 1, 55.0 * x + 500.0, 55.0 * y + 500.0);
    let mut tissue = vessel * body.vessels * 0.17 + 0.010 * fine;
    if let Some(lesion) = lesion_on(body, PNEUMOTHORAX, side) {
        let rim = body.rim(lesion, m, y);
        found[PNEUMOTHORAX] = inside && rim > 0.0;
        let bare = smooth(rim / 0.008 + 0.5);
        let line = bump(rim * rim / 0.00006) * 0.05;
        let squeezed = 0.05 * lesion.severity;
        tissue = (tissue + squeezed) * (1.0 - bare) - (0.015 + 0.05 * lesion.severity) * bare;
        tissue += if inside { line } else { 0.0 };
    }
    let mut fill = 0.0f32;
    if let Some(lesion) = lesion_on(body, CONSOLIDATION, side) {
        let (cx, cy) = lung.point(lesion.across, lesion.down);
        let wide = 0.085 + 0.09 * lesion.severity;
        let (dx, dy) = ((m - cx) / wide, (y - cy) / (0.8 * wide));
        let ragged =
            noise(body.patient_key ^ 2, 16.0 * x, 16.0 * y) + 0.5 * noise(body.patient_key ^ 3, 40.0 * x, 40.0 * y);
        let patch = bump(0.75 * (dx * dx + dy * dy)) * (0.72 + 0.35 * ragged);
        found[CONSOLIDATION] = inside && patch > 0.22;
        fill = (0.20 + 1.00 * lesion.severity) * patch.clamp(0.0, 0.85);
    }
    if let Some(lesion) = lesion_on(body, EFFUSION, side) {
        let below = y - body.fluid_level(lesion, m);
        // The mask takes in the soft edge of the surface.
        found[EFFUSION] = inside && below > -0.01;
        fill = fill.max((0.10 + 0.80 * lesion.severity) * smooth(below / 0.035 + 0.4));
    }
    t -= 0.40 * open * (1.0 - fill) * (1.0 - 0.12 * body.tissue);
    t += tissue * open * (1.0 - 0.7 * fill) + 0.045 * heart.max(centre) * skin;

    t += bones(body, lung, x, middle, y, open * (1.0 - 0.6 * fill)) * skin;
    if let Some(lesion) = lesion_on(body, NODULE, side) {
        let (cx, cy) = lung.point(lesion.across, lesion.down);
        let radius = 0.022 + 0.024 * lesion.severity;
        let square = ((m - cx) * (m - cx) + (y - cy) * (y - cy)) / (radius * radius);
        found[NODULE] = square < 1.0;
        t += (0.045 + 0.27 * lesion.severity) * bump(0.6 * square).min(0.6);
    }
    (t, found)
}

fn lesion_on(body: &Anatomy, finding: usize, side: f32) -> Option<&Lesion> {
    body.lesions[finding].as_ref().filter(|lesion| lesion.side == side)
}

/// The gray of the skeleton at a point, and of the windpipe, which is missing tissue.
fn bones(body: &Anatomy, lung: &Lung, x: f32, middle: f32, y: f32, open: f32) -> f32 {
    let m = middle.abs();
    // Ribs: r is 0 at the spine and 1 at the wall; back ribs arch down and outwards, front ribs come back inwards.
    let r = m / (lung.centre + lung.half);
    let edge = smooth((1.06 - r) / 0.06);
    let back = y - body.rib_top + 0.035 * smooth(r / 0.45) - 0.115 * r * r * r;
    let front = y - body.rib_top - 0.155 + 0.13 * (1.0 - r) * (0.4 - r);
    let rows = smooth((y - 0.06) / 0.05) * smooth((0.93 - y) / 0.12) * (0.30 + 0.70 * open);
    let mut t = 0.090 * band(back, body.rib_gap, 0.0125) * edge * smooth((m - 0.03) / 0.03) * rows;
    t += 0.055 * band(front, body.rib_gap * 1.12, 0.014) * edge * smooth((r - 0.36) / 0.3) * rows;

    // Collar bones, from beside the sternum up to the shoulders.
    let along = (m - 0.035) / 0.33;
    let level = body.clavicle - 0.045 * along - 0.045 * smooth(along) + 0.25 * middle * body.roll;
    let thick = 0.017 - 0.005 * bump(4.0 * (along - 0.5) * (along - 0.5));
    let off = (y - level).abs();
    t += 0.12 * smooth((thick - off) / 0.006 + 0.5) * smooth(along * 14.0 + 0.5) * smooth((1.1 - along) * 8.0);

    // Inner borders of the shoulder blades.
    let blade = m - 0.375 - 0.06 * (y - 0.35);
    t += 0.05 * smooth(blade / 0.012 + 0.5) * smooth((y - 0.14) / 0.06) * smooth((0.50 - y) / 0.10);

    // Spine: vertebrae with brighter edges, darker discs.
    let bone = smooth((0.036 - x.abs()) / 0.010 + 0.5);
    let row = y / 0.058 - (y / 0.058).floor();
    let disc = bump((row - 0.5) * (row - 0.5) / 0.03);
    t += bone * (0.040 - 0.028 * disc) + 0.012 * bump((x.abs() - 0.034) * (x.abs() - 0.034) / 0.0001);
    // Windpipe down to its fork.
    t - 0.11 * smooth((0.020 - m) / 0.012 + 0.5) * smooth((0.40 - y) / 0.06)
}

/// A row of bands `gap` apart with half-thickness `half`, brighter along their edges.
fn band(y: f32, gap: f32, half: f32) -> f32 {
    let row = y / gap - (y / gap).floor();
    let off = (row - 0.5).abs() * gap;
    let rim = (off - 0.8 * half) / (0.35 * half);
    smooth((half - off) / 0.006 + 0.5) * (0.75 + 0.35 * bump(rim * rim))
}
