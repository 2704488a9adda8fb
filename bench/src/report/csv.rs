//! Every value as a line, for people with tools of their own.

use crate::schema::Results;
use crate::series::values;
use anyhow::Result;

pub fn render(results: &Results) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let head =
        ["round", "runner", "workload", "cpus", "metric", "value", "unit", "outcome", "seconds", "started", "reason"];
    writer.write_record(head)?;
    for sample in &results.samples {
        let outcome =
            serde_json::to_value(sample.outcome).ok().and_then(|v| v.as_str().map(String::from)).unwrap_or_default();
        let values = if sample.is_ok() { values(sample) } else { vec![(String::new(), f64::NAN, String::new())] };
        for (metric, value, unit) in values {
            let value = if value.is_nan() { String::new() } else { value.to_string() };
            let reason = sample.reason.clone().unwrap_or_default();
            let (round, cpus, seconds) =
                (sample.round.to_string(), sample.cpus.to_string(), sample.seconds.to_string());
            let record = [
                &round,
                &sample.runner,
                &sample.workload,
                &cpus,
                &metric,
                &value,
                &unit,
                &outcome,
                &seconds,
                &sample.started,
                &reason,
            ];
            writer.write_record(record)?;
        }
    }
    Ok(writer.into_inner()?)
}
