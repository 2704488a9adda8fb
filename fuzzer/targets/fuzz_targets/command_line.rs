//! Command lines of `umlab`: the arguments are the input's lines.
#![no_main]

use clap::Parser;
use libfuzzer_sys::fuzz_target;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use umlab::command::{Umlab, Verb};
use umlab::options::RunOptions;

fuzz_target!(|data: &[u8]| {
    let arguments = data.split(|&byte| byte == b'\n').map(OsStr::from_bytes);
    match Umlab::try_parse_from([OsStr::new("umlab")].into_iter().chain(arguments)) {
        Ok(umlab) => judge(umlab.command),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});

fn judge(command: Verb) {
    match command {
        Verb::Run(options) => judge_run(*options),
        Verb::Bench(options) => {
            assert!(options.rounds.is_none_or(|rounds| (1..=99).contains(&rounds)));
            assert!(options.cpus.iter().all(|cpus| (1..=64).contains(cpus)));
            assert!(options.sizes.iter().all(|(name, size)| !name.is_empty() && !size.is_empty()));
            assert!(options.budget.is_none_or(|minutes| minutes >= 0.0), "a budget of {:?}", options.budget);
        }
        Verb::Compare(options) => assert!((0.0..=1000.0).contains(&options.threshold)),
        Verb::Fuzz(options) => {
            assert!(options.minutes >= 0.0 && options.reduce.is_none_or(|minutes| minutes >= 0.0));
            assert!(!options.kinds().is_empty());
        }
        Verb::Conform(options) => {
            assert!(options.model.is_some() || options.list);
            assert!(options.cpus.is_none_or(|cpus| (1..=64).contains(&cpus)) && (1..=60).contains(&options.limit));
        }
        Verb::Report(_) | Verb::Models => {}
    }
}

fn judge_run(options: RunOptions) {
    assert!(!options.command.is_empty());
    assert!(options.mem.is_none_or(|bytes| (16 << 20..=1 << 42).contains(&bytes)));
    assert!(options.user.is_none_or(|(uid, gid)| uid != u32::MAX && gid != u32::MAX));
    let shown = [&options.rw, &options.rw_special, &options.ro];
    for (host, guest) in shown.into_iter().flatten() {
        assert!(!host.as_os_str().is_empty() && guest.starts_with(b"/"));
    }
    assert!(options.tmpfs.iter().all(|tmpfs| tmpfs.guest.starts_with(b"/")));
    assert!(options.env.iter().all(|variable| variable.as_bytes().iter().skip(1).any(|&byte| byte == b'=')));
    let Ok(chosen) = umlab::models::Models::with(&[]).find(&options.model) else { return };
    let most_cpus = chosen.model.most_cpus;
    let variables: Vec<_> = options.env.iter().map(|variable| variable.as_bytes().to_vec()).collect();
    // The host's files are looked at from here on, so not those that the input names.
    let options =
        RunOptions { root: PathBuf::from("/"), ro: Vec::new(), rw: Vec::new(), rw_special: Vec::new(), ..options };
    let explicit = options.cpus;
    let Ok(config) = options.config(most_cpus) else { return };
    assert_eq!(config.cpus, explicit.map_or(config.cpus, usize::from));
    // A name is there once, with the value that was given last.
    for (at, variable) in variables.iter().enumerate() {
        let name = variable.split(|&byte| byte == b'=').next().unwrap_or_default();
        let names = |other: &Vec<u8>| other.strip_prefix(name).is_some_and(|rest| rest.starts_with(b"="));
        assert_eq!(config.environment.iter().filter(|other| names(other)).count(), 1);
        if !variables[at + 1..].iter().any(names) {
            assert!(config.environment.contains(variable));
        }
    }
}
