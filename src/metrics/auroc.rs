//! The uncertainty of the AUROC: DeLong's variance, Obuchowski's for rows that come in clusters, and intervals.

use serde::{Deserialize, Serialize};

use super::confidence::{Estimate, LEVEL, two_sided_z};
use super::roc::{Ranked, merge};
use super::student::two_sided_t;

/// Fewer rows (or patients) than this of a class get a warning: below it even the better interval covers less than
/// it says.
pub const FEW: usize = 50;

/// Whose variance stands behind an interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// DeLong 1988: rows are independent.
    Delong,
    /// Obuchowski 1997: rows come in clusters, here patients.
    Clustered,
}

/// AUROC with its headline interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Auroc {
    /// Value, standard error and the 95% interval on the logit scale.
    #[serde(flatten)]
    pub estimate: Estimate,
    /// Whose variance.
    pub method: Method,
    /// Degrees of freedom of the t distribution behind the interval; `None` without one.
    pub df: Option<f64>,
    /// What a reader must know about the interval, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// Centred placement values summed by cluster: all that variances, covariances and influence values need.
///
/// A positive's placement is the share of negatives it beats (ties half), a negative's the share of positives that
/// beat it (DeLong 1988; fast by midranks: Sun & Xu 2014). Without clusters every row is its own, and Obuchowski's
/// formulas become DeLong's.
#[derive(Debug, Clone)]
pub struct Placements {
    auroc: f64,
    method: Method,
    n_pos: f64,
    n_neg: f64,
    /// By cluster: the sum over its positives of (placement - AUROC).
    positive: Vec<f64>,
    /// By cluster: the same over its negatives.
    negative: Vec<f64>,
    with_positives: usize,
    with_negatives: usize,
    with_rows: usize,
}

impl Placements {
    /// Sums the placements of `ranked` over `patients`, the patient number of each row, counted from 0 without large
    /// gaps. `None` with one class only.
    pub fn new(ranked: &Ranked, patients: Option<&[u32]>) -> Option<Self> {
        match patients {
            Some(ids) => Self::pooled(&[(ranked, ids)]),
            None => {
                let rows: Vec<u32> = (0..ranked.n() as u32).collect();
                Self::by_row(ranked, &rows)
            }
        }
    }

    /// The same of several labels' rows as one list, for micro averages.
    pub fn pooled(labels: &[(&Ranked, &[u32])]) -> Option<Self> {
        let ranked: Vec<&Ranked> = labels.iter().map(|l| l.0).collect();
        let (n_pos, n_neg) = ranked.iter().fold((0, 0), |sum, r| (sum.0 + r.n_pos(), sum.1 + r.n_neg()));
        let auroc = match *ranked {
            // Exact in whole numbers.
            [one] => one.auroc()?,
            _ => pooled_auroc(&ranked, n_pos, n_neg)?,
        };
        let (n_pos, n_neg) = (f64::from(n_pos), f64::from(n_neg));
        let size = labels.iter().flat_map(|l| l.1).max().map_or(0, |&id| id as usize + 1);
        let (mut positive, mut negative) = (vec![0.0; size], vec![0.0; size]);
        // Bit 0: the cluster has positives; bit 1: it has negatives.
        let mut classes = vec![0u8; size];
        let (mut tp, mut fp) = (0, 0);
        merge(&ranked, |cut, places| {
            let beaten = (n_neg - 0.5 * (f64::from(fp) + f64::from(cut.fp))) / n_neg - auroc;
            let beating = 0.5 * (f64::from(tp) + f64::from(cut.tp)) / n_pos - auroc;
            for (label, range) in places {
                let (ranked, ids) = labels[*label];
                for (&row, &is_positive) in ranked.order()[range.clone()].iter().zip(&ranked.positive()[range.clone()])
                {
                    let cluster = ids[row as usize] as usize;
                    if is_positive {
                        positive[cluster] += beaten;
                        classes[cluster] |= 1;
                    } else {
                        negative[cluster] += beating;
                        classes[cluster] |= 2;
                    }
                }
            }
            (tp, fp) = (cut.tp, cut.fp);
        });
        let count = |mask: u8| classes.iter().filter(|&&c| c & mask != 0).count();
        Some(Self {
            auroc,
            method: Method::Clustered,
            n_pos,
            n_neg,
            positive,
            negative,
            with_positives: count(1),
            with_negatives: count(2),
            with_rows: count(3),
        })
    }

    /// DeLong's placements under row numbers that other labels or slices share, so that influence values add up where
    /// some rows are left out. `rows` is the number of each row, counted from 0 without large gaps.
    pub fn by_row(ranked: &Ranked, rows: &[u32]) -> Option<Self> {
        Some(Self { method: Method::Delong, ..Self::pooled(&[(ranked, rows)])? })
    }

