//! A run's folder. A run of twenty minutes or of half a day must not be lost to a Ctrl-C, a crash
//! or a full disk, so nothing is kept in memory only:
//!
//! - `run.json`: the head (plan and environment), written once before the first sample;
//! - `samples.jsonl`: the journal, a line a sample, appended in one write and synced before the
//!   next sample begins;
//! - `results.json`: both together, written at the end under another name and renamed: it is whole
//!   or not there;
//! - `logs/`: standard error of the samples that failed.
//!
//! A line cut short can only be the journal's last one: the sample that was being written. `resume`
//! cuts it off.

use crate::schema::{Head, Plan, Results, Sample, parse, parse_head};
use anyhow::{Context, Error, Result, anyhow, bail};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

pub struct Store {
    dir: PathBuf,
    journal: File,
    pub results: Results,
}

impl Store {
    /// Begins a run in a folder that is new or empty.
    pub fn create(dir: &Path, head: Head) -> Result<Store> {
        check_new(dir)?;
        let cannot = || format!("cannot write to '{}'", dir.display());
        fs::create_dir_all(dir.join("logs")).with_context(cannot)?;
        write_head(dir, &head)?;
        let journal = journal_options().create_new(true).open(dir.join("samples.jsonl")).with_context(cannot)?;
        let results = Results { head, finished: false, samples: Vec::new() };
        Ok(Store { dir: dir.to_path_buf(), journal, results })
    }

    /// Goes on with a run that was interrupted.
    pub fn resume(dir: &Path) -> Result<Store> {
        let head = parse_head(&read(&dir.join("run.json"))?).map_err(|e| at(&dir.join("run.json"), e))?;
        let path = dir.join("samples.jsonl");
        let cannot = || format!("cannot go on with '{}'", path.display());
        let mut journal = journal_options().create(true).open(&path).with_context(cannot)?;
        let mut text = String::new();
        journal.read_to_string(&mut text).with_context(cannot)?;
        let (samples, whole) = parse_journal(&text).map_err(|e| at(&path, e))?;
        if whole < text.len() {
            journal.set_len(whole as u64).with_context(cannot)?;
        }
        Ok(Store { dir: dir.to_path_buf(), journal, results: Results { head, finished: false, samples } })
    }

    /// Goes on by another plan. What the run had come to before is in the journal, so its results
    /// file, which lacks what is to come, goes first.
    pub fn plan_again(&mut self, plan: Plan) -> Result<()> {
        let whole = self.dir.join("results.json");
        match fs::remove_file(&whole) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                bail!("cannot replace '{}': {e}", whole.display());
            }
            _ => {}
        }
        self.results.head.plan = plan;
        write_head(&self.dir, &self.results.head)
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Keeps a sample for good. After an error the journal is as it was before, so that the run can
    /// be resumed.
    pub fn append(&mut self, sample: Sample) -> Result<()> {
        let mut line = serde_json::to_vec(&sample)?;
        line.push(b'\n');
        let before = self.journal.seek(SeekFrom::End(0))?;
        if let Err(e) = self.journal.write_all(&line).and_then(|()| self.journal.sync_data()) {
            let _ = self.journal.set_len(before);
            bail!(
                "cannot keep a sample in '{}': {e}; the samples before it are safe, go on later with: umlab bench --resume {0}",
                self.dir.display()
            );
        }
        self.results.samples.push(sample);
        Ok(())
    }

    /// Writes a failed sample's standard error and returns the file's name within the folder.
    pub fn keep_log(&self, name: &str, text: &[u8]) -> Option<String> {
        let name = format!("logs/{name}.log");
        fs::write(self.dir.join(&name), text).ok().map(|()| name)
    }

    /// Writes `results.json`.
    pub fn finish(&mut self) -> Result<PathBuf> {
        self.results.finished = true;
        let path = self.dir.join("results.json");
        let text = serde_json::to_string_pretty(&self.results)?;
        write_atomically(&path, text.as_bytes()).with_context(|| format!("cannot write '{}'", path.display()))?;
        Ok(path)
    }
}

/// Reads the results of a run: a results file, or the folder of a run, even of one that did not
/// come to its end.
pub fn load(path: &Path) -> Result<Results> {
    if !path.is_dir() {
        return parse(&read(path)?).map_err(|e| at(path, e));
    }
    let whole = path.join("results.json");
    if whole.exists() {
        return load(&whole);
    }
    let head = path.join("run.json");
    if !head.exists() {
        bail!("there are no results in '{}': neither results.json nor run.json", path.display());
    }
    let head = parse_head(&read(&head)?).map_err(|e| at(&head, e))?;
    let journal = path.join("samples.jsonl");
    let text = if journal.exists() { read(&journal)? } else { String::new() };
    let (samples, _) = parse_journal(&text).map_err(|e| at(&journal, e))?;
    Ok(Results { head, finished: false, samples })
}

