//! A report as a document: its sections and their blocks. The page and the Markdown are two ways to
//! write one.

use super::table::Table;
use crate::chart::Scene;

/// A chart, with the name of its files.
pub struct Chart {
    pub id: String,
    pub caption: String,
    pub scene: Scene,
}

pub struct Document {
    pub title: String,
    /// When it was measured, on what, and by which version.
    pub line: String,
    /// What must be known before any figure.
    pub notices: Vec<Block>,
    pub sections: Vec<Section>,
}

/// Sections are numbered in the order of the document.
pub struct Section {
    pub title: String,
    pub blocks: Vec<Block>,
}

pub enum Block {
    Heading(String),
    Paragraph(Text),
    Notice(String),
    /// An aside.
    Small(String),
    List {
        title: String,
        items: Vec<String>,
    },
    /// Names and what they mean.
    Terms(Vec<(String, String)>),
    Table(Table),
    Chart(Chart),
    /// A table for the few who want it: folded on the page, left out of Markdown.
    Folded {
        title: String,
        table: Table,
    },
}

/// A paragraph's text, some of it set off.
#[derive(Default)]
pub struct Text(pub Vec<Span>);

pub enum Span {
    Plain(String),
    /// A word that is explained here.
    Term(String),
    Strong(String),
    /// A file beside the report.
    File(String),
}

impl Text {
    pub fn plain(mut self, text: impl Into<String>) -> Text {
        self.0.push(Span::Plain(text.into()));
        self
    }

    pub fn term(mut self, text: impl Into<String>) -> Text {
        self.0.push(Span::Term(text.into()));
        self
    }

    pub fn strong(mut self, text: impl Into<String>) -> Text {
        self.0.push(Span::Strong(text.into()));
        self
    }

    pub fn file(mut self, name: impl Into<String>) -> Text {
        self.0.push(Span::File(name.into()));
        self
    }
}

impl Block {
    pub fn text(text: impl Into<String>) -> Block {
        Block::Paragraph(Text::default().plain(text))
    }
}

impl Document {
    pub fn charts(&self) -> impl Iterator<Item = &Chart> {
        let blocks = self.sections.iter().flat_map(|section| &section.blocks);
        blocks.filter_map(|block| if let Block::Chart(chart) = block { Some(chart) } else { None })
    }
}