    /// The AUROC.
    pub fn auroc(&self) -> f64 {
        self.auroc
    }

    /// Whose variance [`Placements::variance`] is.
    pub fn method(&self) -> Method {
        self.method
    }

    /// Variance of the AUROC; `None` with fewer than two clusters of a class.
    pub fn variance(&self) -> Option<f64> {
        self.covariance(self)
    }

    /// Covariance of two AUROCs of the same rows (same truths, same patients, other scores): Obuchowski 1997, eq. for
    /// correlated AUROCs; DeLong's without clusters. `None` with fewer than two clusters of a class.
    pub fn covariance(&self, other: &Self) -> Option<f64> {
        if self.with_positives < 2 || self.with_negatives < 2 {
            return None;
        }
        let s10 = spread(self.with_positives) * dot(&self.positive, &other.positive) / self.n_pos;
        let s01 = spread(self.with_negatives) * dot(&self.negative, &other.negative) / self.n_neg;
        let s11 =
            spread(self.with_rows) * (dot(&self.positive, &other.negative) + dot(&self.negative, &other.positive));
        Some(s10 / self.n_pos + s01 / self.n_neg + s11 / (self.n_pos * self.n_neg))
    }

    /// How far each cluster (by its number) moves the AUROC: values that sum to 0 and whose squares sum to the
    /// variance but for the factor k/(k-1). Added over labels they give the variance of a macro average.
    pub fn influence(&self) -> Vec<f64> {
        self.positive.iter().zip(&self.negative).map(|(p, n)| p / self.n_pos + n / self.n_neg).collect()
    }

    /// The placements of the difference of two AUROCs of the same rows: its `auroc()` and `variance()` are the
    /// difference's and its variance, exactly 0 where both rank alike.
    pub fn minus(&self, other: &Self) -> Self {
        let subtract = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a - b).collect();
        Self {
            auroc: self.auroc - other.auroc,
            positive: subtract(&self.positive, &other.positive),
            negative: subtract(&self.negative, &other.negative),
            ..*self
        }
    }

    /// Clusters with at least one row.
    pub fn clusters(&self) -> usize {
        self.with_rows
    }

    /// How many degrees of freedom the variance has, 1 at least: Satterthwaite's for the two classes, as Brunner &
    /// Munzel 2000, each with its own [`variance_error`]. `None` without a variance.
    pub fn degrees_of_freedom(&self) -> Option<f64> {
        let total = self.variance().filter(|v| *v > 0.0)?;
        let class =
            |sums: &[f64], n: f64, k: usize| (dot(sums, sums) / (n * n) * spread(k)).powi(2) * variance_error(sums, k);
        let classes = class(&self.positive, self.n_pos, self.with_positives)
            + class(&self.negative, self.n_neg, self.with_negatives);
        Some((2.0 * total * total / classes).max(1.0))
    }

    /// The AUROC with its interval on the logit scale, at 95%, by the t distribution: with the normal's 1.96 it
    /// covers 92.4% at AUROC 0.95 and 50 positives, with t 94.5% (docs/coverage.md).
    ///
    /// Where the classes separate completely (AUROC 0 or 1, SE 0) the logit is infinite. There the exact binomial
    /// bound stands in: k disjoint pairs of a positive and a negative patient are all ordered alike, so the other end
    /// is (0.025)^(1/k) from it, and the warning says so. No interval with fewer than two patients of a class, or
    /// where the scores do not vary.
    pub fn headline(&self) -> Auroc {
        let se = self.variance().map(|v| v.max(0.0).sqrt());
        let df = self.degrees_of_freedom();
        let interval = match (se, df) {
            (Some(se), Some(df)) => logit_interval(self.auroc, se, df, LEVEL),
            (Some(_), None) if self.auroc == 1.0 => Some((self.separated_bound(), 1.0)),
            (Some(_), None) if self.auroc == 0.0 => Some((0.0, 1.0 - self.separated_bound())),
            _ => None,
        };
        let (ci_low, ci_high) = (interval.map(|i| i.0), interval.map(|i| i.1));
        let estimate = Estimate { value: self.auroc, se, ci_low, ci_high };
        Auroc { estimate, method: self.method, df, warning: self.warning(se) }
    }

    /// Lower end of Clopper-Pearson's interval for k of k.
    fn separated_bound(&self) -> f64 {
        let pairs = self.with_positives.min(self.with_negatives).min(self.with_rows / 2);
        libm::pow(0.5 * (1.0 - LEVEL), 1.0 / pairs.max(1) as f64)
    }

    fn warning(&self, se: Option<f64>) -> Option<String> {
        let unit = if self.method == Method::Clustered { "patients" } else { "rows" };
        let (p, n) = (self.with_positives, self.with_negatives);
        let class = if p <= n { "positive" } else { "negative" };
        match se {
            None => Some(format!("no interval: {} {class} {unit}, two are needed", p.min(n))),
            Some(0.0) if self.auroc == 1.0 || self.auroc == 0.0 => Some(
                "the classes separate completely: the standard error of 0 is no certainty, the interval is the exact \
                 binomial bound over disjoint pairs"
                    .into(),
            ),
            Some(0.0) => Some("no interval: the standard error is 0, as where scores do not vary".into()),
            Some(_) if p.min(n) < FEW => {
                Some(format!("only {} {class} {unit}: the interval covers less than it says", p.min(n)))
            }
            Some(_) => None,
        }
    }
}

