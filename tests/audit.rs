//! The audit of published numbers: known cases with their verdicts and counts, planted errors, honest tables, and what a
//! person sees.

use std::time::Instant;

use roentgen::audit::check::Verdict;
use roentgen::audit::counts::{Claim, Sizes, enumerate};
use roentgen::audit::fingerprint;
use roentgen::audit::interval::{Exact, Interval};
use roentgen::audit::means::{self, hidden_mean};
use roentgen::audit::programme::Outcome;
use roentgen::audit::roc_bounds::{self, Point};
use roentgen::audit::table::audit;
use roentgen::cards::catalogue;
use roentgen::cards::printed::{Printed, Rounding};
use roentgen::cards::published::{Metric, PublishedTable};
use roentgen::rng::Rng;
use serde_json::Value;

use crate::support::{put, roentgen, shared};

/// A JSON number as the decimal that stands in the file.
fn exact(value: &Value) -> Exact {
    let text = value.to_string();
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let exponent: i32 = exponent.parse().unwrap();
            let power = Exact::from(10i128.pow(exponent.unsigned_abs()));
            let digits = digits.parse::<Printed>().unwrap().value();
            if exponent < 0 { digits / power } else { digits * power }
        }
        None => text.parse::<Printed>().unwrap().value(),
    }
}

fn metric(name: &str) -> Metric {
    Metric::parse(if name == "f1p" { "f1" } else { name }).unwrap_or_else(|| panic!("{name}"))
}

fn means_of(input: &Value) -> Vec<(Metric, Interval)> {
    let eps = |name: &str| exact(if input["eps"].is_object() { &input["eps"][name] } else { &input["eps"] });
    let scores = input["scores"].as_object().unwrap();
    scores.iter().map(|(name, score)| (metric(name), Interval::around(exact(score), eps(name)))).collect()
}

fn sizes(set: &Value) -> Sizes {
    Sizes { pos: set["p"].as_u64().unwrap(), neg: set["n"].as_u64().unwrap() }
}

fn claims(means: &[(Metric, Interval)]) -> Vec<Claim> {
    means.iter().map(|&(metric, within)| Claim::new(metric, within).unwrap()).collect()
}

#[test]
fn cases_of_other_programs() {
    let Some(shared) = shared() else { return };
    let text = std::fs::read_to_string(shared.join("published/consistency_cases.json")).unwrap();
    let cases: Value = serde_json::from_str(&text).unwrap();
    let mut seen = 0;
    for case in cases["cases"].as_array().unwrap() {
        let input = &case["input"];
        let id = case["id"].as_str().unwrap();
        let means = means_of(input);
        let kind = case["kind"].as_str().unwrap();
        let (inconsistent, count) = if kind == "binary_1_testset" {
            let found = enumerate(sizes(&input["testset"]), &claims(&means));
            let listed = case["brute_force"]["solutions_tp_tn"].as_array().unwrap();
            let listed: Vec<(u64, u64)> =
                listed.iter().map(|p| (p[0].as_u64().unwrap(), p[1].as_u64().unwrap())).collect();
            assert_eq!(found.first, listed, "{id}");
            (found.count == 0, Some(found.count))
        } else if kind.ends_with("som_no_kfold") {
            let sets: Vec<Sizes> = input["testsets"].as_array().unwrap().iter().map(sizes).collect();
            let sum = Sizes { pos: sets.iter().map(|s| s.pos).sum(), neg: sets.iter().map(|s| s.neg).sum() };
            let found = enumerate(sum, &claims(&means));
            (found.count == 0, Some(found.count))
        } else if kind.contains("multiclass") {
            let set = input["testset"].as_object().unwrap();
            let classes: Vec<u64> = set.values().map(|s| s.as_u64().unwrap()).collect();
            let (found, _) = means::classes(&classes, &means, means::Accuracy::OneAgainstRest);
            assert_ne!(found, Outcome::Undecided, "{id}");
            (found == Outcome::Infeasible, None)
        } else {
            let sets = if input["testsets"].is_array() { &input["testsets"] } else { &input["folding"]["folds"] };
            let sets: Vec<Sizes> = sets.as_array().unwrap().iter().map(sizes).collect();
            let (found, _) = means::folds(&sets, &means);
            assert_ne!(found, Outcome::Undecided, "{id}");
            (found == Outcome::Infeasible, None)
        };
        assert_eq!(inconsistent, case["mlscorecheck"]["inconsistency"].as_bool().unwrap(), "{id}");
        if let (Some(count), Some(wanted)) = (count, case["brute_force"]["n_solutions"].as_u64()) {
            assert_eq!(count, wanted, "{id}");
        }
        seen += 1;
    }
    assert_eq!(seen, cases["cases"].as_array().unwrap().len());
}

