//! `umlab fuzz`: rounds, finds, and what is done with them.

use crate::coverage::Coverage;
use crate::find::{Class, Find};
use crate::generate::generate;
use crate::options::FuzzOptions;
use crate::place::Place;
use crate::program::{Program, parse};
use crate::reduce::reduce;
use crate::round::{LIMITS, Round, SHORT_SILENCE, Setup, run};
use crate::{Interrupt, STATUS_FINDS, STATUS_OWN};
use anyhow::{Context, Result};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use umlab_watch::guest_program;

/// What the command line's own program has found out: where it lies, and how many CPUs a guest of
/// the model can have.
pub struct Setting {
    pub umlab: PathBuf,
    pub cpus: usize,
}

/// How often a program that failed is run again to see whether it does so always.
const AGAIN: u32 = 3;

pub fn fuzz(options: &FuzzOptions, setting: &Setting) -> i32 {
    let done = match &options.replay {
        Some(file) => replay(options, setting, file),
        None => rounds(options, setting),
    };
    done.unwrap_or_else(|error| {
        eprintln!("umlab: {error:#}");
        STATUS_OWN
    })
}

fn setup(options: &FuzzOptions, setting: &Setting) -> Result<Setup> {
    let interrupt = Interrupt::install().context("cannot catch signals")?;
    let place = Place::new(&guest_program(&setting.umlab, "umlab-fuzz-guest")?)?;
    Ok(Setup {
        umlab: setting.umlab.clone(),
        model: options.model.clone(),
        cpus: setting.cpus,
        place,
        interrupt,
        limits: LIMITS,
    })
}

fn rounds(options: &FuzzOptions, setting: &Setting) -> Result<i32> {
    let kinds = options.kinds();
    let first = options.seed.unwrap_or_else(fresh_seed);
    if options.print {
        print!("{}", generate(kinds[0], first));
        return Ok(0);
    }
    let mut setup = setup(options, setting)?;
    println!("model {}, CPUs {}, seed {first}", setup.model, setup.cpus);
    let (start, mut coverage, mut finds) = (Instant::now(), Coverage::default(), Finds::default());
    for round in 0..options.rounds.unwrap_or(u32::MAX) {
        if start.elapsed().as_secs_f64() >= options.minutes * 60.0 || setup.interrupt.is_set() {
            break;
        }
        let kind = kinds[round as usize % kinds.len()];
        let program = generate(kind, first.wrapping_add(round.into()));
        let done = run(&setup, &program)?;
        if done.interrupted {
            break;
        }
        coverage.add(&done);
        // One program is worth one search for a shorter one: what else it shows is a consequence,
        // or will be seen again.
        let mut reduced = false;
        for find in done.finds {
            if !finds.is_new(&find) {
                continue;
            }
            let number = finds.all.len();
            clear_progress();
            println!("find {number}: {find}");
            let (model, cpus, seed) = (&setup.model, setup.cpus, program.seed);
            println!(
                "  again: umlab fuzz --model {model} --cpus {cpus} --kind {} --seed {seed} --rounds 1",
                kind.name()
            );
            keep(options, &mut setup, &program, &find, number, !reduced)?;
            reduced = true;
        }
        progress(&coverage, finds.all.len());
    }
    clear_progress();
    print!("{coverage}");
    for (n, (_, times)) in finds.all.iter().enumerate().filter(|(_, (_, times))| *times > 1) {
        println!("find {}: seen in {times} rounds", n + 1);
    }
    println!("{} finds", finds.all.len());
    Ok(if finds.all.is_empty() { 0 } else { STATUS_FINDS })
}

/// The finds of a run, those that are alike once, with how often they came.
#[derive(Default)]
struct Finds {
    all: Vec<(Find, u32)>,
}

impl Finds {
    fn is_new(&mut self, find: &Find) -> bool {
        match self.all.iter_mut().find(|(known, _)| known.is_like(find)) {
            Some((_, times)) => *times += 1,
            None => {
                self.all.push((find.clone(), 1));
                return true;
            }
        }
        false
    }
}

