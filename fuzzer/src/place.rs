//! The folder of a run, and the host's files around a guest: what must be there afterwards as it
//! was before.

use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

pub struct Place {
    folder: TempDir,
}

/// The name of the program that interprets, in the folder that guests see.
const INTERPRETER: &str = "umlab-fuzz-guest";

impl Place {
    /// Makes the folder, with a copy of the interpreter in it: guests of any user can run that.
    pub fn new(interpreter: &Path) -> Result<Place> {
        let make = || -> std::io::Result<Place> {
            let folder = tempfile::Builder::new().prefix("umlab-fuzz.").tempdir()?;
            let place = Place { folder };
            fs::set_permissions(place.folder.path(), fs::Permissions::from_mode(0o755))?;
            for inside in ["shown/canary", "outside", "tmp"] {
                fs::create_dir_all(place.path(inside))?;
            }
            for canary in ["shown/canary/file", "outside/file"] {
                fs::write(place.path(canary), "a file of the host\n".repeat(500))?;
            }
            // What everybody may change, but for the guest's being read-only.
            fs::set_permissions(place.path("shown/canary"), fs::Permissions::from_mode(0o777))?;
            fs::set_permissions(place.path("shown/canary/file"), fs::Permissions::from_mode(0o666))?;
            fs::copy(interpreter, place.interpreter())?;
            Ok(place)
        };
        make().context("cannot make a folder for the run")
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.folder.path().join(inside)
    }

    /// What a guest sees read-only as /fuzz.
    pub fn shown(&self) -> PathBuf {
        self.path("shown")
    }

    pub fn interpreter(&self) -> PathBuf {
        self.path("shown").join(INTERPRETER)
    }

    /// Where the program of a round is.
    pub fn program(&self) -> PathBuf {
        self.path("shown/program")
    }

    /// For temporary files of the guest's host process.
    pub fn temporary(&self) -> PathBuf {
        self.path("tmp")
    }

    /// The state of everything that a guest must not change.
    pub fn state(&self) -> State {
        let mut files = BTreeMap::new();
        for folder in ["shown", "outside", "tmp"] {
            note_tree(&self.path(folder), &mut files);
        }
        let shared = fs::read_dir("/dev/shm").into_iter().flatten().flatten();
        // Others use that folder as well; these are the names that the guest kernel and the
        // programs give, but for the folders of other fuzzers.
        let ours = |name: &str| name == "s" || name.starts_with("uml") && !name.starts_with("umlab-fuzz.");
        let shared = shared.filter(|entry| entry.file_name().to_str().is_some_and(ours));
        let shared = shared.map(|entry| entry.path().display().to_string()).collect();
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default().lines().map(String::from).collect();
        State { files, shared, mounts }
    }
}

#[derive(PartialEq)]
pub struct State {
    files: BTreeMap<PathBuf, String>,
    shared: Vec<String>,
    mounts: Vec<String>,
}

impl State {
    /// Files that are not as they were.
    pub fn changed_files(&self, after: &State) -> Vec<String> {
        let all = self.files.keys().chain(after.files.keys().filter(|path| !self.files.contains_key(*path)));
        all.filter(|path| self.files.get(*path) != after.files.get(*path))
            .map(|path| path.display().to_string())
            .collect()
    }

    /// Shared memory objects and mounts that were not there.
    pub fn new_things(&self, after: &State) -> Vec<String> {
        let new = |before: &[String], after: &[String]| -> Vec<String> {
            after.iter().filter(|one| !before.contains(one)).cloned().collect()
        };
        [new(&self.shared, &after.shared), new(&self.mounts, &after.mounts)].concat()
    }
}

fn note_tree(path: &Path, files: &mut BTreeMap<PathBuf, String>) {
    let Ok(meta) = path.symlink_metadata() else { return };
    let mut state = format!(
        "{:o} {} {} {} {}.{}",
        meta.mode(),
        meta.uid(),
        meta.gid(),
        meta.nlink(),
        meta.mtime(),
        meta.mtime_nsec()
    );
    if meta.is_file() && meta.len() < 1 << 20 {
        let sum = fs::read(path).unwrap_or_default().iter().fold(7_u64, |sum, &b| sum.wrapping_mul(31) ^ u64::from(b));
        state += &format!(" {} {sum:x}", meta.len());
    }
    files.insert(path.into(), state);
    for entry in fs::read_dir(path).into_iter().flatten().flatten().filter(|_| meta.is_dir()) {
        note_tree(&entry.path(), files);
    }
}