#[test]
fn more_cases() {
    let Some(shared) = shared() else { return };
    let text = std::fs::read_to_string(shared.join("published/consistency_cases.json")).unwrap();
    let cases: Value = serde_json::from_str(&text).unwrap();
    let number = |v: &Value| v.as_f64().unwrap();
    let close = |a: Exact, b: f64| (*a.numer() as f64 / *a.denom() as f64 - b).abs() < 1e-12;
    for case in cases["extra_cases"].as_array().unwrap() {
        let input = &case["input"];
        let origin = case["origin"].as_str().unwrap();
        let inconsistent = match case["kind"].as_str().unwrap() {
            "auc_fingerprint" => {
                let printed: Printed = input["auc"].to_string().parse().unwrap();
                let within = Interval::of(&printed, Rounding::Half);
                let found = fingerprint::positives(&within, input["N"].as_u64().unwrap()).unwrap();
                let wanted: Vec<u64> =
                    case["n_pos_candidates"].as_array().unwrap().iter().map(|c| c.as_u64().unwrap()).collect();
                assert_eq!(found, wanted, "{origin}");
                !found.contains(&input["n_pos"].as_u64().unwrap())
            }
            "macro_average_bounds" => {
                let printed = |v: &Value, decimals: &Value| -> Printed {
                    format!("{:.*}", decimals.as_u64().unwrap() as usize, number(v)).parse().unwrap()
                };
                let rows: Vec<Interval> = input["shown"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|v| Interval::of(&printed(v, &input["row_decimals"]), Rounding::Half))
                    .collect();
                let mean = Interval::of(&printed(&input["mean"], &input["mean_decimals"]), Rounding::Half);
                let range = Interval::closed(exact(&input["hidden_min"]), exact(&input["hidden_max"]));
                let found = hidden_mean(&rows, mean, input["n_labels"].as_u64().unwrap(), range);
                if let Some(wanted) = case["hidden_mean_interval"].as_array() {
                    assert!(close(found.must.low, number(&wanted[0])), "{origin}");
                    assert!(close(found.must.high, number(&wanted[1])), "{origin}");
                }
                !found.possible
            }
            _ => {
                let point = |p: &Value| {
                    let [fpr, tpr] = [&p[0], &p[1]].map(|v| Interval::closed(exact(v), exact(v)));
                    Point { fpr, tpr }
                };
                let points: Vec<Point> = input["points_fpr_tpr"].as_array().unwrap().iter().map(point).collect();
                let bounds = roc_bounds::auroc(&points);
                assert!(close(bounds.low, number(&case["lower"])), "{origin}");
                assert!(close(bounds.high, number(&case["upper"])), "{origin}");
                !bounds.holds(exact(&input["auc"]))
            }
        };
        assert_eq!(inconsistent, case["inconsistency"].as_bool().unwrap(), "{origin}");
    }
}

#[test]
fn known_answers() {
    let found = |name: &str| audit(&catalogue::published(name).unwrap(), name, None);
    let macros = |name: &str| -> Vec<(Verdict, bool)> {
        let found = found(name);
        let of_macro = found.checks.iter().filter(|c| c.check == "macro_mean");
        of_macro.map(|c| (c.verdict, c.alternative)).collect()
    };
    let both = [(Verdict::Inconsistent, true), (Verdict::NotInconsistent, false)];
    assert_eq!(macros("readme-000"), both);
    assert_eq!(macros("readme-001"), both);
    assert_eq!(found("readme-000").verdict, Verdict::NotInconsistent);
    assert_eq!(macros("arnoweng-improved"), [(Verdict::Inconsistent, false)]);
    assert_eq!(macros("zoogzog"), [(Verdict::NotInconsistent, false)]);
    assert_eq!(found("readme-003").verdict, Verdict::NotInconsistent);
    let readme = found("readme-004");
    let rows: Vec<_> = readme.checks.iter().filter(|c| c.check == "test_set").collect();
    assert_eq!(rows.iter().map(|c| c.solutions).collect::<Vec<_>>(), [Some(1), Some(1)]);
    assert_eq!(rows[0].witness.as_deref(), Some("TP 389, FP 102, FN 1, TN 132"));
    assert_eq!(rows[1].witness.as_deref(), Some("TP 370, FP 23, FN 20, TN 211"));
    let split = readme.checks.iter().find(|c| c.check == "stated_split").unwrap();
    assert_eq!((split.verdict, split.solutions), (Verdict::Inconsistent, Some(0)));
    assert_eq!(found("kermany-2018").verdict, Verdict::Inconsistent);
    // Means over runs cannot be held against the counts of one.
    assert_ne!(found("medmnist-pneumonia").verdict, Verdict::Inconsistent);
    let inconsistent: Vec<&str> =
        catalogue::published_names().filter(|name| found(name).verdict == Verdict::Inconsistent).collect();
    assert_eq!(inconsistent, ["arnoweng-improved", "kermany-2018", "readme-004"]);
}

