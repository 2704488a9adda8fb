//! How many times the host's time: one row a runner, with its interval. Bars from zero where they
//! fit; where one runner needs far longer than the others, marks on a logarithmic scale, since a
//! bar without a zero would lie.

use super::*;
use crate::format;

pub struct Row {
    pub label: String,
    /// Which colour and mark.
    pub which: usize,
    /// Times the host, or why there is no value.
    pub value: Result<Estimate, String>,
    /// What else stands behind the value, as the absolute time.
    pub note: String,
    /// The same ratio as it was published.
    pub published: Option<f64>,
}

const ROW: f64 = 30.0;

/// `groups`: a title each (empty for none) and its rows.
pub fn times(description: &str, groups: &[(String, Vec<Row>)]) -> Scene {
    let mut scene = Scene::new(description);
    let rows = || groups.iter().flat_map(|(_, rows)| rows);
    let values: Vec<Estimate> = rows().filter_map(|row| row.value.as_ref().ok().copied()).collect();
    let published = || rows().filter_map(|row| row.published);
    let (low, high) = extent(values.iter()).unwrap_or((1.0, 1.0));
    let (low, high) = published().fold((low.min(1.0), high.max(1.0)), |(low, high), p| (low.min(p), high.max(p)));
    let left = widest(rows().map(|row| row.label.as_str()), TEXT) + 14.0;
    let behind: Vec<String> = rows().filter_map(|row| row.value.as_ref().ok().map(|e| told(e, &row.note))).collect();
    let right = widest(behind.iter().map(String::as_str), SMALL) + 14.0;
    let places = (left, WIDTH - right);
    let axis = if high > 8.0 { Axis::log(low, high, places) } else { Axis::linear(high, places) };

    let mut y = 8.0;
    let mut bands = Vec::new();
    for (title, rows) in groups {
        if !title.is_empty() {
            scene.bold((0.0, y + 10.0), title.clone(), TEXT, Anchor::Start);
            y += 24.0;
        }
        let top = y;
        y += rows.len() as f64 * ROW;
        bands.push((top, y));
        y += 8.0;
    }
    for value in axis.ticks(8) {
        let x = axis.place(value);
        for (top, bottom) in &bands {
            scene.line((x, *top), (x, *bottom), GRID, 1);
        }
        scene.text((x, y + 6.0), tick(value), SMALL, Anchor::Middle, FAINT);
    }
    for ((_, rows), (top, _)) in groups.iter().zip(&bands) {
        for (at, row) in rows.iter().enumerate() {
            draw_row(&mut scene, row, top + (at as f64 + 0.5) * ROW, left, &axis);
        }
    }
    let scale = if axis.log { ", logarithmic scale" } else { "" };
    let dashed = if published().next().is_some() { "; dashed: as published in 2002" } else { "" };
    let unit = format!("times the host's time{scale} (1 = the host{dashed})");
    scene.text(((places.0 + places.1) / 2.0, y + 24.0), unit, SMALL, Anchor::Middle, FAINT);
    scene.height = y + 36.0;
    scene
}

fn draw_row(scene: &mut Scene, row: &Row, y: f64, left: f64, axis: &Axis) {
    scene.text((left - 10.0, y), row.label.clone(), TEXT, Anchor::End, INK);
    let colour = PALETTE[row.which % PALETTE.len()];
    let e = match &row.value {
        Ok(e) => e,
        Err(reason) => {
            let text = shorten(&format!("not measured: {reason}"), WIDTH - left - 20.0);
            return scene.text_on_paper((left + 8.0, y), text, SMALL, FAINT);
        }
    };
    if !axis.log {
        scene.shapes.push(Shape::Rect {
            from: (axis.places.0, y - 9.0),
            to: (axis.place(e.mid), y + 9.0),
            fill: colour,
        });
    }
    // Over the bar, which must not hide where the host is; and in rows with a value only, since it
    // would cross a text.
    let host = axis.place(1.0);
    scene.line((host, y - ROW / 2.0), (host, y + ROW / 2.0), INK, 1);
    if e.has_interval() && axis.place(e.high) - axis.place(e.low) >= 1.0 {
        scene.whisker(y, axis, e, if axis.log { colour } else { INK });
    }
    if axis.log {
        scene.shapes.push(Shape::Mark { at: (axis.place(e.mid), y), which: row.which, colour });
    }
    if let Some(published) = row.published {
        let x = axis.place(published);
        scene.line((x, y - 13.0), (x, y + 13.0), PAPER, 4);
        for dash in 0..4 {
            let from = y - 13.0 + f64::from(dash) * 7.0;
            scene.line((x, from), (x, from + 5.0), INK, 2);
        }
    }
    scene.text((axis.places.1 + 10.0, y), told(e, &row.note), SMALL, Anchor::Start, INK);
}

fn told(e: &Estimate, note: &str) -> String {
    let times = format!("× {}", format::times(e.mid));
    if note.is_empty() { times } else { format!("{times}  {note}") }
}

/// Cut to a width, with dots.
pub fn shorten(text: &str, width: f64) -> String {
    if text_width(text, SMALL, false) <= width {
        return text.into();
    }
    let mut end = text.chars().count();
    while end > 1 {
        end -= 1;
        let cut: String = text.chars().take(end).collect::<String>() + "…";
        if text_width(&cut, SMALL, false) <= width {
            return cut;
        }
    }
    String::new()
}
