//! Where the time goes: one bar a runner, stacked of its parts; what is not explained is hatched,
//! not coloured.

use super::*;

pub struct Part {
    pub name: String,
    pub seconds: f64,
    /// A place in the order of parts, the same in all bars; none: not explained.
    pub which: Option<usize>,
}

pub struct Stack {
    pub label: String,
    pub parts: Vec<Part>,
}

const ROW: f64 = 36.0;

pub fn stack(description: &str, names: &[&str], bars: &[Stack]) -> Scene {
    let mut scene = Scene::new(description);
    let left = widest(bars.iter().map(|bar| bar.label.as_str()), TEXT) + 14.0;
    let total = |bar: &Stack| bar.parts.iter().map(|part| part.seconds).sum::<f64>();
    let most = bars.iter().map(total).fold(0.0, f64::max);
    let axis = Axis::linear(most, (left, WIDTH - 60.0));
    let top = legend(&mut scene, names, bars);
    let bottom = top + bars.len() as f64 * ROW;
    for value in axis.ticks(8) {
        let x = axis.place(value);
        scene.line((x, top), (x, bottom), GRID, 1);
        scene.text((x, bottom + 12.0), tick(value), SMALL, Anchor::Middle, FAINT);
    }
    for (at, bar) in bars.iter().enumerate() {
        let y = top + (at as f64 + 0.5) * ROW;
        scene.text((left - 10.0, y), bar.label.clone(), TEXT, Anchor::End, INK);
        let mut sum = 0.0;
        for part in &bar.parts {
            let (from, to) = (axis.place(sum), axis.place(sum + part.seconds));
            sum += part.seconds;
            if to - from < 0.5 {
                continue;
            }
            let (from, to) = ((from, y - 11.0), (to, y + 11.0));
            match part.which {
                Some(which) => scene.shapes.push(Shape::Rect { from, to, fill: part_colour(which) }),
                None => scene.shapes.push(Shape::Hatch { from, to, colour: FAINT }),
            }
            // A thin line of paper between two parts.
            scene.line((to.0, from.1), to, PAPER, 1);
        }
        scene.text_on_paper((axis.place(sum) + 8.0, y), crate::progress::seconds(sum), SMALL, INK);
    }
    scene.text(
        ((left + WIDTH - 60.0) / 2.0, bottom + 30.0),
        "seconds, from start to end",
        SMALL,
        Anchor::Middle,
        FAINT,
    );
    scene.height = bottom + 42.0;
    scene
}

/// The parts that occur, in their order; returns where the bars begin.
fn legend(scene: &mut Scene, names: &[&str], bars: &[Stack]) -> f64 {
    let occurs = |which: Option<usize>| {
        bars.iter().flat_map(|bar| &bar.parts).any(|part| part.which == which && part.seconds > 0.0)
    };
    let mut entries: Vec<(Option<usize>, &str)> = (0..names.len()).map(|at| (Some(at), names[at])).collect();
    entries.push((None, "not explained"));
    let (mut x, mut y) = (0.0, 12.0);
    for (which, name) in entries.into_iter().filter(|(which, _)| occurs(*which)) {
        let width = 20.0 + text_width(name, SMALL, false) + 18.0;
        if x + width > WIDTH {
            (x, y) = (0.0, y + 20.0);
        }
        let (from, to) = ((x, y - 6.0), (x + 14.0, y + 6.0));
        scene.shapes.push(match which {
            Some(which) => Shape::Rect { from, to, fill: part_colour(which) },
            None => Shape::Hatch { from, to, colour: FAINT },
        });
        scene.text((x + 20.0, y), name, SMALL, Anchor::Start, INK);
        x += width;
    }
    y + 18.0
}

/// Neighbours differ in lightness too, so that they can be told apart without colour.
fn part_colour(which: usize) -> Colour {
    const COLOURS: [Colour; 8] = [
        (120, 120, 120),
        (0, 114, 178),
        (240, 200, 80),
        (0, 158, 115),
        (225, 165, 200),
        (110, 60, 10),
        (213, 94, 0),
        (86, 180, 233),
    ];
    COLOURS[which % COLOURS.len()]
}
