//! Neighbours: processes that only spin, on the CPUs that a sample is measured on.
//!
//! A CPU is seldom one program's alone, and at each hand-over from one process to another the host
//! may give the CPU to somebody else first. Guests hand over at every trap and the host's programs
//! do not, so a neighbour may cost a guest more than it costs them. To measure that, the same
//! neighbours are there for every runner.
//!
//! They end with the harness, however it ends: each is one process without children, which the host
//! kills when its parent has gone.

use anyhow::{Context, Result, anyhow};
use std::io::Read;
use std::process::{Child, Command, Stdio};

/// Tells that it runs, and then makes no system call.
const SCRIPT: &str = "echo; while :; do :; done";

/// Neighbours that spin until this is dropped.
pub struct Neighbours(Vec<Child>);

impl Neighbours {
    /// Starts so many on each of these CPUs, at the nice value that samples have too; returns when
    /// all of them spin there. The calling thread has to stay: they end with it.
    ///
    /// # Errors
    /// One could not be started or pinned, and then there are none.
    pub fn start(cpus: &[u32], on_each: u32) -> Result<Neighbours> {
        let mut neighbours = Neighbours(Vec::new());
        for &cpu in cpus.iter().flat_map(|cpu| std::iter::repeat_n(cpu, on_each as usize)) {
            neighbours.add(cpu).with_context(|| format!("cannot start a neighbour on CPU {cpu}"))?;
        }
        for child in &mut neighbours.0 {
            let mut pipe = child.stdout.take().context("a neighbour has no pipe")?;
            pipe.read_exact(&mut [0]).context("a neighbour ended before it span")?;
        }
        Ok(neighbours)
    }

    fn add(&mut self, cpu: u32) -> Result<()> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SCRIPT]).env_clear().current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let child = umlab_host::child::dies_with_caller(&mut command).spawn()?;
        let thread = child.id() as i32;
        // Ours from here on, so that it ends when the next step fails.
        self.0.push(child);
        umlab_host::thread::allow(thread, [cpu as usize]).map_err(|e| anyhow!("{e}"))
    }

    /// Whether all of them still spin.
    pub fn are_there(&mut self) -> bool {
        self.0.iter_mut().all(|child| matches!(child.try_wait(), Ok(None)))
    }
}

impl Drop for Neighbours {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // One that has ended is waited for all the same.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn numbers(neighbours: &Neighbours) -> Vec<u32> {
        neighbours.0.iter().map(Child::id).collect()
    }

    fn status(number: u32, field: &str) -> String {
        let text = std::fs::read_to_string(format!("/proc/{number}/status")).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.unwrap().trim().to_string()
    }

    #[test]
    fn so_many_are_on_each_cpu_until_they_are_dropped() {
        let cpus: Vec<u32> = umlab_host::thread::allowed_cpus().iter().map(|&cpu| cpu as u32).collect();
        let mut neighbours = Neighbours::start(&cpus, 2).unwrap();
        let expected: Vec<String> = cpus.iter().flat_map(|cpu| [cpu.to_string(), cpu.to_string()]).collect();
        let numbers = numbers(&neighbours);
        assert_eq!(numbers.iter().map(|&n| status(n, "Cpus_allowed_list")).collect::<Vec<_>>(), expected);
        for &number in &numbers {
            while !status(number, "State").starts_with('R') {
                std::thread::yield_now();
            }
        }
        assert!(neighbours.are_there());
        drop(neighbours);
        assert!(!numbers.iter().any(|n| PathBuf::from(format!("/proc/{n}")).exists()));
        assert!(numbers.is_empty() || Neighbours::start(&cpus, 0).unwrap().0.is_empty());
    }

    #[test]
    fn one_that_is_killed_is_missed() {
        let cpu = umlab_host::thread::allowed_cpus()[0] as u32;
        let mut neighbours = Neighbours::start(&[cpu], 1).unwrap();
        neighbours.0[0].kill().unwrap();
        while neighbours.are_there() {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_cpu_that_there_is_not_is_an_error() {
        let error = format!("{:#}", Neighbours::start(&[1023], 1).err().unwrap());
        assert!(error.contains("CPU 1023"), "{error}");
    }

    #[test]
    fn they_end_with_their_thread() {
        let cpu = umlab_host::thread::allowed_cpus()[0] as u32;
        let thread = std::thread::spawn(move || {
            let neighbours = Neighbours::start(&[cpu], 1).unwrap();
            let number = numbers(&neighbours)[0];
            std::mem::forget(neighbours);
            number
        });
        let number = thread.join().unwrap();
        while !status(number, "State").starts_with('Z') {
            std::thread::yield_now();
        }
        umlab_host::child::reap(number as i32);
    }
}