/// DeLong's AUROC with Wald's interval clamped to [0, 1], as pROC prints it; rows count as independent. `None` with
/// one class only.
pub fn auroc_delong(ranked: &Ranked) -> Option<Estimate> {
    let value = ranked.auroc()?;
    let (m, n) = (f64::from(ranked.n_pos()), f64::from(ranked.n_neg()));
    // Rows of one score share their placement, so that no row need be visited.
    let (mut s10, mut s01, mut tp, mut fp) = (0.0, 0.0, 0, 0);
    for cut in ranked.cuts() {
        let beaten = (n - 0.5 * (f64::from(fp) + f64::from(cut.fp))) / n - value;
        let beating = 0.5 * (f64::from(tp) + f64::from(cut.tp)) / m - value;
        s10 += f64::from(cut.tp - tp) * beaten * beaten;
        s01 += f64::from(cut.fp - fp) * beating * beating;
        (tp, fp) = (cut.tp, cut.fp);
    }
    let variance = (m > 1.0 && n > 1.0).then(|| s10 / (m - 1.0) / m + s01 / (n - 1.0) / n);
    let se = variance.map(f64::sqrt);
    let interval = se.map(|se| wald_interval(value, se, LEVEL));
    Some(Estimate { value, se, ci_low: interval.map(|i| i.0.max(0.0)), ci_high: interval.map(|i| i.1.min(1.0)) })
}

/// value -+ z * se.
pub fn wald_interval(value: f64, se: f64, level: f64) -> (f64, f64) {
    let half = two_sided_z(level) * se;
    (value - half, value + half)
}

/// The interval of logit(value) by the t distribution, with the delta method's standard error, mapped back; `None`
/// at 0 and 1, where the logit is infinite.
pub fn logit_interval(value: f64, se: f64, df: f64, level: f64) -> Option<(f64, f64)> {
    let slope = value * (1.0 - value);
    (slope > 0.0).then(|| {
        let (logit, half) = (libm::log(value / (1.0 - value)), two_sided_t(level, df) * se / slope);
        (1.0 / (1.0 + libm::exp(half - logit)), 1.0 / (1.0 + libm::exp(-half - logit)))
    })
}

/// The squared relative error of the variance of `k` independent values around 0 (further zeros in `values` do not
/// matter): 2 / (k - 1) + G / k, with G their excess kurtosis (G2 of Joanes & Gill 1998), not below 0. A few large
/// values, as placements have at a high AUROC, make it large.
pub fn variance_error(values: &[f64], k: usize) -> f64 {
    let (k, squares) = (k as f64, dot(values, values));
    let mut excess = 0.0;
    if squares > 0.0 && k > 3.0 {
        let plain = k * values.iter().map(|v| (v * v / squares).powi(2)).sum::<f64>() - 3.0;
        excess = (k - 1.0) / ((k - 2.0) * (k - 3.0)) * ((k + 1.0) * plain + 6.0);
    }
    2.0 / (k - 1.0) + excess.max(0.0) / k
}

/// k / (k - 1).
fn spread(k: usize) -> f64 {
    k as f64 / (k as f64 - 1.0)
}

