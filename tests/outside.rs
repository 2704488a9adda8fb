//! Process models outside this repository: the page about adding one, whose commands are run as
//! they stand, and the example. Each is a workspace of its own, with its own `umlab` and `uml`.

mod common;

use common::SOURCE;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Below `target`, so that files there can be hard links to one another.
fn directory(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// Hard links to what was built of libraries, so that it need not be built again for another
/// workspace: same sources, same profile.
fn share(from: &Path, to: &Path) {
    let to = to.join("release");
    fs::create_dir_all(&to).expect("a target directory");
    for part in [".fingerprint", "build", "deps"] {
        let copied = Command::new("cp").args(["-alf"]).arg(from.join(part)).arg(&to).status();
        assert!(copied.expect("cp runs").success(), "{}", from.display());
    }
}

/// Builds the example, and with it all of umlab for workspaces outside: cargo builds that anew,
/// since to them it lies elsewhere. Returns its target directory, which stays for the next run.
fn example() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let target = directory("outside");
        if !target.exists() {
            // The libraries of others are the same.
            let own = Path::new(env!("CARGO_BIN_EXE_umlab")).parent().expect("the profile's directory");
            share(own, &target);
        }
        let build = format!("cargo build --release --quiet --locked --target-dir '{}' && echo built", target.display());
        assert_eq!(shell(&build, &Path::new(SOURCE).join("examples/profiled")), "built\n");
        target
    })
}

/// Standard output and standard error of a shell command, as a person sees them.
fn shell(command: &str, dir: &Path) -> String {
    let output = Command::new("timeout")
        .args(["-s", "KILL", "900", "bash", "-c", &format!("exec 2>&1; {command}")])
        .current_dir(dir)
        // What cargo sets for tests is not for the cargo that they start.
        .env_remove("CARGO_TARGET_DIR")
        .env("CARGO_NET_OFFLINE", "true")
        .stdin(Stdio::null())
        .output()
        .expect("the shell runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The commands of a page, which stand after "$ " in blocks of the kind `console`, and what is
/// below each.
fn commands(page: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut within = false;
    for line in page.lines() {
        match line.strip_prefix("$ ") {
            _ if line.starts_with("```") => within = line == "```console",
            Some(command) if within => found.push((command.into(), String::new())),
            None if within => {
                let (_, output) = found.last_mut().expect("a block begins with a command");
                output.push_str(line);
                output.push('\n');
            }
            _ => {}
        }
    }
    found
}

#[test]
fn the_page_about_adding_a_model() {
    let page = fs::read_to_string(format!("{SOURCE}/docs/adding-a-model.md")).expect("the page");
    let mut dir = directory("adding-a-model");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).expect("a directory for the test");
    std::os::unix::fs::symlink(SOURCE, dir.join("umlab")).expect("a link to the sources");
    let commands = commands(&page);
    assert!(commands.len() >= 8, "the page has {} commands", commands.len());
    for (command, expected) in commands {
        let output = shell(&command, &dir);
        assert_eq!(output, expected, "\n$ {command}\n{output}");
        // Each command has a shell of its own here.
        if let Some(to) = command.strip_prefix("cd ") {
            dir = dir.join(to);
            share(&example().join("release"), &dir.join("target"));
        }
    }
}

#[test]
fn the_example_runs_beside_our_models() {
    let umlab = example().join("release/umlab").display().to_string();
    let source = Path::new(SOURCE);
    let models = shell(&format!("{umlab} models"), source);
    assert!(models.contains("\nprofiled ") && models.contains("\ntt-jail "), "{models}");
    let run = shell(&format!("{umlab} run --model profiled --cpus 1 --stats -- sh -c 'echo $((6 * 7))'"), source);
    assert!(run.starts_with("42\n") && run.contains("\"user_mode_ns\""), "{run}");
    let calls: u64 = run
        .lines()
        .find_map(|line| line.trim().strip_prefix("\"calls\": "))
        .and_then(|number| number.trim_end_matches(',').parse().ok())
        .unwrap_or_else(|| panic!("{run}"));
    assert!(calls > 20, "{run}");
}
