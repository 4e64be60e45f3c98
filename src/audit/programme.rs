//! Integer programmes, exactly: whole numbers within bounds such that linear sums of them lie within bounds.
//!
//! The relaxation to fractions is the general simplex of Dutertre & de Moura (2006, "A fast linear-arithmetic solver
//! for DPLL(T)"), with Bland's rule, in rational numbers of any size; whole numbers come from branch and bound.

use num_bigint::BigInt;
use num_rational::{BigRational, Ratio};
use num_traits::{One, ToPrimitive, Zero};

use super::interval::{Exact, Interval};
use super::local_search::{self, FloatRow};

/// What a search came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// These whole numbers fit.
    Feasible(Vec<u64>),
    /// None do.
    Infeasible,
    /// The search was given up.
    Undecided,
}

/// Nodes of the search before it is given up.
const NODES: usize = 2_000;

/// Whole variables `0..=high[j]` and rows `sum of coefficient * variable` within intervals.
#[derive(Debug, Clone, Default)]
pub struct Programme {
    high: Vec<u64>,
    rows: Vec<(Vec<BigInt>, BigInt, BigInt)>,
    impossible: bool,
}

impl Programme {
    /// Variables with these upper bounds, and no rows.
    pub fn new(high: Vec<u64>) -> Self {
        Self { high, ..Self::default() }
    }

    /// Adds a row: the sum of `coefficients` times the variables lies in `within`. Scaled to whole numbers, so that
    /// open ends become closed ones.
    pub fn row(&mut self, coefficients: &[Exact], within: Interval) {
        let scale = coefficients.iter().fold(BigInt::one(), |scale, c| {
            let denom = BigInt::from(*c.denom());
            &scale / gcd(&scale, &denom) * denom
        });
        let mut whole: Vec<BigInt> =
            coefficients.iter().map(|c| BigInt::from(*c.numer()) * (&scale / BigInt::from(*c.denom()))).collect();
        let common = whole.iter().fold(BigInt::zero(), |a, b| gcd(&a, b));
        let big = |x: Exact| BigRational::new(BigInt::from(*x.numer()), BigInt::from(*x.denom()));
        let end = |x: Exact| big(x) * BigRational::from(scale.clone()) / BigRational::from(common.clone());
        if common.is_zero() {
            self.impossible |= !within.holds(Exact::from(0));
            return;
        }
        whole.iter_mut().for_each(|c| *c /= &common);
        let (low, high) = (end(within.low), end(within.high));
        let mut bounds = (low.ceil().to_integer(), high.floor().to_integer());
        if !within.low_closed && low.is_integer() {
            bounds.0 += 1;
        }
        if !within.high_closed && high.is_integer() {
            bounds.1 -= 1;
        }
        self.impossible |= bounds.0 > bounds.1;
        self.rows.push((whole, bounds.0, bounds.1));
    }

    /// Looks for whole numbers that fit.
    pub fn solve(&self) -> Outcome {
        if self.impossible {
            return Outcome::Infeasible;
        }
        let mut tableau = Tableau::new(self);
        if !tableau.feasible() {
            return Outcome::Infeasible;
        }
        if let Some(found) = self.near(&tableau) {
            return Outcome::Feasible(found);
        }
        self.branch(tableau, &mut NODES.clone())
    }

    /// Looks for whole numbers near the fractions of a feasible tableau. What it finds is checked exactly; that it finds
    /// nothing means nothing.
    fn near(&self, tableau: &Tableau) -> Option<Vec<u64>> {
        let high: Vec<f64> = self.high.iter().map(|&h| h as f64).collect();
        let rows: Vec<FloatRow> = self
            .rows
            .iter()
            .map(|(c, low, high)| FloatRow::new(c.iter().map(float).collect(), float(low), float(high)))
            .collect();
        let start: Vec<f64> = tableau.value[..high.len()].iter().map(|v| float(&v.to_integer())).collect();
        local_search::near(&rows, &high, &start, |x| self.fits(x))
    }

