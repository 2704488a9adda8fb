//! How a cost grows with an amount: a line a runner, with marks, intervals and its name at its end.

use super::*;

pub struct Line {
    pub label: String,
    pub which: usize,
    /// The amount and the cost, in one unit for all lines.
    pub points: Vec<(f64, Estimate)>,
}

const HEIGHT: f64 = 320.0;

/// Both scales are logarithmic where the amounts span more than a factor of eight: then a cost in
/// proportion is a straight line that rises by as much as it goes right.
pub fn growth(description: &str, x_title: &str, y_title: &str, lines: &[Line]) -> Scene {
    let mut scene = Scene::new(description);
    let points = || lines.iter().flat_map(|line| &line.points);
    let fold = |f: fn(f64, f64) -> f64, values: &mut dyn Iterator<Item = f64>| values.reduce(f).unwrap_or(1.0);
    let (x0, x1) = (fold(f64::min, &mut points().map(|p| p.0)), fold(f64::max, &mut points().map(|p| p.0)));
    let (y0, y1) = extent(points().map(|p| &p.1)).unwrap_or((1.0, 1.0));
    let log = x1 / x0 > 8.0 || y1 / y0 > 8.0;
    let (top, bottom) = (34.0, HEIGHT - 50.0);
    let y_axis = if log { Axis::log(y0, y1, (bottom, top)) } else { Axis::linear(y1, (bottom, top)) };
    let y_ticks = y_axis.ticks(7);
    let left = widest(y_ticks.iter().map(|t| tick(*t)).collect::<Vec<_>>().iter().map(String::as_str), SMALL) + 14.0;
    let right = widest(lines.iter().map(|line| line.label.as_str()), TEXT) + 22.0;
    let x_places = (left + 12.0, WIDTH - right);
    let mut amounts: Vec<f64> = points().map(|p| p.0).collect();
    amounts.sort_by(f64::total_cmp);
    amounts.dedup();
    let x_axis = match log && x1 > x0 {
        true => Axis { from: x0, to: x1, log: true, places: x_places },
        false => Axis { from: x0, to: if x1 > x0 { x1 } else { x0 + 1.0 }, log: false, places: x_places },
    };
    for value in &y_ticks {
        let y = y_axis.place(*value);
        scene.line((left, y), (WIDTH - right + 6.0, y), GRID, 1);
        scene.text((left - 8.0, y), tick(*value), SMALL, Anchor::End, FAINT);
    }
    // The amounts that were measured are the ticks.
    let mut free = f64::MIN;
    for amount in &amounts {
        let (x, text) = (x_axis.place(*amount), tick(*amount));
        let half = text_width(&text, SMALL, false) / 2.0;
        scene.line((x, bottom), (x, bottom + 5.0), FAINT, 1);
        if x - half > free {
            scene.text((x, bottom + 15.0), text, SMALL, Anchor::Middle, FAINT);
            free = x + half + 6.0;
        }
    }
    scene.line((left, bottom), (WIDTH - right + 6.0, bottom), FAINT, 1);
    scene.text((0.0, 12.0), y_title, SMALL, Anchor::Start, FAINT);
    let logarithmic = if log { " (both scales logarithmic)" } else { "" };
    scene.text(
        ((left + WIDTH - right) / 2.0, bottom + 36.0),
        format!("{x_title}{logarithmic}"),
        SMALL,
        Anchor::Middle,
        FAINT,
    );
    for line in lines {
        draw_line(&mut scene, line, &x_axis, &y_axis);
    }
    labels(&mut scene, lines, &x_axis, &y_axis, (top, bottom));
    scene.height = HEIGHT;
    scene
}

fn draw_line(scene: &mut Scene, line: &Line, x_axis: &Axis, y_axis: &Axis) {
    let colour = PALETTE[line.which % PALETTE.len()];
    let places: Vec<(f64, f64)> = line.points.iter().map(|(x, e)| (x_axis.place(*x), y_axis.place(e.mid))).collect();
    scene.shapes.push(Shape::Line { points: places.clone(), colour, width: 2 });
    for ((x, y), (_, e)) in places.into_iter().zip(&line.points) {
        let (low, high) = (y_axis.place(e.low), y_axis.place(e.high));
        if e.has_interval() && low - high > 2.0 {
            scene.line((x, low), (x, high), colour, 1);
            for end in [low, high] {
                scene.line((x - 3.0, end), (x + 3.0, end), colour, 1);
            }
        }
        scene.shapes.push(Shape::Mark { at: (x, y), which: line.which, colour });
    }
}

/// The names at the ends of the lines, pushed apart where the lines are near each other.
fn labels(scene: &mut Scene, lines: &[Line], x_axis: &Axis, y_axis: &Axis, (top, bottom): (f64, f64)) {
    let mut ends: Vec<(f64, f64, &Line)> = lines
        .iter()
        .filter_map(|line| line.points.last().map(|(x, e)| (y_axis.place(e.mid), x_axis.place(*x), line)))
        .collect();
    ends.sort_by(|a, b| a.0.total_cmp(&b.0));
    let gap = 16.0;
    let mut free = top - 8.0;
    for (y, _, _) in &mut ends {
        *y = y.max(free);
        free = *y + gap;
    }
    let mut free = bottom + 2.0;
    for (y, _, _) in ends.iter_mut().rev() {
        *y = y.min(free);
        free = *y - gap;
    }
    for (y, x, line) in ends {
        scene.text((x + 12.0, y), line.label.clone(), TEXT, Anchor::Start, INK);
    }
}