/// Whether a run may begin in this folder; nothing is ever overwritten.
pub fn check_new(dir: &Path) -> Result<()> {
    match fs::read_dir(dir) {
        Ok(mut entries) => match entries.next() {
            None => {}
            Some(_) if dir.join("run.json").exists() => {
                bail!("'{0}' holds a run already; go on with it: umlab bench --resume {0}", dir.display());
            }
            Some(_) => bail!("'{}' is not empty; name a new folder", dir.display()),
        },
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => bail!("cannot use the output folder '{}': {e}", dir.display()),
    }
    // Tried rather than guessed from permission bits: read-only file systems and quotas tell it
    // only then.
    let made = !dir.exists();
    let tried = fs::create_dir_all(dir).and_then(|()| {
        let probe = dir.join(".write-test");
        File::create(&probe).and_then(|_| fs::remove_file(&probe))
    });
    if made {
        let _ = fs::remove_dir(dir);
    }
    tried.with_context(|| format!("cannot write to the output folder '{}'", dir.display()))
}

fn write_head(dir: &Path, head: &Head) -> Result<()> {
    let text = serde_json::to_string_pretty(head)?;
    write_atomically(&dir.join("run.json"), text.as_bytes())
        .with_context(|| format!("cannot write to '{}'", dir.display()))
}

/// Writes a file so that its name never shows a part of it.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".new");
    let temporary = path.with_file_name(name);
    let written = File::create(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn journal_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).append(true);
    options
}

fn read(path: &Path) -> Result<String> {
    match fs::read(path) {
        Ok(bytes) => String::from_utf8(bytes).map_err(|_| anyhow!("'{}' is not JSON: it is no text", path.display())),
        Err(e) => Err(e).with_context(|| format!("cannot read '{}'", path.display())),
    }
}

fn at(path: &Path, e: Error) -> Error {
    anyhow!("'{}' is {e:#}", path.display())
}

/// The journal's samples, and how many of its bytes are whole lines.
fn parse_journal(text: &str) -> Result<(Vec<Sample>, usize)> {
    let whole = text.rfind('\n').map_or(0, |last| last + 1);
    let mut samples = Vec::new();
    for (at, line) in text[..whole].lines().enumerate() {
        samples.push(serde_json::from_str(line).with_context(|| format!("damaged in line {}", at + 1))?);
    }
    Ok((samples, whole))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_torn_line_costs_one_sample_and_resume_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("run");
        let mut store = Store::create(&dir, testing::head()).unwrap();
        for round in 1..4 {
            store.append(testing::sample(round, "host", 1.0)).unwrap();
        }
        drop(store);
        let journal = dir.join("samples.jsonl");
        let text = fs::read_to_string(&journal).unwrap();
        // Cut at every byte: always a readable run, which misses at most what was cut.
        for cut in 0..=text.len() {
            fs::write(&journal, &text[..cut]).unwrap();
            let whole = text[..cut].matches('\n').count();
            assert_eq!(load(&dir).unwrap().samples.len(), whole, "cut at {cut}");
            let mut store = Store::resume(&dir).unwrap();
            assert_eq!(store.results.samples.len(), whole);
            store.append(testing::sample(9, "host", 1.0)).unwrap();
            assert_eq!(load(&dir).unwrap().samples.len(), whole + 1, "cut at {cut}");
        }
    }

    #[test]
    fn nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("run");
        drop(Store::create(&dir, testing::head()).unwrap());
        let error = Store::create(&dir, testing::head()).err().unwrap().to_string();
        assert!(error.contains("--resume"), "{error}");
        let other = folder.path().join("other");
        fs::create_dir(&other).unwrap();
        fs::write(other.join("thesis.tex"), "x").unwrap();
        assert!(Store::create(&other, testing::head()).err().unwrap().to_string().contains("not empty"));
    }

    #[test]
    fn a_damaged_journal_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("run");
        drop(Store::create(&dir, testing::head()).unwrap());
        fs::write(dir.join("samples.jsonl"), "{}\n").unwrap();
        assert!(load(&dir).err().unwrap().to_string().contains("damaged in line 1"));
    }

    #[test]
    fn results_cut_in_half_of_the_future_or_not_json() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("run");
        let mut store = Store::create(&dir, testing::head()).unwrap();
        store.append(testing::sample(1, "host", 1.0)).unwrap();
        let path = store.finish().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(load(&dir).unwrap().samples, store.results.samples);
        for (content, expected) in [
            (text[..text.len() / 2].to_string(), "cut short"),
            (text.replace("\"version\": 1", "\"version\": 7"), "newer than this program"),
            (text.replace("umlab-results", "something"), "not umlab's results"),
            ("once upon a time".into(), "not JSON"),
            ("{}".into(), "not umlab's results"),
            (String::new(), "cut short"),
        ] {
            fs::write(&path, content).unwrap();
            let error = load(&dir).err().unwrap().to_string();
            assert!(error.contains(expected) && error.lines().count() == 1, "{error}");
        }
    }
}
