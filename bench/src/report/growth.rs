//! How cost grows. Series whose names differ in one amount only (`fork+exit, 64 MiB`) are one line;
//! a workload measured with several numbers of CPUs is one too. New ones are found by themselves.

use crate::chart::Line;
use crate::format::scale;
use crate::schema::Results;
use crate::series::Series;
use crate::stats::CONFIDENCE;

pub struct Growth {
    pub title: String,
    pub x_title: String,
    pub unit: String,
    pub lines: Vec<Line>,
}

pub fn growths(results: &Results, series: &[Series]) -> Vec<Growth> {
    let mut families: Vec<(String, String, Vec<(f64, &Series)>)> = Vec::new();
    for s in series {
        let mut names = vec![];
        if let Some((stem, amount, unit)) = split(&s.key.label()) {
            names.push((stem, unit, amount));
        }
        let many = series
            .iter()
            .any(|o| o.key.workload == s.key.workload && o.key.metric == s.key.metric && o.key.cpus != s.key.cpus);
        if many {
            let one = crate::series::Key { cpus: 1, ..s.key.clone() };
            names = vec![(one.label(), "jobs, each on a CPU of its own".to_string(), f64::from(s.key.cpus))];
        }
        for (stem, unit, amount) in names {
            match families.iter_mut().find(|(other, u, _)| *other == stem && *u == unit) {
                Some((_, _, list)) => list.push((amount, s)),
                None => families.push((stem, unit, vec![(amount, s)])),
            }
        }
    }
    families.retain(|(_, unit, list)| list.len() >= if unit.starts_with("jobs") { 2 } else { 3 });
    families.into_iter().map(|(stem, unit, list)| family(results, stem, unit, list)).collect()
}

fn family(results: &Results, stem: String, x_title: String, mut list: Vec<(f64, &Series)>) -> Growth {
    list.sort_by(|a, b| a.0.total_cmp(&b.0));
    // One unit for all, that suits the greatest value; of an emulated processor, whose times are
    // nobody's, times the host's.
    let emulated = results.head.environment.is_emulated();
    let values = || list.iter().flat_map(|(_, s)| s.values.iter().flat_map(|(_, v)| v.iter().map(|(_, v)| *v)));
    let unit_now = list.first().map_or("s", |(_, s)| s.unit.as_str());
    let (by, unit) = if emulated { (1.0, "times the host's") } else { scale(values().fold(0.0, f64::max), unit_now) };
    let value = |s: &Series, runner: &str| match emulated {
        true => s.times_host(runner, CONFIDENCE),
        false => s.estimate(runner, CONFIDENCE),
    };
    let runners = results.head.plan.runners.iter().enumerate();
    let lines = runners.map(|(which, runner)| Line {
        label: runner.name.clone(),
        which,
        points: list.iter().filter_map(|(x, s)| Some((*x, value(s, &runner.name)?.map(|v| v * by)))).collect(),
    });
    let lines = lines.filter(|line: &Line| !line.points.is_empty()).collect();
    Growth { title: stem, x_title, unit: unit.to_string(), lines }
}

/// A name without its amount: the first number that a word follows which says of what.
fn split(label: &str) -> Option<(String, f64, String)> {
    const UNITS: [(&str, &str, f64); 9] = [
        ("KiB", "KiB", 1.0),
        ("MiB", "MiB", 1.0),
        ("GiB", "MiB", 1024.0),
        ("K", "KiB", 1.0),
        ("M", "MiB", 1.0),
        ("processes", "processes", 1.0),
        ("procs", "processes", 1.0),
        ("p", "processes", 1.0),
        ("fds", "descriptors", 1.0),
    ];
    let bytes = label.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let begins = bytes[at].is_ascii_digit() && (at == 0 || !bytes[at - 1].is_ascii_alphanumeric());
        if !begins {
            at += 1;
            continue;
        }
        let end = (at..bytes.len()).find(|&i| !bytes[i].is_ascii_digit()).unwrap_or(bytes.len());
        let amount: f64 = label[at..end].parse().ok()?;
        let rest = label[end..].strip_prefix([' ', '-', '_']).unwrap_or(&label[end..]);
        let word: String = rest.chars().take_while(|c| c.is_ascii_alphabetic()).collect();
        if let Some((_, unit, by)) = UNITS.iter().find(|(name, _, _)| *name == word) {
            let after = &rest[word.len()..];
            let stem = format!("{}{}", label[..at].trim_end_matches([' ', '-', '_', ',', '/', ':']), after);
            return Some((stem, amount * by, unit.to_string()));
        }
        at = end;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_in_names() {
        assert_eq!(split("fork+exit, 64 MiB"), Some(("fork+exit".into(), 64.0, "MiB".into())));
        assert_eq!(split("fork-exit-1GiB"), Some(("fork-exit".into(), 1024.0, "MiB".into())));
        assert_eq!(
            split("context-switch: 8 processes, 16K"),
            Some(("context-switch, 16K".into(), 8.0, "processes".into()))
        );
        assert_eq!(split("sqlite3: insert"), None);
        assert_eq!(split("null-call"), None);
    }
}