    /// Whether all rows hold, exactly.
    fn fits(&self, x: &[u64]) -> bool {
        self.rows.iter().all(|(c, low, high)| {
            let sum: BigInt = c.iter().zip(x).map(|(c, &x)| c * BigInt::from(x)).sum();
            *low <= sum && sum <= *high
        })
    }

    fn branch(&self, mut tableau: Tableau, nodes: &mut usize) -> Outcome {
        // Depth first, the branch nearer to the fraction first.
        let mut open = Vec::new();
        loop {
            if *nodes == 0 {
                return Outcome::Undecided;
            }
            *nodes -= 1;
            if tableau.feasible() {
                match tableau.fraction(self.high.len()) {
                    None => return Outcome::Feasible(tableau.whole(self.high.len())),
                    Some((variable, value)) => {
                        let floor = value.floor();
                        let up_first = &value - &floor > Ratio::new(BigInt::one(), BigInt::from(2));
                        let (mut down, mut up) = (tableau.clone(), tableau);
                        down.high[variable] = floor.clone();
                        up.low[variable] = floor + BigRational::one();
                        let (near, far) = if up_first { (up, down) } else { (down, up) };
                        open.push(far);
                        tableau = near;
                        continue;
                    }
                }
            }
            match open.pop() {
                Some(next) => tableau = next,
                None => return Outcome::Infeasible,
            }
        }
    }
}

/// The simplex tableau: the first variables are the programme's, then one for the sum of each row.
#[derive(Clone)]
struct Tableau {
    low: Vec<BigRational>,
    high: Vec<BigRational>,
    value: Vec<BigRational>,
    /// The variables that stand on the left, one a row.
    basic: Vec<usize>,
    /// Coefficients of every variable in each row; 0 for basic ones.
    rows: Vec<Vec<BigRational>>,
}

impl Tableau {
    fn new(programme: &Programme) -> Self {
        let n = programme.high.len();
        let total = n + programme.rows.len();
        let zero = BigRational::zero;
        let mut low = vec![zero(); n];
        let mut high: Vec<_> = programme.high.iter().map(|&h| BigRational::from(BigInt::from(h))).collect();
        let mut rows = Vec::new();
        for (coefficients, from, to) in &programme.rows {
            let mut row: Vec<_> = coefficients.iter().cloned().map(BigRational::from).collect();
            row.resize(total, zero());
            rows.push(row);
            low.push(BigRational::from(from.clone()));
            high.push(BigRational::from(to.clone()));
        }
        Self { low, high, value: vec![zero(); total], basic: (n..total).collect(), rows }
    }

    /// Moves the values until all bounds hold; false when they cannot.
    fn feasible(&mut self) -> bool {
        for variable in 0..self.value.len() {
            if self.low[variable] > self.high[variable] {
                return false;
            }
            if !self.basic.contains(&variable) {
                let to = self.value[variable].clone().clamp(self.low[variable].clone(), self.high[variable].clone());
                self.shift(variable, to);
            }
        }
        loop {
            // Bland's rule: the smallest variable, so that no tableau comes twice.
            let broken = (0..self.basic.len())
                .filter(|&r| {
                    let b = self.basic[r];
                    self.value[b] < self.low[b] || self.value[b] > self.high[b]
                })
                .min_by_key(|&r| self.basic[r]);
            let Some(row) = broken else { return true };
            let leaving = self.basic[row];
            let rise = self.value[leaving] < self.low[leaving];
            let zero = BigRational::zero();
            let entering = (0..self.value.len()).find(|&j| {
                let c = &self.rows[row][j];
                let up = (*c > zero) == rise;
                !c.is_zero() && if up { self.value[j] < self.high[j] } else { self.value[j] > self.low[j] }
            });
            let Some(entering) = entering else { return false };
            let target = if rise { self.low[leaving].clone() } else { self.high[leaving].clone() };
            let by = (&target - &self.value[leaving]) / &self.rows[row][entering];
            let to = &self.value[entering] + by;
            self.shift(entering, to);
            self.pivot(row, entering);
        }
    }

