//! The page: one file, without a script and without the network; for screens, light and dark, and
//! for paper.

use super::document::{Block, Chart, Document, Span, Text};
use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("style.css");
/// A list of more is folded.
const SHOWN: usize = 6;

pub fn render(document: &Document) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "umlab: process models measured" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { (document.title) }
                    p.meta { (document.line) }
                    @for notice in &document.notices { (block(notice)) }
                }
                main {
                    @for (at, section) in document.sections.iter().enumerate() {
                        section {
                            h2 { (at + 1) ". " (section.title) }
                            @for part in &section.blocks { (block(part)) }
                        }
                    }
                }
            }
        }
    };
    page.into_string()
}

fn block(block: &Block) -> Markup {
    html! {
        @match block {
            Block::Heading(title) => h3 { (title) },
            Block::Paragraph(spans) => p { (text(spans)) },
            Block::Notice(text) => p.notice { (text) },
            Block::Small(text) => p.small { (text) },
            Block::List { title, items } => details.notice open[items.len() <= SHOWN] {
                summary { (title) }
                ul { @for item in items { li { (item) } } }
            },
            Block::Terms(terms) => dl { @for (name, meaning) in terms { dt { (name) } dd { (meaning) } } },
            Block::Table(table) => (table.html()),
            Block::Chart(chart) => (figure(chart)),
            Block::Folded { title, table } => details {
                summary { (title) }
                (table.html())
            },
        }
    }
}

fn text(Text(spans): &Text) -> Markup {
    html! {
        @for span in spans {
            @match span {
                Span::Plain(text) => (text),
                Span::Term(text) => em { (text) },
                Span::Strong(text) => b { (text) },
                Span::File(name) => code { (name) },
            }
        }
    }
}

fn figure(chart: &Chart) -> Markup {
    html! {
        figure id=(chart.id) {
            (PreEscaped(chart.scene.svg()))
            @if !chart.caption.is_empty() { figcaption { (chart.caption) } }
        }
    }
}
