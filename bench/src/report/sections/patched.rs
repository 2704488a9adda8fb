//! What the patched host gives: skas3, whose address spaces are descriptors, beside the models that
//! need no patch, and its batches beside the writes of 2002. A part of the report where skas3 was
//! measured. Ratios only: such a host is mostly an emulated one.

use super::super::Report;
use super::super::document::{Block, Section};
use super::super::table::{Cell, Table};
use crate::format;
use crate::series::Series;
use crate::stats::{CONFIDENCE, Estimate, median};

const PATCHED: &str = "skas3";
/// The same model with the first interface: a call for each change of an address space, and one for
/// the hop into another.
const WRITES: &str = "skas3-write";

struct Part {
    title: &'static str,
    paragraphs: Vec<String>,
    table: Table,
}

/// The section, if skas3 and another model were measured.
pub fn section(report: &Report) -> Option<Section> {
    let part = part(report)?;
    let mut blocks: Vec<Block> = part.paragraphs.into_iter().map(Block::text).collect();
    blocks.push(Block::Table(part.table));
    Some(Section { title: part.title.into(), blocks })
}

fn part(report: &Report) -> Option<Part> {
    // What the change from writes to batches gains comes first: it is about the patch alone.
    let mut others: Vec<&str> = report.others().map(|(_, runner)| runner.name.as_str()).collect();
    others.retain(|name| *name != PATCHED);
    others.sort_by_key(|name| *name != WRITES);
    others.retain(|name| report.series.iter().any(|series| ratio(series, name).is_some()));
    if others.is_empty() {
        return None;
    }
    let environment = &report.results.head.environment;
    let emulated = environment.is_emulated();
    let title = match (emulated, environment.is_counted()) {
        (_, true) => "skas3 on the patched host (emulated, instructions counted)",
        (true, _) => "skas3 on the patched host (emulated)",
        _ => "skas3 on the patched host",
    };
    let mut paragraphs = Vec::new();
    if emulated {
        paragraphs.push(
            "This host has the patch of host-patch/, and its processor is emulated: what is dear there is not what is dear on a real one. \
             So these are ratios of one model to another on the same host, and none is a promise for another machine."
                .into(),
        );
    }
    paragraphs.push(format!(
        "How many times as slow as {PATCHED} each other model is; more than one is in favour of {PATCHED}. A difference is called clear when the \
         whole interval lies on one side of one."
    ));
    paragraphs.extend(others.iter().map(|name| summary(report, name)));
    paragraphs.push(format!(
        "The address spaces of {PATCHED} have no vDSO, so reading the clock is a system call there; one reading is in every batch of a loop, too."
    ));
    Some(Part { title, paragraphs, table: table(report, &others) })
}

/// How many times as slow as skas3.
fn ratio(series: &Series, name: &str) -> Option<Estimate> {
    series.times(name, PATCHED, CONFIDENCE)
}

fn summary(report: &Report, name: &str) -> String {
    let ratios: Vec<(&Series, Estimate)> = report.series.iter().filter_map(|s| Some((s, ratio(s, name)?))).collect();
    // Not a mean: a single one of a thousandth (the clock, without a vDSO) would be most of it.
    let middle = median(&ratios.iter().map(|(_, e)| e.mid).collect::<Vec<_>>()).unwrap_or(f64::NAN);
    let clear = |e: &Estimate| e.has_interval();
    let faster = ratios.iter().filter(|(_, e)| clear(e) && e.low > 1.0).count();
    let slower = ratios.iter().filter(|(_, e)| clear(e) && e.high < 1.0).count();
    let subject = match name {
        WRITES => "What batches gain over a write for each change".to_string(),
        _ => format!("{name} beside {PATCHED}"),
    };
    let mut text = format!(
        "{subject}: × {} in the middle of {}; {PATCHED} is clearly faster in {faster} and clearly slower in {slower}.",
        format::times(middle),
        match ratios.len() {
            1 => "1 measurement".to_string(),
            n => format!("{n} measurements"),
        }
    );
    let by_ratio = |a: &&(&Series, Estimate), b: &&(&Series, Estimate)| a.1.mid.total_cmp(&b.1.mid);
    if let (Some(least), Some(most)) = (ratios.iter().min_by(by_ratio), ratios.iter().max_by(by_ratio))
        && ratios.len() > 1
    {
        let told = |(series, e): &(&Series, Estimate)| format!("{} (× {})", series.key.label(), format::times(e.mid));
        text += &format!(" It goes from {} to {}.", told(least), told(most));
    }
    text
}