    /// Gives a variable that is not basic another value, and the basic ones what follows.
    fn shift(&mut self, variable: usize, to: BigRational) {
        let by = &to - &self.value[variable];
        if by.is_zero() {
            return;
        }
        for (row, &basic) in self.rows.iter().zip(&self.basic) {
            if !row[variable].is_zero() {
                self.value[basic] += &row[variable] * &by;
            }
        }
        self.value[variable] = to;
    }

    fn pivot(&mut self, row: usize, entering: usize) {
        let leaving = std::mem::replace(&mut self.basic[row], entering);
        let factor = std::mem::take(&mut self.rows[row][entering]);
        for c in &mut self.rows[row] {
            if !c.is_zero() {
                *c = -(&*c / &factor);
            }
        }
        self.rows[row][leaving] = factor.recip();
        let pivot = self.rows[row].clone();
        for (_, other) in self.rows.iter_mut().enumerate().filter(|(r, _)| *r != row) {
            let factor = std::mem::take(&mut other[entering]);
            if factor.is_zero() {
                continue;
            }
            for (c, p) in other.iter_mut().zip(&pivot).filter(|(_, p)| !p.is_zero()) {
                *c += p * &factor;
            }
        }
    }

    /// One of the first `n` variables that is no whole number.
    fn fraction(&self, n: usize) -> Option<(usize, BigRational)> {
        (0..n).find(|&j| !self.value[j].is_integer()).map(|j| (j, self.value[j].clone()))
    }

    fn whole(&self, n: usize) -> Vec<u64> {
        // Within bounds that are themselves u64.
        self.value[..n].iter().map(|v| u64::try_from(v.to_integer()).unwrap_or(0)).collect()
    }
}

fn float(x: &BigInt) -> f64 {
    x.to_f64().unwrap_or(f64::MAX)
}

fn gcd(a: &BigInt, b: &BigInt) -> BigInt {
    let (mut a, mut b) = (a.clone(), b.clone());
    while !b.is_zero() {
        (a, b) = (b.clone(), a % b);
    }
    if a < BigInt::zero() { -a } else { a }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        // Small programmes against visiting every point.
        #[test]
        fn agrees_with_visiting(
            high in prop::collection::vec(0u64..6, 1..5),
            rows in prop::collection::vec((prop::collection::vec((-5i128..6, 1i128..5), 4), -20i128..40, 0i128..12, any::<bool>()), 1..4),
        ) {
            let mut programme = Programme::new(high.clone());
            let rows: Vec<(Vec<Exact>, Interval)> = rows
                .iter()
                .map(|(c, low, width, open)| {
                    let c = c[..high.len()].iter().map(|&(a, b)| Exact::new(a, b)).collect();
                    let within = Interval { high_closed: !open, ..Interval::closed(Exact::new(*low, 4), Exact::new(low + width, 4)) };
                    (c, within)
                })
                .collect();
            rows.iter().for_each(|(c, within)| programme.row(c, *within));
            let fits = |x: &[u64]| rows.iter().all(|(c, within)| {
                within.holds(c.iter().zip(x).map(|(c, &x)| c * i128::from(x)).sum())
            });
            let mut points: Vec<Vec<u64>> = vec![vec![]];
            for &h in &high {
                points = points.iter().flat_map(|p| (0..=h).map(move |x| [&p[..], &[x]].concat())).collect();
            }
            match programme.solve() {
                Outcome::Feasible(x) => {
                    prop_assert!(fits(&x), "{:?}", x);
                    prop_assert!(x.iter().zip(&high).all(|(x, h)| x <= h));
                }
                Outcome::Infeasible => prop_assert!(!points.iter().any(|p| fits(p))),
                Outcome::Undecided => prop_assert!(false),
            }
        }
    }
}
