//! Charts. A chart is laid out once as a scene of plain shapes, with the widths of its texts known,
//! and then drawn by `plotters` to SVG and to PNG alike: what was looked at in one of them holds
//! for the other.
//!
//! Nothing is told by colour alone: bars are labelled, lines have marks of their own shape, and the
//! colours are those of Okabe and Ito, which people with any kind of colour vision can tell apart.

mod dots;
mod growth;
mod stack;
mod times;

pub use dots::{DotRow, dots};
pub use growth::{Line, growth};
pub use stack::{Part, Stack, stack};
pub use times::{Row, times};

use crate::stats::Estimate;
use anyhow::{Context, Result};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::path::Path;
use std::sync::Once;

pub type Colour = (u8, u8, u8);

pub const INK: Colour = (26, 26, 26);
pub const FAINT: Colour = (105, 105, 105);
pub const GRID: Colour = (217, 217, 217);
pub const PAPER: Colour = (255, 255, 255);
/// The host's, and then one for each runner in the order of the plan.
pub const PALETTE: [Colour; 9] = [
    (120, 120, 120),
    (0, 114, 178),
    (230, 159, 0),
    (0, 158, 115),
    (213, 94, 0),
    (204, 121, 167),
    (86, 180, 233),
    (110, 60, 10),
    (60, 60, 110),
];

pub const WIDTH: f64 = 760.0;
pub const TEXT: f64 = 13.0;
pub const SMALL: f64 = 11.5;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

#[derive(Clone, Debug)]
pub enum Shape {
    Rect {
        from: (f64, f64),
        to: (f64, f64),
        fill: Colour,
    },
    /// Slanted lines over a rectangle, for what is not known.
    Hatch {
        from: (f64, f64),
        to: (f64, f64),
        colour: Colour,
    },
    Line {
        points: Vec<(f64, f64)>,
        colour: Colour,
        width: u32,
    },
    Mark {
        at: (f64, f64),
        which: usize,
        colour: Colour,
    },
    Text {
        at: (f64, f64),
        text: String,
        size: f64,
        bold: bool,
        anchor: Anchor,
        colour: Colour,
    },
}

/// A picture.
#[derive(Clone, Debug)]
pub struct Scene {
    pub height: f64,
    /// What a reader who cannot see it is told.
    pub description: String,
    pub shapes: Vec<Shape>,
}

impl Scene {
    pub fn new(description: impl Into<String>) -> Scene {
        Scene { height: 0.0, description: description.into(), shapes: Vec::new() }
    }

    pub fn text(&mut self, at: (f64, f64), text: impl Into<String>, size: f64, anchor: Anchor, colour: Colour) {
        self.shapes.push(Shape::Text { at, text: text.into(), size, bold: false, anchor, colour });
    }

    /// A text with paper behind it, for where lines cross.
    pub fn text_on_paper(&mut self, (x, y): (f64, f64), text: String, size: f64, colour: Colour) {
        let width = text_width(&text, size, false);
        self.shapes.push(Shape::Rect { from: (x - 3.0, y - 8.0), to: (x + width + 3.0, y + 8.0), fill: PAPER });
        self.text((x, y), text, size, Anchor::Start, colour);
    }

