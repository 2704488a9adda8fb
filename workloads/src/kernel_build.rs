//! The workload of the announcement: a kernel, built by the host's own compiler, out of tree and
//! into memory.
//!
//! It is make that runs here, not code of ours, so this says how it is called and what came of it.
//! What is built depends on the tree and the compiler alone, not on the directory, the number of
//! jobs, the time, the user or the machine's name; so the objects of a right build are the host's,
//! byte for byte.

use crate::report::hex;
use crate::{About, Group, Param, Report, Setting, Size, Workload};
use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub struct KernelBuild;

/// A size: what make is told in each phase, and the results to be checked.
struct Build {
    /// The configuration, and what it needs to be ready for the rest.
    prepare: (&'static str, &'static [&'static str]),
    rest: Option<(&'static str, &'static str)>,
    /// Files, or directories whose objects and archives are meant.
    results: &'static [&'static str],
}

const IMAGES: &[&str] = &["vmlinux", "arch/x86/boot/bzImage"];
const TINY: (&str, &[&str]) = ("prepare", &["tinyconfig", "prepare"]);
const PREPARE: &str = "prepare";

fn build(size: &str) -> Build {
    let (prepare, rest, results) = match size {
        "smoke" => (("configure", &["tinyconfig"][..]), None, &["scripts", ".config"][..]),
        PREPARE => (TINY, None, &["scripts", ".config", "include/generated/asm-offsets.h"][..]),
        "init" => (TINY, Some(("init", "init/")), &["init"][..]),
        "part" => (TINY, Some(("kernel/time", "kernel/time/")), &["kernel/time"][..]),
        "full" => (TINY, Some(("bzImage", "bzImage")), IMAGES),
        "defconfig" => (("prepare", &["defconfig", "prepare"][..]), Some(("defconfig", "bzImage")), IMAGES),
        _ => (TINY, Some(("lib", "lib/")), &["lib"][..]),
    };
    Build { prepare, rest, results }
}

impl Workload for KernelBuild {
    fn about(&self) -> About {
        About {
            name: "kernel-build",
            group: Group::KernelBuild,
            summary: "Linux, tinyconfig, built out of tree into memory with the host's compiler",
            definition: "make -jJOBS of the directory init/ (init), kernel/time/ (part) or lib/ (quick) of tinyconfig, from the same prepared output; or \
                         all of a build, which begins with the configuration and `prepare`: that alone (prepare), to bzImage (full), or to bzImage \
                         of defconfig (defconfig); or the configuration, which builds and runs the program for it (smoke); checked: SHA-256 of all \
                         objects",
            remark: "",
            sizes: &[
                Size { name: "smoke", seconds: 3.0 },
                Size { name: "init", seconds: 3.5 },
                Size { name: "part", seconds: 5.0 },
                Size { name: PREPARE, seconds: 9.0 },
                Size { name: "quick", seconds: 17.0 },
                Size { name: "full", seconds: 150.0 },
                Size { name: "defconfig", seconds: 1500.0 },
            ],
            params: &[
                Param { key: "tree", meaning: "the kernel's source, which is only read" },
                Param {
                    key: "out",
                    meaning: "an empty or new directory for the output (default: below TMPDIR), which is kept",
                },
                Param {
                    key: "prepared",
                    meaning: "the output of the size `prepare`, to begin with a copy of it in place of making it",
                },
                Param { key: "each", meaning: "yes: the sum of each object too, to see which one differs" },
            ],
            needs: &["make", "gcc", "ld", "flex", "bison", "bc", "perl"],
        }
    }

    fn prepared_by(&self, size: &str) -> Option<&'static str> {
        matches!(size, "init" | "part" | "quick").then_some(PREPARE)
    }