/// AUROC of several labels' rows as one list.
fn pooled_auroc(ranked: &[&Ranked], n_pos: u32, n_neg: u32) -> Option<f64> {
    let pairs = u64::from(n_pos) * u64::from(n_neg);
    let (mut twice, mut tp, mut fp) = (0u64, 0, 0);
    merge(ranked, |cut, _| {
        twice += u64::from(cut.tp - tp) * (2 * u64::from(n_neg) - u64::from(fp) - u64::from(cut.fp));
        (tp, fp) = (cut.tp, cut.fp);
    });
    (pairs > 0).then(|| twice as f64 / (2 * pairs) as f64)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table() -> impl Strategy<Value = (Vec<bool>, Vec<f64>, Vec<u32>)> {
        prop::collection::vec((any::<bool>(), 0u8..20, 0u32..12), 8..60).prop_map(|rows| {
            let y = rows.iter().map(|r| r.0).collect();
            let s = rows.iter().map(|r| f64::from(r.1) / 20.0).collect();
            (y, s, rows.iter().map(|r| r.2).collect())
        })
    }

    /// DeLong from all pairs, as the paper writes it.
    fn naive_delong(y: &[bool], s: &[f64]) -> Option<f64> {
        let class = |c| (0..y.len()).filter(move |&i| y[i] == c).collect::<Vec<_>>();
        let (pos, neg) = (class(true), class(false));
        let psi = |i: usize, j: usize| {
            if s[i] > s[j] {
                1.0
            } else if s[i] == s[j] {
                0.5
            } else {
                0.0
            }
        };
        let v10: Vec<f64> =
            pos.iter().map(|&i| neg.iter().map(|&j| psi(i, j)).sum::<f64>() / neg.len() as f64).collect();
        let v01: Vec<f64> =
            neg.iter().map(|&j| pos.iter().map(|&i| psi(i, j)).sum::<f64>() / pos.len() as f64).collect();
        let part = |v: &[f64]| {
            let mean = v.iter().sum::<f64>() / v.len() as f64;
            v.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (v.len() as f64 - 1.0) / v.len() as f64
        };
        (pos.len() > 1 && neg.len() > 1).then(|| part(&v10) + part(&v01))
    }

    proptest! {
        #[test]
        fn delong_by_the_definition((y, s, _) in table()) {
            let fast = Ranked::new(&y, &s).ok().and_then(|r| Placements::new(&r, None)).and_then(|p| p.variance());
            match (fast, naive_delong(&y, &s)) {
                (Some(a), Some(b)) => prop_assert!((a - b).abs() < 1e-13),
                (a, b) => prop_assert_eq!(a, b),
            }
        }

        #[test]
        fn both_ways_to_delong_agree((y, s, _) in table()) {
            let r = Ranked::new(&y, &s).unwrap();
            let by_rows = Placements::new(&r, None).and_then(|p| p.variance()).map(f64::sqrt);
            match (auroc_delong(&r).and_then(|e| e.se), by_rows) {
                (Some(a), Some(b)) => prop_assert!((a - b).abs() < 1e-13),
                (a, b) => prop_assert_eq!(a, b),
            }
        }

        #[test]
        fn rows_as_clusters_give_delong((y, s, _) in table()) {
            let r = Ranked::new(&y, &s).unwrap();
            let rows: Vec<u32> = (0..y.len() as u32).collect();
            let variance = |ids: Option<&[u32]>| Placements::new(&r, ids).and_then(|p| p.variance());
            prop_assert_eq!(variance(Some(&rows)), variance(None));
        }

        #[test]
        fn influence_sums_to_nothing((y, s, ids) in table()) {
            let r = Ranked::new(&y, &s).unwrap();
            if let Some(p) = Placements::new(&r, Some(&ids)) {
                prop_assert!(p.influence().iter().sum::<f64>().abs() < 1e-12);
            }
        }

        #[test]
        fn intervals_hold_the_value((y, s, ids) in table()) {
            let r = Ranked::new(&y, &s).unwrap();
            let estimate = Placements::new(&r, Some(&ids)).map(|p| p.headline().estimate);
            if let Some(Estimate { value, ci_low: Some(low), ci_high: Some(high), .. }) = estimate {
                prop_assert!(0.0 <= low && low <= value + 1e-12 && value <= high + 1e-12 && high <= 1.0);
            }
        }
    }

    #[test]
    fn degenerate_cases() {
        let headline = |y: &[bool], s: &[f64]| Placements::new(&Ranked::new(y, s).unwrap(), None).unwrap().headline();
        let separated = headline(&[false, false, true, true], &[0.1, 0.2, 0.8, 0.9]);
        assert_eq!((separated.estimate.se, separated.estimate.ci_high), (Some(0.0), Some(1.0)));
        assert!((separated.estimate.ci_low.unwrap() - 0.025f64.sqrt()).abs() < 1e-12);
        assert!(separated.warning.unwrap().contains("separate completely"));
        let constant = headline(&[false, false, true, true], &[0.5; 4]);
        assert_eq!((constant.estimate.value, constant.estimate.ci_low), (0.5, None));
        let single = headline(&[false, false, true], &[0.1, 0.9, 0.5]);
        assert_eq!((single.estimate.se, single.estimate.ci_low), (None, None));
        assert!(single.warning.unwrap().contains("1 positive rows"));
        assert!(auroc_delong(&Ranked::new(&[true, true], &[0.1, 0.2]).unwrap()).is_none());
    }
}
