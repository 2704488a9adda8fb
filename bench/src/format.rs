//! Numbers for people: no more digits than the interval is worth, and a unit that suits.

use crate::stats::Estimate;

/// Rounds to the place of the uncertainty's first digit, with at least two and at most four
/// significant digits.
pub fn number(value: f64, half_width: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    let magnitude = value.abs().log10().floor() as i32;
    let uncertain = match half_width {
        w if w <= 0.0 => magnitude - 2,
        w => {
            let place = w.log10().floor();
            // 1.3 is worth one more place than 9: rounding to whole numbers would lose half of it.
            place as i32 - i32::from(w / 10f64.powf(place) < 2.0)
        }
    };
    let decimals = (-uncertain).clamp(1 - magnitude, 3 - magnitude).max(0) as usize;
    format!("{value:.decimals$}")
}

/// A ratio: two decimals below ten, one below a hundred; and more where two would be nothing.
pub fn times(value: f64) -> String {
    match value {
        v if v < 0.0095 => format!("{v:.4}"),
        v if v < 9.995 => format!("{v:.2}"),
        v if v < 99.95 => format!("{v:.1}"),
        v => format!("{v:.0}"),
    }
}

/// A ratio with its interval, where it has one.
pub fn times_interval(e: &Estimate) -> String {
    match e.has_interval() {
        true => format!("{} ({}–{})", times(e.mid), times(e.low), times(e.high)),
        false => format!("{} (one sample)", times(e.mid)),
    }
}

/// The unit in which a value of this unit is best read, and by what to multiply.
pub fn scale(value: f64, unit: &str) -> (f64, &str) {
    const TIMES: [(&str, f64); 4] = [("ns", 1e-9), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0)];
    let unit = if unit == "us" { "µs" } else { unit };
    match TIMES.iter().find(|(name, _)| *name == unit) {
        None => (1.0, unit),
        Some((_, factor)) => {
            let seconds = value.abs() * factor;
            let (name, size) = TIMES.iter().rev().find(|(_, size)| seconds >= *size).unwrap_or(&TIMES[0]);
            (factor / size, name)
        }
    }
}

/// A value in its best unit, with its interval's half width as ±.
pub fn quantity(e: &Estimate, unit: &str) -> String {
    let (by, unit) = scale(e.mid, unit);
    let half = (e.high - e.low) / 2.0 * by;
    let number = number(e.mid * by, half);
    format!("{number} {unit}")
}

/// The same with its interval.
pub fn quantity_interval(e: &Estimate, unit: &str) -> String {
    if !e.has_interval() {
        return quantity(e, unit);
    }
    let (by, unit) = scale(e.mid, unit);
    let half = (e.high - e.low) / 2.0 * by;
    let n = |value: f64| number(value * by, half);
    format!("{} ({}–{}) {unit}", n(e.mid), n(e.low), n(e.high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_follow_the_uncertainty() {
        for (value, half, expected) in [
            (23.4567, 0.8, "23.5"),
            (23.4567, 3.0, "23"),
            (23.4567, 0.0, "23.5"),
            (0.171234, 0.002, "0.171"),
            (1234.5, 20.0, "1234"),
            (23.4567, 1.3, "23.5"),
            (1234.5, 0.001, "1234"),
            (5.0, 9.0, "5.0"),
        ] {
            assert_eq!(number(value, half), expected, "{value} {half}");
        }
    }

    #[test]
    fn units() {
        let e = |mid: f64| Estimate { low: mid, mid, high: mid, n: 1 };
        assert_eq!(quantity(&e(171.0), "ns"), "171 ns");
        assert_eq!(quantity(&e(17100.0), "ns"), "17.1 µs");
        assert_eq!(quantity(&e(0.0042), "s"), "4.20 ms");
        assert_eq!(quantity(&e(812.0), "MB/s"), "812 MB/s");
        assert_eq!(times(2.345), "2.35");
        assert_eq!(times(234.5), "234");
        assert_eq!(times(0.00123), "0.0012");
    }
}
