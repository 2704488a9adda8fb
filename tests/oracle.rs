//! The oracle's questions (`tests/oracle`), asked on the host and in a guest: the answers must be
//! the same.
//!
//! Cases that are known to differ are listed with their reasons in `tests/oracle-exceptions/`, for
//! every model or for one. A listed case that does not differ is a mistake in the list, and fails
//! as well.

mod common;

use common::{End, Outcome, Program, SOURCE, guest_programs};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// Several areas in one guest, so that a broken one does not hide the others, and a guest each
/// costs little.
const LIMIT: u64 = 1800;

type Answers = BTreeMap<String, Vec<String>>;

/// The oracle with a directory in memory for its cases: the same kind of file system on both sides.
fn oracle(arguments: &[&str]) -> Program {
    let mut argv = vec![guest_programs().join("oracle").into_os_string()];
    argv.extend(arguments.iter().map(Into::into));
    Program::new(&argv).env("TMPDIR", "/dev/shm").env("ORACLE_TIMEOUT", "300").limit(LIMIT)
}

/// The lines below each header `== AREA/CASE`.
fn answers(outcome: &Outcome) -> Answers {
    let mut found = Answers::new();
    let mut case = String::new();
    for line in outcome.out().lines() {
        if let Some(name) = line.strip_prefix("== ") {
            case = name.to_string();
            found.entry(case.clone()).or_default();
        } else if let Some(lines) = found.get_mut(&case) {
            lines.push(line.to_string());
        }
    }
    found
}

/// CASE and reason, a line each; `#` begins a comment.
fn exceptions(lists: &[&str]) -> BTreeMap<String, String> {
    let read = |list: &&str| {
        let path = format!("{SOURCE}/tests/oracle-exceptions/{list}.txt");
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("the exceptions in {path}: {e}"))
    };
    let text = lists.iter().map(read).collect::<String>();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (case, reason) = line.split_once(char::is_whitespace).unwrap_or_else(|| panic!("no reason: {line}"));
            (case.to_string(), reason.trim().to_string())
        })
        .collect()
}

/// Where two lists of lines first differ, with a line before and some after.
fn first_difference(host: &[String], guest: &[String]) -> String {
    let at = host.iter().zip(guest).take_while(|(h, g)| h == g).count();
    let mut text = String::new();
    if let Some(before) = at.checked_sub(1) {
        text += &format!("        {}\n", host[before]);
    }
    for (side, lines) in [("host ", host), ("guest", guest)] {
        for line in lines.iter().skip(at).take(4) {
            text += &format!("  {side} {line}\n");
        }
        if lines.len() <= at {
            text += &format!("  {side} (nothing more)\n");
        }
    }
    text
}

#[test]
fn skas() {
    answers_as_the_host_does("skas", &[]);
}

#[test]
fn unotify() {
    answers_as_the_host_does("unotify", &[]);
}

#[test]
fn sigsys() {
    answers_as_the_host_does("sigsys", &[]);
}

/// The core and user code on host CPUs of their own, whoever uses them too.
#[test]
fn sigsys_apart() {
    answers_as_the_host_does("sigsys,apart=always", &["--cpus", "1"]);
}

#[test]
fn tt() {
    answers_as_the_host_does("tt", &[]);
}

/// The way of 2002: a system call is changed to getpid.
#[test]
fn tt_without_sysemu() {
    answers_as_the_host_does("tt,sysemu=off", &["--cpus", "1"]);
}

#[test]
fn inproc() {
    answers_as_the_host_does("inproc", &["--cpus", "1"]);
    answers_as_the_host_does("inproc", &["--cpus", "2"]);
}

/// With one CPU, system calls are calls, once they have trapped.
#[test]
fn inproc_by_traps() {
    answers_as_the_host_does("inproc,rewrite=off", &["--cpus", "1"]);
}

#[test]
fn tt_jail() {
    // Tens of thousands of mappings, which are protected anew at each trap, take minutes there.
    let slow = ["too_many_areas", "room_for_few_areas", "contents_of_many_areas"];
    compare("tt-jail", &["--cpus", "1"], &BTreeMap::new(), &slow.map(|case| format!("mem_limits/{case}")));
}

#[test]
fn minimal() {
    let slow = ["too_many_areas", "room_for_few_areas", "contents_of_many_areas"];
    compare("minimal", &["--cpus", "1"], &BTreeMap::new(), &slow.map(|case| format!("mem_limits/{case}")));
}