/// Writes the program of a find to a file, sees whether it fails again, and looks for a shorter
/// one.
fn keep(
    options: &FuzzOptions,
    setup: &mut Setup,
    program: &Program,
    find: &Find,
    number: usize,
    reducing: bool,
) -> Result<()> {
    std::fs::create_dir_all(&options.out).with_context(|| format!("cannot make '{}'", options.out.display()))?;
    let name = format!("{}-{}-{}-{}-{number}", setup.model, setup.cpus, program.kind.name(), program.seed);
    let file = options.out.join(&name);
    write_program(&file, program, find)?;
    println!("  program: {}", file.display());
    let minutes = options.reduce.unwrap_or(2.0);
    if minutes == 0.0 || !reducing {
        return Ok(());
    }
    shorten(setup, program, find, minutes, &options.out.join(format!("{name}-short")))
}

fn shorten(setup: &mut Setup, program: &Program, find: &Find, minutes: f64, file: &Path) -> Result<()> {
    if find.class == Class::Hang {
        setup.limits.silence = SHORT_SILENCE;
    }
    let done = shorten_within(setup, program, find, minutes, file);
    setup.limits = LIMITS;
    done
}

fn shorten_within(setup: &Setup, program: &Program, find: &Find, minutes: f64, file: &Path) -> Result<()> {
    let mut failure = None;
    let mut fails = |candidate: &Program| match run(setup, candidate) {
        Ok(round) => round.finds.iter().any(|other| other.is_like(find)),
        Err(error) => {
            failure = Some(error);
            false
        }
    };
    let times = (0..AGAIN).filter(|_| fails(program)).count() as u32;
    println!("  run again {AGAIN} times, it failed {times} times");
    if times == 0 || setup.interrupt.is_set() {
        return failure.map_or(Ok(()), Err);
    }
    // What fails now and then is tried several times before a step is thought to be needed.
    let tries = if times == AGAIN { 1 } else { 4 };
    let until = Instant::now() + Duration::from_secs_f64(minutes * 60.0);
    let interrupted = || setup.interrupt.is_set();
    let short = reduce(program.clone(), until, &mut |candidate| {
        (0..tries).any(|_| !interrupted() && Instant::now() < until && fails(candidate))
    });
    write_program(file, &short, find)?;
    println!("  reduced from {} steps to {}: {}", program.steps(), short.steps(), file.display());
    if short.steps() <= 12 {
        for line in short.to_string().lines() {
            println!("    {line}");
        }
    }
    Ok(())
}

fn write_program(file: &Path, program: &Program, find: &Find) -> Result<()> {
    let text = format!("# {}\n{program}", find.to_string().replace('\n', " "));
    std::fs::write(file, text).with_context(|| format!("cannot write '{}'", file.display()))
}

fn replay(options: &FuzzOptions, setting: &Setting, file: &Path) -> Result<i32> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read '{}'", file.display()))?;
    let program = parse(&text).with_context(|| format!("'{}'", file.display()))?;
    let mut setup = setup(options, setting)?;
    let times = options.rounds.unwrap_or(AGAIN);
    let (mut failed, mut first) = (0, None);
    for n in 1..=times {
        let Round { finds, interrupted, .. } = run(&setup, &program)?;
        if interrupted {
            break;
        }
        failed += u32::from(!finds.is_empty());
        for find in finds {
            println!("run {n}: {find}");
            first.get_or_insert(find);
        }
    }
    println!("run {times} times, it failed {failed} times");
    if let (Some(find), Some(minutes)) = (&first, options.reduce) {
        let mut name = file.file_name().unwrap_or_default().to_os_string();
        name.push("-short");
        shorten(&mut setup, &program, find, minutes, &file.with_file_name(name))?;
    }
    Ok(if first.is_none() { 0 } else { STATUS_FINDS })
}

fn fresh_seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    // Short enough to be written down.
    now.as_micros() as u64 % 10_000_000_000
}

fn progress(coverage: &Coverage, finds: usize) {
    let mut terminal = std::io::stderr();
    if terminal.is_terminal() {
        let _ =
            write!(terminal, "\r\x1b[K{} rounds, {} system calls, {finds} finds", coverage.rounds, coverage.asked());
    }
}

fn clear_progress() {
    let mut terminal = std::io::stderr();
    if terminal.is_terminal() {
        let _ = write!(terminal, "\r\x1b[K");
    }
}