const PRINTED: [Metric; 5] =
    [Metric::Sensitivity, Metric::Specificity, Metric::Precision, Metric::Accuracy, Metric::F1];

/// The five metrics at these counts, exactly.
fn metrics(tp: i128, tn: i128, sizes: Sizes) -> [Exact; 5] {
    let (pos, neg) = (i128::from(sizes.pos), i128::from(sizes.neg));
    let (called, all) = (tp + neg - tn, pos + neg);
    let ratio = |a, b| if b == 0 { Exact::from(0) } else { Exact::new(a, b) };
    [ratio(tp, pos), ratio(tn, neg), ratio(tp, called), ratio(tp + tn, all), ratio(2 * tp, called + pos)]
}

/// Prints to `places` decimals by one of the honest conventions.
fn print(x: Exact, places: u32, rounding: Rounding) -> Printed {
    let scaled = x * Exact::from(10i128.pow(places));
    let half = Exact::new(1, 2);
    let floor = scaled.floor();
    let up = match rounding {
        Rounding::Truncate => false,
        Rounding::HalfEven if scaled - floor == half => floor.to_integer() % 2 == 1,
        _ => scaled - floor >= half,
    };
    let whole = floor.to_integer() + i128::from(up);
    format!("{}.{:0width$}", whole / 10i128.pow(places), whole % 10i128.pow(places), width = places as usize)
        .parse()
        .unwrap()
}

fn draw(rng: &mut Rng, most: u32) -> (Sizes, u64, u64) {
    let sizes = Sizes { pos: 1 + u64::from(rng.below(most)), neg: 1 + u64::from(rng.below(most)) };
    let tp = u64::from(rng.below(sizes.pos as u32 + 1));
    (sizes, tp, u64::from(rng.below(sizes.neg as u32 + 1)))
}

#[test]
fn ten_thousand_honest_tables_raise_no_alarm() {
    let mut rng = Rng::new(8, 0);
    for round in 0..10_000u32 {
        let (sizes, tp, tn) = draw(&mut rng, 800);
        let honest = [Rounding::Half, Rounding::HalfEven, Rounding::HalfUp, Rounding::Truncate];
        let rounding = honest[round as usize % 4];
        let places = 2 + rng.below(4);
        let values = metrics(i128::from(tp), i128::from(tn), sizes).map(|x| print(x, places, rounding));
        let claims: Vec<Claim> = PRINTED
            .iter()
            .zip(&values)
            .map(|(&metric, value)| Claim::new(metric, Interval::of(value, rounding)).unwrap())
            .collect();
        assert!(enumerate(sizes, &claims).count > 0, "{round}: {sizes:?} {tp} {tn} {values:?}");
        // The same through a card, every check of which must keep silent.
        if round % 10 == 0 {
            let rounding = ["half", "half-even", "half-up", "truncate"][round as usize % 4];
            let [se, sp, ppv, acc, f1] = values;
            let card = format!(
                "schema = \"roentgen/published/1\"\nsource = \"honest\"\nrounding = \"{rounding}\"\n[[test_set]]\n\
                 n_pos = {}\nn_neg = {}\n[[test_set.row]]\nvalues = {{ sensitivity = \"{se}\", specificity = \"{sp}\", \
                 precision = \"{ppv}\", accuracy = \"{acc}\", f1 = \"{f1}\" }}\n",
                sizes.pos, sizes.neg
            );
            let found = audit(&PublishedTable::parse(&card, "card").unwrap(), "card", None);
            assert_eq!(found.verdict, Verdict::NotInconsistent, "{found:?}");
        }
    }
}

#[test]
fn a_planted_digit_is_caught_whenever_visiting_every_pair_catches_it() {
    let mut rng = Rng::new(9, 0);
    let mut caught = 0;
    let mut planted = 0;
    for _ in 0..60 {
        let (sizes, tp, tn) = draw(&mut rng, 60);
        let values = metrics(i128::from(tp), i128::from(tn), sizes).map(|x| print(x, 3, Rounding::Half));
        for (wrong, value) in values.iter().enumerate() {
            // Every digit after the point, every other digit in its place.
            for (place, digit) in value.text().char_indices().skip(2) {
                for other in ('0'..='9').filter(|&d| d != digit) {
                    let mut text = value.text().to_owned();
                    text.replace_range(place..=place, &other.to_string());
                    let mut table = values.clone();
                    table[wrong] = text.parse().unwrap();
                    let within = table.map(|v| Interval::of(&v, Rounding::Half));
                    let claims: Vec<Claim> =
                        PRINTED.iter().zip(within).map(|(&m, i)| Claim::new(m, i).unwrap()).collect();
                    let possible = (0..=sizes.pos).any(|tp| {
                        (0..=sizes.neg).any(|tn| {
                            let at = metrics(i128::from(tp), i128::from(tn), sizes);
                            at.iter().zip(&within).all(|(x, i)| i.holds(*x))
                        })
                    });
                    let found = enumerate(sizes, &claims).count > 0;
                    assert_eq!(found, possible, "{sizes:?} {tp} {tn} {claims:?}");
                    planted += 1;
                    caught += usize::from(!found);
                }
            }
        }
    }
    // Nearly all of them can be caught on sets of this size.
    assert!(caught * 10 > planted * 9, "{caught} of {planted}");
}

