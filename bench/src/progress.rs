//! What the person in front of it sees: a bar with what runs now and the time left; without a
//! terminal a line a sample.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::Duration;

pub struct Progress {
    bar: ProgressBar,
    terminal: bool,
    done: u64,
    all: u64,
}

impl Progress {
    pub fn new(all: u64) -> Progress {
        let terminal = std::io::stderr().is_terminal();
        let bar = ProgressBar::with_draw_target(
            Some(all),
            if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() },
        );
        if let Ok(style) = ProgressStyle::with_template("{bar:24} {pos}/{len}  {wide_msg}") {
            bar.set_style(style);
        }
        if terminal {
            bar.enable_steady_tick(Duration::from_secs(1));
        }
        Progress { bar, terminal, done: 0, all }
    }

    /// A line that stays.
    pub fn say(&self, line: &str) {
        if self.terminal {
            self.bar.println(line);
        } else {
            eprintln!("{line}");
        }
    }

    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Work that is no sample.
    pub fn begins(&self, what: &str) {
        if self.terminal {
            self.bar.set_message(what.to_string());
        } else {
            eprintln!("{what}");
        }
    }

    pub fn starts(&self, what: &str, left: f64) {
        self.bar.set_message(format!("{what}  ({} left)", rough(left)));
    }

    /// One sample is there; `all` is how many there will be, as far as that is known now.
    pub fn ended(&mut self, what: &str, all: u64, left: f64) {
        self.done += 1;
        self.all = all.max(self.done);
        self.bar.set_length(self.all);
        self.bar.set_position(self.done);
        if !self.terminal {
            eprintln!(
                "[{:>width$}/{}] {what}  ({} left)",
                self.done,
                self.all,
                rough(left),
                width = self.all.to_string().len()
            );
        }
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// A time as one would say it.
pub fn rough(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("{} s", s.max(0.0).round()),
        s if s > 1e6 => "some hours".into(),
        s if s < 5400.0 => format!("{} min", (s / 60.0).round()),
        s => format!("{:.1} h", s / 3600.0),
    }
}

/// A duration with the digits that it is worth.
pub fn seconds(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s if s < 10.0 => format!("{s:.2} s"),
        s => format!("{s:.1} s"),
    }
}