    pub fn bold(&mut self, at: (f64, f64), text: impl Into<String>, size: f64, anchor: Anchor) {
        self.shapes.push(Shape::Text { at, text: text.into(), size, bold: true, anchor, colour: INK });
    }

    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), colour: Colour, width: u32) {
        self.shapes.push(Shape::Line { points: vec![from, to], colour, width });
    }

    /// An interval along the axis at this height. An end beyond the axis has no stroke across: it
    /// goes on.
    pub fn whisker(&mut self, y: f64, axis: &Axis, e: &Estimate, colour: Colour) {
        self.line((axis.place(e.low), y), (axis.place(e.high), y), colour, 2);
        for end in [e.low, e.high] {
            if (axis.from..=axis.to).contains(&end) {
                let x = axis.place(end);
                self.line((x, y - 4.0), (x, y + 4.0), colour, 2);
            }
        }
    }

    pub fn svg(&self) -> String {
        fonts();
        let mut text = String::new();
        {
            let backend = SVGBackend::with_string(&mut text, (WIDTH as u32, self.height.ceil() as u32));
            // Writing to a string cannot fail.
            let _ = self.draw(&backend.into_drawing_area(), 1.0);
        }
        let label = self.description.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
        text.replacen("<svg ", &format!("<svg role=\"img\" aria-label=\"{label}\" "), 1)
    }

    /// The picture for itself, on paper; twice as many dots as units, for sharp screens.
    pub fn write_png(&self, path: &Path) -> Result<()> {
        fonts();
        let scale = 2.0;
        let size = ((WIDTH * scale) as u32, (self.height * scale).ceil() as u32);
        let area = BitMapBackend::new(path, size).into_drawing_area();
        area.fill(&WHITE)?;
        self.draw(&area, scale)?;
        area.present().with_context(|| format!("cannot write '{}'", path.display()))
    }

    /// The SVG for itself, on paper.
    pub fn standalone_svg(&self) -> String {
        let paper = format!("<rect width=\"{WIDTH}\" height=\"{}\" fill=\"#FFFFFF\"/>", self.height.ceil());
        let svg = self.svg();
        match svg.find('>') {
            Some(at) => format!("{}{paper}{}", &svg[..=at], &svg[at + 1..]),
            None => svg,
        }
    }

    fn draw<B: DrawingBackend<ErrorType: 'static>>(&self, area: &DrawingArea<B, Shift>, scale: f64) -> Result<()> {
        let at = |(x, y): (f64, f64)| ((x * scale).round() as i32, (y * scale).round() as i32);
        let colour = |(r, g, b): Colour| RGBColor(r, g, b);
        let wide = |width: u32| (f64::from(width) * scale).round() as u32;
        for shape in &self.shapes {
            let drawn = match shape {
                Shape::Rect { from, to, fill } => {
                    area.draw(&Rectangle::new([at(*from), at(*to)], colour(*fill).filled()))
                }
                Shape::Hatch { from, to, colour: c } => {
                    area.draw(&Rectangle::new([at(*from), at(*to)], colour(*c).stroke_width(wide(1)))).and_then(|()| {
                        hatch(*from, *to).into_iter().try_for_each(|(a, b)| {
                            area.draw(&PathElement::new(vec![at(a), at(b)], colour(*c).stroke_width(wide(1))))
                        })
                    })
                }
                Shape::Line { points, colour: c, width } => {
                    let points: Vec<(i32, i32)> = points.iter().map(|p| at(*p)).collect();
                    area.draw(&PathElement::new(points, colour(*c).stroke_width(wide(*width))))
                }
                Shape::Mark { at: (x, y), which, colour: c } => {
                    let points: Vec<(i32, i32)> = mark(*which).iter().map(|(dx, dy)| at((x + dx, y + dy))).collect();
                    match points.is_empty() {
                        true => area.draw(&Circle::new(at((*x, *y)), wide(4), colour(*c).filled())),
                        false => area.draw(&Polygon::new(points, colour(*c).filled())),
                    }
                }
                Shape::Text { at: place, text, size, bold, anchor, colour: c } => {
                    let ink = colour(*c);
                    let h = match anchor {
                        Anchor::Start => HPos::Left,
                        Anchor::Middle => HPos::Center,
                        Anchor::End => HPos::Right,
                    };
                    let style =
                        font(*size * scale, *bold).into_text_style(area).color(&ink).pos(Pos::new(h, VPos::Center));
                    // A line of text looks centred when its small letters are, which sit below the
                    // middle of the line.
                    area.draw(&Text::new(text.as_str(), at((place.0, place.1 + size * 0.1)), style))
                }
            };
            drawn?;
        }
        Ok(())
    }
}

/// The outline of a runner's mark; empty for a disc.
fn mark(which: usize) -> &'static [(f64, f64)] {
    match which % 6 {
        0 => &[],
        1 => &[(-4.0, -4.0), (4.0, -4.0), (4.0, 4.0), (-4.0, 4.0)],
        2 => &[(0.0, -5.0), (5.0, 4.0), (-5.0, 4.0)],
        3 => &[(0.0, -5.5), (5.5, 0.0), (0.0, 5.5), (-5.5, 0.0)],
        4 => &[(0.0, 5.0), (5.0, -4.0), (-5.0, -4.0)],
        _ => &[
            (-5.0, -2.0),
            (-2.0, -2.0),
            (-2.0, -5.0),
            (2.0, -5.0),
            (2.0, -2.0),
            (5.0, -2.0),
            (5.0, 2.0),
            (2.0, 2.0),
            (2.0, 5.0),
            (-2.0, 5.0),
            (-2.0, 2.0),
            (-5.0, 2.0),
        ],
    }
}

/// Slanted lines within a rectangle.
fn hatch((x0, y0): (f64, f64), (x1, y1): (f64, f64)) -> Vec<((f64, f64), (f64, f64))> {
    let (width, height) = (x1 - x0, y1 - y0);
    let mut lines = Vec::new();
    let mut d = 6.0;
    while d < width + height {
        let from = (x0 + (d - height).max(0.0), y0 + d.min(height));
        let to = (x0 + d.min(width), y0 + (d - width).max(0.0));
        lines.push((from, to));
        d += 6.0;
    }
    lines
}

fn font<'a>(size: f64, bold: bool) -> FontDesc<'a> {
    FontDesc::new(FontFamily::SansSerif, size, if bold { FontStyle::Bold } else { FontStyle::Normal })
}

/// The fonts come with the program: a machine for measurements may have none.
fn fonts() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _ = plotters::style::register_font("sans-serif", FontStyle::Normal, dejavu::sans::regular());
        let _ = plotters::style::register_font("sans-serif", FontStyle::Bold, dejavu::sans::bold());
    });
}

pub fn text_width(text: &str, size: f64, bold: bool) -> f64 {
    fonts();
    font(size, bold).box_size(text).map_or(text.len() as f64 * size * 0.6, |(width, _)| f64::from(width))
}

