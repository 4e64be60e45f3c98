//! Is acting on the model worth it? Net benefit (Vickers & Elkin 2006), here and at another prevalence.

use serde::{Deserialize, Serialize};

use super::operating_point::{Confusion, Measures};
use super::roc::Ranked;

/// Net benefit at one threshold probability, in true positives per patient.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct NetBenefit {
    /// The probability from which one would act: harm / (harm + benefit).
    pub threshold: f64,
    /// Acting on `p >= threshold`.
    pub model: f64,
    /// Acting on everyone. Acting on no one is 0 by definition.
    pub treat_all: f64,
}

/// Net benefit at each of `thresholds`; those outside [0, 1) have none and are left out. Empty without two classes.
/// The scores must be probabilities.
pub fn net_benefit(ranked: &Ranked, thresholds: &[f64]) -> Vec<NetBenefit> {
    let prevalence = f64::from(ranked.n_pos()) / ranked.n() as f64;
    net_benefit_at_prevalence(ranked, thresholds, prevalence)
}

/// The same where `prevalence` of the patients are positive and the model's probabilities are moved there by the
/// change in log-odds. That is a cut of the probabilities as they are, at the threshold moved the other way.
pub fn net_benefit_at_prevalence(ranked: &Ranked, thresholds: &[f64], prevalence: f64) -> Vec<NetBenefit> {
    if !ranked.two_classes() || !(0.0..=1.0).contains(&prevalence) {
        return Vec::new();
    }
    let at = |&threshold: &f64| {
        let rates = Confusion::at(ranked, threshold_here(ranked, threshold, prevalence)).measures();
        let (sensitivity, specificity) = rates.sensitivity.zip(rates.specificity)?;
        let value =
            |hits: f64, alarms: f64| prevalence * hits - (1.0 - prevalence) * alarms * threshold / (1.0 - threshold);
        Some(NetBenefit { threshold, model: value(sensitivity, 1.0 - specificity), treat_all: value(1.0, 1.0) })
    };
    thresholds.iter().filter(|t| (0.0..1.0).contains(*t)).filter_map(at).collect()
}

/// The threshold on the probabilities as they are that equals `threshold` on those moved to `prevalence`.
fn threshold_here(ranked: &Ranked, threshold: f64, prevalence: f64) -> f64 {
    // p / (1 - p) >= t / (1 - t) * (odds here) / (odds there), without logarithms so that no move moves nothing.
    let (pos, neg) = (f64::from(ranked.n_pos()), f64::from(ranked.n_neg()));
    if prevalence == pos / ranked.n() as f64 {
        return threshold;
    }
    let called = threshold * pos * (1.0 - prevalence);
    called / (called + (1.0 - threshold) * neg * prevalence)
}

/// PPV and NPV at another prevalence, by Bayes' rule from sensitivity and specificity; `None` where a rate is
/// missing or nothing is called so.
pub fn predictive_values(measures: &Measures, prevalence: f64) -> (Option<f64>, Option<f64>) {
    let Some((sensitivity, specificity)) = measures.sensitivity.zip(measures.specificity) else { return (None, None) };
    let share = |right: f64, wrong: f64| (right + wrong > 0.0).then(|| right / (right + wrong));
    let ppv = share(sensitivity * prevalence, (1.0 - specificity) * (1.0 - prevalence));
    (ppv, share(specificity * (1.0 - prevalence), (1.0 - sensitivity) * prevalence))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn by_hand() {
        let r = Ranked::new(&[true, false, true, false], &[0.9, 0.6, 0.4, 0.1]).unwrap();
        let [half, fifth] = net_benefit(&r, &[0.5, 0.2, 1.0])[..] else { panic!("1.0 has no net benefit") };
        assert!((half.model - 0.0).abs() < 1e-15 && half.treat_all.abs() < 1e-15);
        assert!((fifth.model - (0.5 - 0.25 * 0.25)).abs() < 1e-15);
        assert!((fifth.treat_all - (0.5 - 0.5 * 0.25)).abs() < 1e-15);
    }

    #[test]
    fn predictive_values_follow_the_prevalence() {
        let m = Confusion { tp: 90, fp: 10, fn_: 10, tn: 90 }.measures();
        let (ppv, npv) = predictive_values(&m, 0.01);
        assert!((ppv.unwrap() - 0.009 / (0.009 + 0.099)).abs() < 1e-12);
        assert!((npv.unwrap() - 0.891 / (0.891 + 0.001)).abs() < 1e-12);
        assert_eq!(predictive_values(&m, 0.5), (m.ppv, m.npv));
    }

    proptest! {
        #[test]
        fn moving_the_threshold_is_moving_the_logits(
            rows in prop::collection::vec((any::<bool>(), 1u8..40), 2..60), t in 0.05f64..0.95, prevalence in 0.05f64..0.95
        ) {
            let (y, p): (Vec<bool>, Vec<f64>) = rows.into_iter().map(|(y, p)| (y, f64::from(p) / 40.0)).unzip();
            let r = Ranked::new(&y, &p).unwrap();
            let logit = |p: f64| (p / (1.0 - p)).ln();
            let shift = logit(prevalence) - logit(f64::from(r.n_pos()) / y.len() as f64);
            let moved: Vec<f64> = p.iter().map(|&p| 1.0 / (1.0 + (-logit(p) - shift).exp())).collect();
            // A score on the threshold may fall to either side by rounding.
            prop_assume!(r.two_classes() && moved.iter().all(|m| (m - t).abs() > 1e-9));
            let rates = Confusion::at(&Ranked::new(&y, &moved).unwrap(), t).measures();
            let (se, sp) = (rates.sensitivity.unwrap(), rates.specificity.unwrap());
            let want = prevalence * se - (1.0 - prevalence) * (1.0 - sp) * t / (1.0 - t);
            prop_assert!((net_benefit_at_prevalence(&r, &[t], prevalence)[0].model - want).abs() < 1e-12);
        }
    }
}
