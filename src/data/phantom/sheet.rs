//! What is drawn with strokes: vessels, look-alikes of findings, things on the patient.

use super::anatomy::Anatomy;
use super::maths::Rng;

/// The pieces a vessel is drawn in.
const STEPS: u32 = 12;

/// A sheet over the image that keeps the brightest of what is drawn on it.
pub struct Sheet {
    cells: Vec<f32>,
    side: usize,
}

impl Sheet {
    fn new(side: usize) -> Self {
        Self { cells: vec![0.0; side * side], side }
    }

    /// What is drawn on a pixel, 0 if nothing.
    pub fn at(&self, pixel: usize) -> f32 {
        self.cells[pixel]
    }

    /// A line from `a` to `b` in the patient's frame that tapers from half-width `wa` to `wb`.
    fn stroke(&mut self, body: &Anatomy, a: (f32, f32), b: (f32, f32), (wa, wb): (f32, f32), gray: f32) {
        let side = self.side as f32;
        let pixel = |(x, y)| {
            let (u, v) = body.project(x, y);
            (u * side, v * side)
        };
        self.line(pixel(a), pixel(b), (wa * side * body.scale, wb * side * body.scale), gray);
    }

    /// The same in pixels.
    fn line(&mut self, a: (f32, f32), b: (f32, f32), (wa, wb): (f32, f32), gray: f32) {
        let last = self.side as f32 - 1.0;
        let reach = wa.max(wb) + 1.0;
        let columns =
            ((a.0.min(b.0) - reach).clamp(0.0, last) as usize, (a.0.max(b.0) + reach).clamp(0.0, last) as usize);
        let rows = ((a.1.min(b.1) - reach).clamp(0.0, last) as usize, (a.1.max(b.1) + reach).clamp(0.0, last) as usize);
        let (dx, dy) = (b.0 - a.0, b.1 - a.1);
        let square = (dx * dx + dy * dy).max(1e-6);
        for row in rows.0..=rows.1 {
            for column in columns.0..=columns.1 {
                let (px, py) = (column as f32 + 0.5 - a.0, row as f32 + 0.5 - a.1);
                let along = ((px * dx + py * dy) / square).clamp(0.0, 1.0);
                let (ox, oy) = (px - along * dx, py - along * dy);
                let half = wa + (wb - wa) * along;
                // Lines thinner than a pixel dim instead.
                let cover = (half - (ox * ox + oy * oy).sqrt() + 0.5).clamp(0.0, 1.0) * (2.0 * half).min(1.0);
                let cell = &mut self.cells[row * self.side + column];
                *cell = cell.max(gray * cover);
            }
        }
    }

    /// What is drawn on the lungs: the vessels, trees from the roots towards points all over the lung that thin on the
    /// way, and the patient's look-alikes of findings.
    pub fn vessels(body: &Anatomy, side: usize) -> Self {
        let mut sheet = Self::new(side);
        let mut rng = Rng::new(&[body.patient_key, 5]);
        for lung_side in [-1.0f32, 1.0] {
            let lung = body.lung(lung_side);
            let place = |(m, y): (f32, f32)| (body.turn + lung_side * m, y);
            for _ in 0..30 {
                let goal = lung.point(rng.between(0.25, 0.98), rng.between(0.08, 1.12));
                let mut at = (0.06 + 0.03 * rng.unit(), 0.455 + 0.02 * lung_side + rng.between(-0.05, 0.06));
                let mut width = rng.between(0.0030, 0.0075);
                let mut drift = (0.0, 0.0);
                for step in 0..STEPS {
                    let left = (STEPS - step) as f32;
                    drift = (0.7 * drift.0 + 0.0035 * rng.bell(), 0.7 * drift.1 + 0.0035 * rng.bell());
                    let next = (at.0 + (goal.0 - at.0) / left + drift.0, at.1 + (goal.1 - at.1) / left + drift.1);
                    let thin = width * 0.89;
                    let gray = 0.45 + 70.0 * width;
                    sheet.stroke(body, place(at), place(next), (width, thin), gray);
                    if rng.chance(0.4) {
                        let twig = (next.0 + rng.between(-0.01, 0.05), next.1 + rng.between(-0.04, 0.04));
                        sheet.stroke(body, place(next), place(twig), (0.7 * thin, 0.2 * thin), 0.9 * gray);
                    }
                    (at, width) = (next, thin);
                }
            }
        }
        // Look-alikes: nipples, an old calcified scar, a fold of skin.
        if rng.chance(0.35) {
            let level = rng.between(0.64, 0.72);
            for x in [-0.21, 0.22] {
                let at = (x + 0.01 * rng.bell(), level + 0.01 * rng.bell());
                sheet.stroke(body, at, at, (0.011, 0.011), rng.between(0.2, 0.7));
            }
        }
        if rng.chance(0.2) {
            let (m, y) = body.lungs[0].point(rng.between(0.3, 0.9), rng.between(0.2, 0.9));
            let at = (rng.sign() * m, y);
            sheet.stroke(body, at, at, (0.006, 0.006), 1.3);
        }
        let mut fold = Rng::new(&[body.image_key, 5]);
        if fold.chance(0.15) {
            let (turned, m) = (fold.sign(), fold.between(0.28, 0.36));
            let points = [(m - 0.06, 0.16), (m - 0.01, 0.30), (m + 0.01, 0.46), (m + 0.005, 0.62)];
            for pair in points.windows(2) {
                let place = |(m, y): (f32, f32)| (turned * m, y);
                sheet.stroke(body, place(pair[0]), place(pair[1]), (0.0025, 0.0025), 0.35);
            }
        }
        sheet
    }

    /// What lies on the patient or the plate: electrodes with their wires, the side marker.
    pub fn marks(body: &Anatomy, side: usize) -> Self {
        let mut sheet = Self::new(side);
        let mut rng = Rng::new(&[body.image_key, 6]);
        let portable = body.view == "AP";
        if rng.chance(if portable { 0.6 } else { 0.04 }) {
            for (x, y) in [(-0.26, 0.30), (0.27, 0.28), (0.25, 0.72)] {
                let at = (x + 0.03 * rng.bell(), y + 0.03 * rng.bell());
                sheet.stroke(body, at, at, (0.012, 0.012), 0.90);
                let knee = (at.0 * 0.75 + 0.03 * rng.bell(), at.1 + 0.16);
                let end = (0.10 * rng.bell(), 1.02);
                sheet.stroke(body, at, knee, (0.0022, 0.0022), 0.80);
                sheet.stroke(body, knee, end, (0.0022, 0.0022), 0.80);
            }
        }
        // The side marker, an L or an R, underlined at the bedside.
        let unit = side as f32 / 128.0;
        let left = rng.chance(0.7);
        let (x, y) = (if left { 118.0 } else { 6.0 }, rng.between(5.0, 12.0));
        let mut draw = |points: &[(f32, f32)]| {
            for pair in points.windows(2) {
                let pixel = |(dx, dy): (f32, f32)| ((x + dx) * unit, (y + dy) * unit);
                sheet.line(pixel(pair[0]), pixel(pair[1]), (0.7 * unit, 0.7 * unit), 0.95);
            }
        };
        if left {
            draw(&[(0.0, 0.0), (0.0, 7.0), (4.0, 7.0)]);
        } else {
            draw(&[(0.0, 7.0), (0.0, 0.0), (3.0, 0.0), (4.0, 1.8), (3.0, 3.5), (0.0, 3.5), (4.0, 7.0)]);
        }
        if portable {
            draw(&[(-1.0, 11.0), (5.0, 11.0)]);
        }
        sheet
    }
}
