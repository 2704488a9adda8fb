//! A table, the same for the page and for Markdown.

use maud::{Markup, html};

#[derive(Clone, Debug, Default)]
pub struct Cell {
    pub main: String,
    /// A second line, smaller.
    pub below: String,
    pub number: bool,
}

impl Cell {
    pub fn text(text: impl Into<String>) -> Cell {
        Cell { main: text.into(), ..Cell::default() }
    }

    pub fn number(main: impl Into<String>, below: impl Into<String>) -> Cell {
        Cell { main: main.into(), below: below.into(), number: true }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Table {
    pub head: Vec<Cell>,
    pub rows: Vec<Vec<Cell>>,
}

impl Table {
    pub fn html(&self) -> Markup {
        html! {
            div.table {
                table {
                    thead { tr { @for cell in &self.head { th.n[cell.number] scope="col" { (cell.main) } } } }
                    tbody {
                        @for row in &self.rows {
                            tr {
                                @for (at, cell) in row.iter().enumerate() {
                                    @if at == 0 { th.n[cell.number] scope="row" { (cell_html(cell)) } }
                                    @else { td.n[cell.number] { (cell_html(cell)) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    pub fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let escape = |text: &str| text.replace('|', "\\|");
        let mut text = line(&self.head.iter().map(|cell| escape(&cell.main)).collect::<Vec<_>>());
        text += &line(
            &self
                .head
                .iter()
                .map(|cell| if cell.number { "---:".into() } else { "---".to_string() })
                .collect::<Vec<_>>(),
        );
        for row in &self.rows {
            let cell = |cell: &Cell| match cell.below.is_empty() {
                true => escape(&cell.main),
                false => format!("{}<br>{}", escape(&cell.main), escape(&cell.below)),
            };
            text += &line(&row.iter().map(cell).collect::<Vec<_>>());
        }
        text
    }
}

fn cell_html(cell: &Cell) -> Markup {
    html! {
        (cell.main)
        @if !cell.below.is_empty() { span.below { (cell.below) } }
    }
}
