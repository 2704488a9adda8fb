//! The same report as Markdown, for places that show that and no pages; its charts are the files
//! beside it.

use super::document::{Block, Document, Span, Text};

pub fn render(document: &Document) -> String {
    let mut out = format!("# {}\n\n{}\n", document.title, document.line);
    out.extend(document.notices.iter().map(block));
    for (at, section) in document.sections.iter().enumerate() {
        out += &format!("\n## {}. {}\n", at + 1, section.title);
        out.extend(section.blocks.iter().map(block));
    }
    out
}

/// A block, with an empty line before it.
fn block(block: &Block) -> String {
    match block {
        Block::Heading(title) => format!("\n### {title}\n"),
        Block::Paragraph(spans) => format!("\n{}\n", text(spans)),
        Block::Notice(text) => format!("\n**{text}**\n"),
        Block::Small(text) => format!("\n{text}\n"),
        Block::List { title, items } => {
            format!("\n{title}:\n\n{}", items.iter().map(|item| format!("- {item}\n")).collect::<String>())
        }
        Block::Terms(terms) => {
            let term = |(name, meaning): &(String, String)| format!("- **{name}**: {meaning}\n");
            format!("\n{}", terms.iter().map(term).collect::<String>())
        }
        Block::Table(table) => format!("\n{}", table.markdown()),
        Block::Chart(chart) => {
            let caption = if chart.caption.is_empty() { String::new() } else { format!("\n{}\n", chart.caption) };
            format!("\n![{}](charts/{}.svg)\n{caption}", chart.scene.description, chart.id)
        }
        Block::Folded { .. } => String::new(),
    }
}

fn text(Text(spans): &Text) -> String {
    let span = |span: &Span| match span {
        Span::Plain(text) => text.clone(),
        Span::Term(text) => format!("*{text}*"),
        Span::Strong(text) => format!("**{text}**"),
        Span::File(name) => format!("[{name}]({name})"),
    };
    spans.iter().map(span).collect()
}
