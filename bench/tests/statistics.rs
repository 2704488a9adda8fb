//! The statistics against distributions whose medians are known.

use proptest::prelude::*;
use rand::SeedableRng;
use rand_distr::{Distribution, Exp, LogNormal, Normal, Uniform};
use rand_pcg::Pcg64Mcg;
use umlab_bench::stats::*;

/// How often the interval of `n` samples of a distribution holds its true median, in 400 trials.
fn coverage(distribution: impl Distribution<f64>, truth: f64, n: usize) -> f64 {
    let mut rng = Pcg64Mcg::seed_from_u64(7);
    let trials = 400;
    let hits = (0..trials).filter(|_| {
        let samples: Vec<f64> = (0..n).map(|_| distribution.sample(&mut rng)).collect();
        let e = median_estimate(&samples, CONFIDENCE).unwrap();
        e.low <= truth && truth <= e.high
    });
    hits.count() as f64 / f64::from(trials)
}

/// Few samples or many: an interval must hold the median near the 95 % it names, also when they are
/// not distributed as the interval of few of them assumes. An exponential time is skewed even as a
/// logarithm.
#[test]
fn intervals_hold_the_true_median_as_often_as_they_say() {
    let ln2 = std::f64::consts::LN_2;
    for n in [2, 3, 4, 5, 6, 11, 30, 60] {
        for (name, share) in [
            ("normal", coverage(Normal::new(100.0, 5.0).unwrap(), 100.0, n)),
            ("exponential", coverage(Exp::new(0.5).unwrap(), ln2 / 0.5, n)),
            ("log-normal", coverage(LogNormal::new(1.0, 0.3).unwrap(), 1f64.exp(), n)),
            ("uniform", coverage(Uniform::new(10.0, 20.0).unwrap(), 15.0, n)),
        ] {
            assert!((0.91..=0.99).contains(&share), "{name}, {n} samples: {share}");
        }
    }
}

/// An interval that always holds the truth by being wide is no use: with more samples it gets
/// narrower as 1/sqrt(n).
#[test]
fn intervals_narrow_with_the_root_of_the_samples() {
    let normal = Normal::new(100.0, 5.0).unwrap();
    let mut rng = Pcg64Mcg::seed_from_u64(11);
    let mut width = |n: usize| {
        let widths: Vec<f64> = (0..100)
            .map(|_| {
                let samples: Vec<f64> = (0..n).map(|_| normal.sample(&mut rng)).collect();
                let e = median_estimate(&samples, CONFIDENCE).unwrap();
                e.high - e.low
            })
            .collect();
        median(&widths).unwrap()
    };
    let (few, many) = (width(25), width(400));
    assert!((2.8..5.7).contains(&(few / many)), "{few} {many}");
    // The standard error of a normal median is 1.2533 sigma / sqrt(n).
    let expected = 2.0 * 1.96 * 1.2533 * 5.0 / 20.0;
    assert!((0.7..1.3).contains(&(many / expected)), "{many} {expected}");
}

/// A change of 10 % under a noise of 3 % is found by five samples as often as Student's t can (88
/// %); none is found where there is none, at 99 %.
#[test]
fn changes_are_found_and_not_invented() {
    let mut rng = Pcg64Mcg::seed_from_u64(3);
    let noise = LogNormal::new(0.0, 0.03).unwrap();
    let mut draw = |scale: f64| -> Vec<f64> { (0..5).map(|_| scale * noise.sample(&mut rng)).collect() };
    let (mut found, mut invented) = (0, 0);
    for _ in 0..300 {
        let (before, same, slower) = (draw(1.0), draw(1.0), draw(1.1));
        found += u32::from(change_estimate(&slower, &before, 0.99).unwrap().low > 1.0);
        let equal = change_estimate(&same, &before, 0.99).unwrap();
        invented += u32::from(equal.low > 1.0 || equal.high < 1.0);
    }
    assert!(found > 250, "{found}");
    assert!(invented < 12, "{invented}");
}

/// A ratio within rounds is untouched by a machine that gets slower and slower.
#[test]
fn ratios_within_rounds_cancel_drift() {
    let rounds: Vec<(f64, f64)> = (0..9).map(|i| (1.5 * (1.0 + f64::from(i)), 1.0 + f64::from(i))).collect();
    let e = ratio_estimate(&rounds, CONFIDENCE).unwrap();
    assert!((e.low - 1.5).abs() < 1e-12 && (e.high - 1.5).abs() < 1e-12, "{e:?}");
}

#[test]
fn an_outlier_is_seen_and_moves_no_median() {
    let mut samples = vec![1.00, 1.01, 0.99, 1.02, 0.98];
    let before = median(&samples).unwrap();
    assert!(outliers(&samples).is_empty());
    samples[1] = 9.0;
    assert_eq!(outliers(&samples), [1]);
    assert!((median(&samples).unwrap() - before).abs() <= 0.01);
    assert!(outliers(&[1.0, 9.0, 1.0]).is_empty(), "three samples do not tell which of them is far off");
    assert!(outliers(&[5.0; 8]).is_empty());
}

fn samples() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(1e-6..1e6f64, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn intervals_are_in_order_and_of_many_samples_within_them(values in samples()) {
        let e = median_estimate(&values, CONFIDENCE).unwrap();
        prop_assert!(0.0 < e.low && e.low <= e.mid && e.mid <= e.high && e.high.is_finite());
        prop_assert_eq!(e.mid, median(&values).unwrap());
        let least = values.iter().copied().fold(f64::MAX, f64::min);
        let most = values.iter().copied().fold(f64::MIN, f64::max);
        prop_assert!(values.len() < ENOUGH || (least <= e.low && e.high <= most));
    }

    #[test]
    fn a_value_of_nothing_is_no_logarithm(mut values in samples()) {
        values[0] = 0.0;
        let e = median_estimate(&values, CONFIDENCE).unwrap();
        prop_assert!(e.low.is_finite() && e.low <= e.mid && e.mid <= e.high && e.high.is_finite());
    }

    #[test]
    fn order_does_not_matter_to_the_median(values in samples(), by in 0usize..40) {
        let mut turned = values.clone();
        turned.rotate_left(by % values.len());
        prop_assert_eq!(median(&turned), median(&values));
    }

    #[test]
    fn a_unit_changes_the_scale_only(values in samples(), scale in 1e-3..1e3f64) {
        let e = median_estimate(&values, CONFIDENCE).unwrap();
        let scaled: Vec<f64> = values.iter().map(|v| v * scale).collect();
        let s = median_estimate(&scaled, CONFIDENCE).unwrap();
        for (a, b) in [(e.low, s.low), (e.mid, s.mid), (e.high, s.high)] {
            prop_assert!((a * scale - b).abs() <= 1e-9 * b.abs());
        }
    }

    #[test]
    fn more_confidence_is_a_wider_interval(values in samples()) {
        let (a, b) = (median_estimate(&values, 0.8).unwrap(), median_estimate(&values, 0.99).unwrap());
        prop_assert!(b.low <= a.low && a.high <= b.high);
    }

    #[test]
    fn a_change_and_its_inverse_agree(a in samples(), b in samples()) {
        let (there, back) = (change_estimate(&a, &b, 0.95).unwrap(), change_estimate(&b, &a, 0.95).unwrap());
        prop_assert!((there.mid * back.mid - 1.0).abs() < 1e-9);
        prop_assert!(there.low <= there.mid && there.mid <= there.high);
    }
}