fn table(report: &Report, others: &[&str]) -> Table {
    let mut head = vec![Cell::text("")];
    head.extend(others.iter().map(|name| Cell::number(format!("{name} : {PATCHED}"), "")));
    let rows = report.series.iter().filter(|series| others.iter().any(|name| ratio(series, name).is_some()));
    let cell = |series: &Series, name: &str| {
        Cell::number(ratio(series, name).map_or("–".into(), |e| format!("× {}", format::times_interval(&e))), "")
    };
    let rows = rows.map(|series| {
        let mut row = vec![Cell::text(series.key.label())];
        row.extend(others.iter().map(|name| cell(series, name)));
        row
    });
    Table { head, rows: rows.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::*;
    use crate::testing::{head, sample};

    /// skas3 takes 20 ms, and in each round the others so many.
    fn results(label: &str, others: &[(&str, [f64; 3])]) -> Results {
        let mut head = head();
        head.environment.label = label.into();
        let mut samples = Vec::new();
        let all = [(HOST, [1.0, 1.0, 1.0]), (PATCHED, [20.0, 20.0, 20.0])];
        for (name, times) in all.iter().chain(others) {
            if *name != HOST {
                let kind = Kind::Model;
                head.plan.runners.push(RunnerInfo { name: (*name).into(), kind, ..head.plan.runners[0].clone() });
            }
            samples.extend((1..).zip(times).map(|(round, ms)| sample(round, name, *ms)));
        }
        Results { head, samples, finished: true }
    }

    #[test]
    fn what_batches_gain_is_first_and_the_interval_decides() {
        let others = [("skas0", [10.0, 12.0, 14.0]), (WRITES, [30.0, 40.0, 50.0]), ("tt", [10.0, 20.0, 40.0])];
        let results = results(EMULATED, &others);
        let part = part(&Report::new(&results)).unwrap();
        assert!(part.title.ends_with("(emulated)"));
        assert!(part.paragraphs[0].contains("emulated"));
        let said: Vec<&String> = part.paragraphs.iter().skip(2).collect();
        assert_eq!(
            *said[0],
            "What batches gain over a write for each change: × 2.00 in the middle of 1 measurement; skas3 is clearly faster in 1 \
             and clearly slower in 0."
        );
        assert!(
            said[1].starts_with("skas0 beside skas3: × 0.60")
                && said[1].ends_with("faster in 0 and clearly slower in 1.")
        );
        assert!(
            said[2].starts_with("tt beside skas3: × 1.00") && said[2].ends_with("faster in 0 and clearly slower in 0.")
        );
        let text = part.table.markdown();
        assert!(text.contains("skas3-write : skas3 | skas0 : skas3 | tt : skas3"), "{text}");
        assert!(text.contains("| × 2.00 (1.04–3.70) | × 0.60 (0.39–0.90) | × 1.00 (0.18–5.59) |"), "{text}");
        assert!(!text.contains("ms"), "{text}");
    }

    #[test]
    fn without_skas3_or_without_another_there_is_nothing_to_tell() {
        assert!(part(&Report::new(&results(EMULATED, &[]))).is_none());
        let counted = results(COUNTED, &[("tt", [30.0, 30.0, 30.0])]);
        assert!(part(&Report::new(&counted)).unwrap().title.ends_with("(emulated, instructions counted)"));
        let mut results = results("", &[("tt", [30.0, 30.0, 30.0])]);
        let with = part(&Report::new(&results)).unwrap();
        assert_eq!((with.title, with.paragraphs.len()), ("skas3 on the patched host", 3));
        results.samples.retain(|sample| sample.runner != PATCHED);
        assert!(part(&Report::new(&results)).is_none());
    }
}