#[test]
fn what_a_person_sees() {
    let seen = |args: &[&str], status: i32| {
        let ran = roentgen(["audit"].iter().chain(args));
        assert_eq!(ran.status, status, "{}{}", ran.stdout, ran.stderr);
        ran.stdout
    };
    insta::assert_snapshot!("audit-readme-000", seen(&["readme-000"], 0));
    insta::assert_snapshot!("audit-readme-003", seen(&["readme-003"], 0));
    insta::assert_snapshot!("audit-kermany-2018", seen(&["kermany-2018"], 1));
    insta::assert_snapshot!("audit-zexinyan", seen(&["zexinyan"], 0));
    insta::assert_snapshot!("audit-two", seen(&["chexpert-2019-test", "chexpert-leaderboard-baseline"], 0));
    insta::assert_snapshot!("help-audit", seen(&["--help"], 0));
    let error = roentgen(["audit", "no-such-table"]);
    assert!(error.error(2).contains("jrzech-2022"));
}

#[test]
fn keys_that_other_programs_read() {
    let ran = roentgen(["audit", "readme-004", "readme-003", "--format", "json"]);
    assert_eq!(ran.status, 1);
    let found: Value = serde_json::from_str(&ran.stdout).unwrap();
    let tables = found["tables"].as_array().unwrap();
    assert_eq!((&tables[0]["table"], &tables[0]["verdict"]), (&"readme-004".into(), &"inconsistent".into()));
    assert_eq!(tables[1]["verdict"], "not_inconsistent");
    for check in tables.iter().flat_map(|t| t["checks"].as_array().unwrap()) {
        assert!(check["check"].is_string() && check["detail"].is_string(), "{check}");
        assert!(["not_inconsistent", "inconsistent", "untestable"].contains(&check["verdict"].as_str().unwrap()));
    }
    assert_eq!(tables[0]["checks"][0]["solutions"], 1);
}

#[test]
fn a_csv_becomes_a_card() {
    let folder = tempfile::tempdir().unwrap();
    let csv = "mode,threshold,auroc,sens,spec,prec,acc,f1,n_pos,n_neg\n\
               screening,0.37,0.979,0.997,0.564,0.792,0.835,0.883,390,234\n\
               rule-in,0.99,0.979,0.949,0.902,0.941,0.931,0.945,390,234\n";
    let error = roentgen(["audit", "--from", &put(folder.path(), "t.csv", csv)]);
    assert!(error.error(3).contains("`prec`"));
    let good = put(folder.path(), "t.csv", &csv.replace("prec,", "precision,"));
    let card = folder.path().join("t.toml").display().to_string();
    let text = roentgen(["audit", "--from", &good, "--save", &card]).ok();
    assert!(text.contains("TP 370, FP 23, FN 20, TN 211"), "{text}");
    assert_eq!(roentgen(["audit", &card]).ok().replace(&card, &good), text);
    let wrong = put(folder.path(), "w.csv", &csv.replace("prec,", "precision,").replace("0.941", "0.951"));
    let ran = roentgen(["audit", "--from", &wrong]);
    assert_eq!(ran.status, 1);
    assert!(ran.stdout.contains("the others fit without precision"), "{}", ran.stdout);
}

#[test]
fn sets_as_large_as_chestxray14_take_no_time() {
    let folder = tempfile::tempdir().unwrap();
    let card = "schema = \"roentgen/published/1\"\nsource = \"large\"\n[[test_set]]\nn_pos = 2754\nn_neg = 19679\n\
                [[test_set.row]]\nvalues = { precision = \"0.4605\", accuracy = \"0.8612\", f1 = \"0.5742\" }\n";
    let begun = Instant::now();
    let text = roentgen(["audit", &put(folder.path(), "large.toml", card)]).ok();
    assert!(begun.elapsed().as_secs_f64() < 2.0, "{:?}", begun.elapsed());
    assert!(text.contains("TP 2100, FP 2460, FN 654, TN 17219"), "{text}");
}
