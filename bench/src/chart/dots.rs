//! Many measurements at a glance: a row each, in it a mark for every runner, on one scale of times
//! the host.

use super::*;

pub struct DotRow {
    pub label: String,
    /// Which runner, and its times the host.
    pub values: Vec<(usize, Estimate)>,
}

const ROW: f64 = 22.0;

pub fn dots(description: &str, names: &[(usize, &str)], rows: &[DotRow]) -> Scene {
    let mut scene = Scene::new(description);
    let left = widest(rows.iter().map(|row| row.label.as_str()), SMALL).min(330.0) + 14.0;
    let values = rows.iter().flat_map(|row| row.values.iter().map(|(_, e)| e));
    let (low, high) = extent(values).unwrap_or((1.0, 2.0));
    let axis = Axis::log(low.min(1.0), high.max(2.0), (left, WIDTH - 16.0));
    let mut x = 0.0;
    for (which, name) in names {
        scene.shapes.push(Shape::Mark { at: (x + 6.0, 12.0), which: *which, colour: PALETTE[which % PALETTE.len()] });
        scene.text((x + 17.0, 12.0), *name, SMALL, Anchor::Start, INK);
        x += 17.0 + text_width(name, SMALL, false) + 20.0;
    }
    let top = 30.0;
    let bottom = top + rows.len() as f64 * ROW;
    for value in axis.ticks(8) {
        let x = axis.place(value);
        scene.line((x, top), (x, bottom), GRID, 1);
        scene.text((x, bottom + 12.0), tick(value), SMALL, Anchor::Middle, FAINT);
    }
    let host = axis.place(1.0);
    scene.line((host, top), (host, bottom), INK, 1);
    for (at, row) in rows.iter().enumerate() {
        let y = top + (at as f64 + 0.5) * ROW;
        scene.text((left - 10.0, y), super::times::shorten(&row.label, left - 14.0), SMALL, Anchor::End, INK);
        for (which, e) in &row.values {
            let colour = PALETTE[which % PALETTE.len()];
            if e.has_interval() {
                scene.line((axis.place(e.low), y), (axis.place(e.high), y), colour, 2);
            }
        }
        // Marks above all lines.
        for (which, e) in &row.values {
            scene.shapes.push(Shape::Mark {
                at: (axis.place(e.mid), y),
                which: *which,
                colour: PALETTE[which % PALETTE.len()],
            });
        }
    }
    let title = "times the host's time, logarithmic scale (1 = the host; to the right is slower)";
    scene.text(((left + WIDTH) / 2.0, bottom + 30.0), title, SMALL, Anchor::Middle, FAINT);
    scene.height = bottom + 42.0;
    scene
}