    fn run(&self, setting: &Setting, report: &mut Report) -> Result<()> {
        let build = build(setting.size);
        let Some(tree) = setting.param("tree") else {
            bail!(
                "no kernel source: name one with --param tree=DIR (scripts/fetch-kernel fetches one and prints its path)"
            );
        };
        let tree = Path::new(tree);
        let directory = build.rest.map_or("", |(_, target)| if target.ends_with('/') { target } else { "" });
        for file in ["Kconfig", "Makefile", directory] {
            ensure!(tree.join(file).exists(), "no kernel source in '{}': it has no {file}", tree.display());
        }
        let scratch = setting.scratch()?;
        let out = setting.param("out").map_or(scratch.file("out"), PathBuf::from);
        fs::create_dir_all(&out).with_context(|| format!("cannot make the directory {}", out.display()))?;
        let make = |target: &str| make(tree, &out, setting.jobs, target);
        match setting.param("prepared") {
            None => {
                let (phase, targets) = build.prepare;
                report.phase(phase, || targets.iter().try_for_each(|target| make(target)))?;
            }
            Some(_) if self.prepared_by(setting.size).is_none() => {
                bail!("the size {} begins with nothing prepared", setting.size)
            }
            Some(prepared) => copy(Path::new(prepared), &out)?,
        }
        if let Some((phase, target)) = build.rest {
            report.phase(phase, || make(target))?;
        }
        let results = results(&out, build.results)?;
        // No results, then no sum: an empty list must not look like an equal one.
        ensure!(!results.is_empty(), "make built nothing in {}", out.display());
        report.check("how many objects", results.len())?;
        let mut all = Sha256::new();
        for path in &results {
            let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            let name = path.strip_prefix(&out).unwrap_or(path).display();
            let sum = hex(&Sha256::digest(bytes));
            all.update(format!("{sum}  {name}\n"));
            if setting.param("each") == Some("yes") {
                report.check(&name.to_string(), sum)?;
            }
        }
        report.check("objects", hex(&all.finalize()))
    }
}

/// Runs make with a clean environment: variables such as CFLAGS, ARCH or MAKEFLAGS would change
/// what is built.
fn make(tree: &Path, out: &Path, jobs: u32, target: &str) -> Result<()> {
    let keep = ["PATH", "TMPDIR"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    let mut command = Command::new("make");
    command.env_clear().envs(keep).envs([
        ("HOME", "/"),
        ("LC_ALL", "C"),
        ("TZ", "UTC"),
        ("KBUILD_BUILD_TIMESTAMP", "Thu Jan  1 00:00:00 UTC 1970"),
        ("KBUILD_BUILD_USER", "umlab"),
        ("KBUILD_BUILD_HOST", "umlab"),
        ("KBUILD_BUILD_VERSION", "1"),
        ("LOCALVERSION", ""),
    ]);
    let mut output = std::ffi::OsString::from("O=");
    output.push(out);
    command.args([OsStr::new("-s"), "-C".as_ref(), tree.as_ref(), &output]).arg(format!("-j{jobs}")).arg(target);
    // What make and the compiler say is for people: standard output is for our own lines.
    command.stdin(Stdio::null()).stdout(io::stderr());
    let status = command.status().context("cannot run make")?;
    ensure!(status.success(), "make {target} failed ({status})");
    Ok(())
}

/// With the times of the files, by which make knows that they are up to date.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let status = Command::new("cp").arg("-a").arg(from.join(".")).arg(to).stdout(io::stderr()).status();
    let status = status.context("cannot run cp")?;
    ensure!(status.success(), "cannot copy {} to {}", from.display(), to.display());
    Ok(())
}

/// The results that there are, sorted.
fn results(out: &Path, names: &[&str]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for name in names {
        let path = out.join(name);
        let kind = fs::metadata(&path).with_context(|| format!("make built no {name}"))?;
        if kind.is_dir() { objects(&path, &mut found)? } else { found.push(path) }
    }
    found.sort();
    Ok(found)
}

fn objects(dir: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() {
            objects(&path, found)?;
        } else if kind.is_file() && path.extension().is_some_and(|end| end == "o" || end == "a") {
            found.push(path);
        }
    }
    Ok(())
}
