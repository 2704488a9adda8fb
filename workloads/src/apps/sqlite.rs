use super::tool;
use crate::{About, Report, Setting, Workload};
use anyhow::Result;
use std::path::Path;

/// A database in a file: reads, writes, locks and syncs by position, and computing between them.
pub struct Sqlite;

impl Workload for Sqlite {
    fn about(&self) -> About {
        super::about(
            "sqlite",
            "sqlite3 fills, changes and queries a database in a file",
            "sqlite3 on a database in TMPDIR: so many rows in one transaction and an index; 100, 500 or 4000 transactions of one \
             row each; aggregates and joins over all",
            &["sqlite3"],
        )
    }

    fn run(&self, setting: &Setting, report: &mut Report) -> Result<()> {
        let scratch = setting.scratch()?;
        let database = scratch.file("database");
        let rows = setting.amount(10_000, 150_000, 1_000_000);
        let changes = setting.amount(100, 500, 4000);
        let fill = format!(
            "CREATE TABLE item(id INTEGER PRIMARY KEY, part INTEGER, name TEXT);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
             INSERT INTO item SELECT i, i * 7919 % 1009, 'item number ' || (i * 31 % 5003) FROM n;
             CREATE INDEX by_part ON item(part, name);\n"
        );
        let change: String = (0..changes)
            .map(|i| format!("UPDATE item SET name = 'changed ' || part WHERE id = {};\n", 1 + i * 37 % rows))
            .collect();
        let query = "SELECT count(*), sum(id), max(name) FROM item WHERE name LIKE '%99%';
                     SELECT part, count(*), min(name) FROM item GROUP BY part ORDER BY 2 DESC, 1 LIMIT 20;
                     SELECT sum(a.id * b.part) FROM item a JOIN item b ON b.id = a.part + 1;
                     PRAGMA integrity_check;\n";
        report.phase("fill", || sql(&database, &fill))?;
        report.phase("change", || sql(&database, &change))?;
        let answers = report.phase("query", || sql(&database, query))?;
        report.check_bytes("answers", answers)
    }
}

fn sql(database: &Path, commands: &str) -> Result<Vec<u8>> {
    // -bail: an error is the end, with a status that says so.
    tool("sqlite3").args(["-batch", "-bail"]).args([database]).input(commands).run()
}