/// On the patched host, in the machine of `scripts/host-patch test --oracle`, which runs this with
/// nothing around it. What is another matter on that host, or takes too long where the processor is
/// emulated, has a list of its own; it may differ, but need not.
#[test]
#[ignore = "needs a patched host; see scripts/host-patch"]
fn skas3() {
    compare("skas3", &["--cpus", "1"], &exceptions(&["emulated-host"]), &[]);
}

/// Whether the host gives this answer again. If not, it depends on the moment, and the guest's
/// cannot be judged by it.
fn host_repeats(case: &str, answer: &Vec<String>) -> bool {
    let again = answers(&oracle(&["run", case]).on_host().code(0));
    again.get(case) == Some(answer)
}

/// What the host answers to an area's questions. It is asked once for all models.
fn of_host(area: &str) -> Arc<Answers> {
    static ASKED: Mutex<BTreeMap<String, Arc<Answers>>> = Mutex::new(BTreeMap::new());
    let mut asked = ASKED.lock().expect("the host answers");
    let ask = || {
        let answers = answers(&oracle(&["run", area]).on_host().code(0));
        let hangs: Vec<&String> =
            answers.iter().filter(|(_, lines)| lines.iter().any(|l| l == "-- hangs")).map(|(case, _)| case).collect();
        assert!(hangs.is_empty(), "cases that hang on the host ask for nothing: {hangs:?}");
        Arc::new(answers)
    };
    asked.entry(area.to_string()).or_insert_with(ask).clone()
}

fn answers_as_the_host_does(model: &'static str, options: &[&str]) {
    compare(model, options, &BTreeMap::new(), &[]);
}

/// What is in `tolerated` may differ; what is in `left_out` is not asked.
fn compare(model: &'static str, options: &[&str], tolerated: &BTreeMap<String, String>, left_out: &[String]) {
    let list = oracle(&["list"]).on_host().code(0).out();
    let is_asked = |case: &&str| !left_out.iter().any(|other| other == case);
    let all: BTreeSet<&str> = list.lines().collect();
    let areas: BTreeSet<&str> = all.iter().filter_map(|case| case.split_once('/')).map(|(area, _)| area).collect();
    let mut listed = exceptions(&["every-model", model.split(',').next().unwrap_or(model)]);
    listed.retain(|case, _| !tolerated.contains_key(case));
    let mut unseen: BTreeSet<&String> = tolerated.keys().collect();
    let (mut cases, mut excused, mut failures) = (0, 0, Vec::new());
    for area in areas {
        let of_area = |case: &&str| case.strip_prefix(area).is_some_and(|rest| rest.starts_with('/'));
        let questions: Vec<&str> = all.iter().copied().filter(of_area).filter(is_asked).collect();
        let of_host = of_host(area);
        let guest = oracle(&[&["run"], &questions[..]].concat()).model(model).options(options).in_guest();
        let of_guest = answers(&guest);
        let mut wrong = 0;
        for (case, expected) in of_host.iter().filter(|(case, _)| is_asked(&case.as_str())) {
            cases += 1;
            let got = of_guest.get(case);
            let excuse = listed.remove(case);
            unseen.remove(case);
            match (got == Some(expected), excuse) {
                (true, None) => {}
                (false, None) if let Some(reason) = tolerated.get(case) => {
                    excused += 1;
                    println!("{case} differs: {reason}");
                }
                (false, Some(_)) => excused += 1,
                (true, Some(reason)) => {
                    failures.push(format!("== {case} is listed as an exception ({reason}), but is right"));
                }
                (false, None) if !host_repeats(case, expected) => {
                    println!("{case}: the host itself answers differently each time, now that the machine is busy");
                }
                (false, None) => {
                    wrong += 1;
                    let difference = match got {
                        Some(lines) => first_difference(expected, lines),
                        None => "  guest (never came to this case)\n".to_string(),
                    };
                    failures.push(format!("== {case}\n{difference}"));
                }
            }
        }
        if guest.end != End::Code(0) {
            failures.push(format!("== {area}: the guest's oracle {}: {}", guest.end, guest.err().trim()));
        }
        println!("{area}: {} of {} cases are right", questions.len() - wrong, questions.len());
    }
    failures
        .extend(left_out.iter().filter(|case| !all.contains(case.as_str())).map(|case| format!("== no case {case}")));
    failures.extend(unseen.iter().map(|case| format!("== {case} may differ, but there is no such case")));
    for (case, reason) in listed {
        failures.push(format!("== {case} is listed as an exception ({reason}), but there is no such case"));
    }
    assert!(cases > 0, "the oracle has no cases");
    let summary = format!("{cases} cases, {excused} known exceptions, {} failures", failures.len());
    println!("{summary}");
    assert!(failures.is_empty(), "{summary}\n{}", failures.join("\n"));
}
