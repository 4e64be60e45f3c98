//! smECE, the calibration error without bins (Blasiok & Nakkiran 2023), by the definition of their package relplot.

use std::f64::consts::PI;

use super::calibration::Forecast;

/// Bandwidths below this are not searched.
const FINEST: f64 = 0.001;
/// Halvings of the bandwidth interval, so that the search step ends at 2^-10.
const HALVINGS: usize = 10;

/// Smooth calibration error, in [0, 1].
///
/// Residuals p - y, spread linearly on a grid of [0, 1], are smoothed with a Gaussian reflected at both ends; the
/// mean of their absolute value on a mesh is the error at one bandwidth. The bandwidth is the least (bisection from
/// 1 and 0 in ten halvings) that its own error does not exceed. As relplot 1.0.3: grid of max(2000, 20/bandwidth)/2 + 1
/// points, mesh of max(200, 10/bandwidth), the kernel cut half a unit from its centre. We cut it earlier, where it
/// falls below 1e-17 of its peak.
pub fn smece(forecast: &Forecast) -> f64 {
    let mut grid = Grid::new(forecast, points(1.0));
    let mut error = |bandwidth: f64| {
        if grid.points() != points(bandwidth) {
            grid = Grid::new(forecast, points(bandwidth));
        }
        grid.error(bandwidth)
    };
    let mut not_above_error = |bandwidth: f64| bandwidth < FINEST || bandwidth < error(bandwidth);
    let (mut high, mut low) = (1.0, 0.0);
    if !not_above_error(high) {
        for _ in 0..HALVINGS {
            let middle = 0.5 * (high + low);
            *(if not_above_error(middle) { &mut low } else { &mut high }) = middle;
        }
    }
    error(high)
}

/// Grid points for a bandwidth, which is at least 2^-10, so that they are few.
fn points(bandwidth: f64) -> usize {
    (20.0 / bandwidth).round_ties_even().max(2000.0) as usize / 2 + 1
}

/// Residuals and rows spread on a grid of [0, 1], mirrored at both ends.
struct Grid {
    residual: Vec<f64>,
    density: Vec<f64>,
}

impl Grid {
    fn new(forecast: &Forecast, points: usize) -> Self {
        let (mut residual, mut density) = (vec![0.0; points], vec![0.0; points]);
        for (&y, &p) in forecast.y().iter().zip(forecast.p()) {
            let r = p - f64::from(u8::from(y));
            let (cell, part) = cell(p, points);
            residual[cell] += (1.0 - part) * r;
            residual[cell + 1] += part * r;
            density[cell] += 1.0 - part;
            density[cell + 1] += part;
        }
        Self { residual: mirrored(&residual), density: mirrored(&density) }
    }

    fn points(&self) -> usize {
        self.residual.len() / 3 + 1
    }

    /// The error at one bandwidth.
    fn error(&self, bandwidth: f64) -> f64 {
        let points = self.points();
        let weight = |j: usize| {
            let t = j as f64 / (points - 1) as f64 - 0.5;
            libm::exp(-t * t / (2.0 * bandwidth * bandwidth)) / ((2.0 * PI).sqrt() * bandwidth)
        };
        let reach = 0.5f64.min(8.9 * bandwidth);
        let first = ((0.5 - reach) * (points - 1) as f64).ceil() as usize;
        let kernel: Vec<f64> = (first..points - first).map(weight).collect();
        let smoothed = |i: usize| {
            let window = points / 2 + i + first..points / 2 + i + first + kernel.len();
            [dot(&kernel, &self.residual[window.clone()]), dot(&kernel, &self.density[window])]
        };
        let mesh = (10.0 / bandwidth).round_ties_even().max(200.0) as usize;
        let (mut error, mut total) = (0.0, 0.0);
        // Neighbouring mesh points share grid points.
        let mut known = (usize::MAX, [0.0; 2]);
        for i in 0..mesh {
            let (cell, part) = cell(i as f64 / (mesh - 1) as f64, points);
            let left = if known.0 == cell { known.1 } else { smoothed(cell) };
            let right = smoothed(cell + 1);
            known = (cell + 1, right);
            let [residual, density] = [0, 1].map(|k| left[k] * (1.0 - part) + right[k] * part);
            // relplot adds 1e-4 to the density against division by zero, which leaves |residual| as it is.
            error += residual.abs();
            total += density + 1e-4;
        }
        error / total
    }
}

/// The grid cell of `t` in [0, 1] and how far into it.
fn cell(t: f64, points: usize) -> (usize, f64) {
    let at = t * (points - 1) as f64;
    let cell = (at as usize).min(points - 2);
    (cell, at - cell as f64)
}

fn mirrored(values: &[f64]) -> Vec<f64> {
    let back = values.iter().rev();
    back.clone().take(values.len() - 1).chain(values).chain(back.skip(1)).copied().collect()
}

/// Eight sums side by side, which the compiler turns into vector instructions.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (a_eights, a_rest) = a.as_chunks::<8>();
    let (b_eights, b_rest) = b.as_chunks::<8>();
    for (x, y) in a_eights.iter().zip(b_eights) {
        for k in 0..8 {
            sums[k] += x[k] * y[k];
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum();
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    // Reference values: relplot 1.0.3, smECE(f, y).
    #[test]
    fn small_and_made_up_tables() {
        let is = |y: &[bool], p: &[f64], want: f64| {
            let ours = smece(&Forecast::new(y, p).unwrap());
            assert!((ours - want).abs() < 1e-9, "{ours} against {want}");
        };
        is(&[true, false, true], &[0.9, 0.2, 0.4], 0.181_960_108_434_79);
        is(&[false, false], &[1.0, 1.0], 0.999_738_975_192_279_5);
        is(&[true], &[0.5], 0.499_927_180_678_553_6);
        is(&[true, false].repeat(50), &[0.5; 100], 0.0);
        for (n, modulus, want) in [(1000, 1000, 0.011_611_936_118_454_5), (20_000, 20_011, 0.002_232_217_951_320_5)] {
            let p: Vec<f64> = (0..n).map(|i| f64::from(i) / f64::from(n - 1)).collect();
            let y: Vec<bool> =
                p.iter().zip(0..).map(|(p, i)| f64::from(i * 7919 % modulus) / f64::from(modulus) < *p).collect();
            is(&y, &p, want);
        }
    }
}