/// The widest of some texts.
pub fn widest<'a>(texts: impl IntoIterator<Item = &'a str>, size: f64) -> f64 {
    texts.into_iter().map(|text| text_width(text, size, false)).fold(0.0, f64::max)
}

/// A scale from values to places, linear or logarithmic, with round numbers for its ticks.
#[derive(Clone, Debug)]
pub struct Axis {
    pub from: f64,
    pub to: f64,
    pub log: bool,
    /// The places of `from` and `to`.
    pub places: (f64, f64),
}

impl Axis {
    /// A linear scale from zero.
    pub fn linear(most: f64, places: (f64, f64)) -> Axis {
        let step = round_step(most / 5.0);
        Axis { from: 0.0, to: (most / step).ceil().max(1.0) * step, log: false, places }
    }

    pub fn log(least: f64, most: f64, places: (f64, f64)) -> Axis {
        // To the next of 1, 2, 5 on both sides.
        let down = log_ticks(least / 10.0, least).last().copied().unwrap_or(least);
        let up = log_ticks(most, most * 10.0).first().copied().unwrap_or(most);
        Axis { from: down, to: if up > down { up } else { down * 2.0 }, log: true, places }
    }

    pub fn place(&self, value: f64) -> f64 {
        let part = match self.log {
            true => (value.max(1e-300).ln() - self.from.ln()) / (self.to.ln() - self.from.ln()),
            false => (value - self.from) / (self.to - self.from),
        };
        self.places.0 + part.clamp(-0.02, 1.02) * (self.places.1 - self.places.0)
    }

    /// At most so many ticks.
    pub fn ticks(&self, most: usize) -> Vec<f64> {
        if !self.log {
            let step = round_step((self.to - self.from) / 5.0);
            return (0..=((self.to - self.from) / step + 1e-9) as usize).map(|i| self.from + i as f64 * step).collect();
        }
        let all = log_ticks(self.from * 0.999, self.to * 1.001);
        let tens: Vec<f64> = all.iter().copied().filter(|t| (t.log10() - t.log10().round()).abs() < 1e-9).collect();
        if all.len() <= most {
            return all;
        }
        let every = tens.len().div_ceil(most).max(1);
        tens.into_iter().step_by(every).collect()
    }
}

/// What an axis must span: all medians, and the intervals as far as they do not dwarf them. An
/// interval of two samples can reach over decades.
pub fn extent<'a>(estimates: impl Iterator<Item = &'a Estimate>) -> Option<(f64, f64)> {
    let spans = estimates.map(|e| (e.mid, (e.low, e.high)));
    let (mids, ends) = spans.map(|(mid, ends)| ((mid, mid), ends)).reduce(|(a, b), (c, d)| {
        let both = |x: (f64, f64), y: (f64, f64)| (x.0.min(y.0), x.1.max(y.1));
        (both(a, c), both(b, d))
    })?;
    Some((ends.0.max(mids.0 / 2.0), ends.1.min(mids.1 * 2.0)))
}

/// The numbers 1, 2, 5 times a power of ten in a range, which may reach as far as a file's numbers
/// do.
fn log_ticks(from: f64, to: f64) -> Vec<f64> {
    let power = |of: f64| of.log10().clamp(f64::from(f64::MIN_10_EXP), f64::from(f64::MAX_10_EXP));
    let mut ticks = Vec::new();
    for power in power(from).floor() as i32..=power(to).ceil() as i32 {
        for digit in [1.0, 2.0, 5.0] {
            let tick = digit * 10f64.powi(power);
            if tick >= from * (1.0 - 1e-9) && tick <= to * (1.0 + 1e-9) {
                ticks.push(tick);
            }
        }
    }
    ticks
}

fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.max(1e-12).log10().floor());
    let digit = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().find(|digit| digit * power >= step * 0.999);
    digit.unwrap_or(10.0) * power
}

/// A tick's number, as short as it can be.
pub fn tick(value: f64) -> String {
    let text = format!("{value:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text.is_empty() { "0".into() } else { text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_of_numbers_beyond_all_measure_are_bounded() {
        for (from, to) in [(1.0, f64::INFINITY), (0.0, 1.0), (0.0, f64::INFINITY)] {
            assert!(log_ticks(from, to).len() <= 3 * 620, "{from} to {to}");
        }
    }

    #[test]
    fn axes() {
        let axis = Axis::linear(2.3, (0.0, 100.0));
        assert_eq!((axis.to, axis.place(0.0), axis.place(axis.to)), (2.5, 0.0, 100.0));
        assert_eq!(axis.ticks(9), [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]);
        let axis = Axis::log(0.8, 130.0, (0.0, 100.0));
        assert_eq!((axis.from, axis.to), (0.5, 200.0));
        assert_eq!(axis.ticks(4), [1.0, 10.0, 100.0]);
        assert_eq!(tick(0.5), "0.5");
        assert_eq!(tick(200.0), "200");
    }

    #[test]
    fn hatches_stay_inside() {
        for (a, b) in hatch((10.0, 20.0), (43.0, 40.0)) {
            for (x, y) in [a, b] {
                assert!((10.0..=43.0).contains(&x) && (20.0..=40.0).contains(&y), "{x} {y}");
            }
        }
    }
}
