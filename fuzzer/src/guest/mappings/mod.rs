//! The mapping stress: a thread changes mappings of pages that only it uses, and every word that it
//! reads must be one that it wrote.

mod model;

use crate::board::Board;
use crate::memory;
use crate::sys::{ask, end, load, store};
use model::{Content, Kind, Model, Page};
use umlab_fuzzer::grammar::MAPPING_PAGES;
use umlab_fuzzer::program::{Program, Step, Value};

const PAGE: u64 = 4096;
const START: u64 = 0x4000_0000;
const APART: u64 = 0x100_0000;
const PAGES: usize = MAPPING_PAGES as usize;

pub struct Stress {
    board: &'static Board,
    thread: usize,
    start: u64,
    model: Model,
    file: u64,
    pipe: [u64; 2],
    /// Where pages are copied from and to.
    buffer: u64,
    step: usize,
    /// Pages that hold what is not known are given up: a call failed where a kernel may have done a
    /// part.
    failed: bool,
}

impl Stress {
    pub fn new(board: &'static Board, thread: usize) -> Stress {
        let file = ask(libc::SYS_memfd_create, [c"pages".as_ptr() as u64, 0, 0, 0, 0, 0]) as u64;
        ask(libc::SYS_ftruncate, [file, MAPPING_PAGES * PAGE, 0, 0, 0, 0]);
        let mut ends = [0_u32; 2];
        ask(libc::SYS_pipe2, [ends.as_mut_ptr() as u64, libc::O_NONBLOCK as u64, 0, 0, 0, 0]);
        let buffer = memory::map_shared(PAGE as usize).unwrap_or(0) as u64;
        // From an earlier process there is nothing in this place: it is made anew with each.
        let start = START + thread as u64 * APART;
        Stress {
            board,
            thread,
            start,
            model: Model::new(thread),
            file,
            pipe: ends.map(u64::from),
            buffer,
            step: 0,
            failed: false,
        }
    }

    /// Runs a step; false when there is no sense in going on.
    pub fn step(&mut self, index: usize, step: &Step) -> bool {
        self.step = index;
        let args: [u64; 4] = std::array::from_fn(|n| match step.args.get(n) {
            Some(Value::Int(n)) => *n,
            _ => 0,
        });
        let page = (args[0] % MAPPING_PAGES) as usize;
        let count = (args[1].min(MAPPING_PAGES) as usize).min(PAGES - page);
        match step.call.name {
            "map" => self.map(page, count, args[2], args[3]),
            "unmap" => self.unmap(page, count),
            "protect" => self.protect(page, count, args[2]),
            "remap" => self.remap(page, count, (args[2] % MAPPING_PAGES) as usize),
            "fill" => (page..page + count).for_each(|page| self.fill(page)),
            "check" => (page..page + count).for_each(|page| self.check(page)),
            "forget" => self.forget(page, count),
            "fork-check" => self.fork_check(page, count),
            "cut" => self.cut(page),
            "copy-in" => self.copy_in(page),
            "copy-out" => self.copy_out(page),
            "lock" => {
                let number = if args[2] == 0 { libc::SYS_munlock } else { libc::SYS_mlock };
                ask(number, [self.at(page), count as u64 * PAGE, 0, 0, 0, 0]);
            }
            _ => {}
        }
        !self.failed
    }

    fn at(&self, page: usize) -> u64 {
        self.start + page as u64 * PAGE
    }

    fn wrong(&mut self, reason: Wrong, page: usize, expected: u64, found: u64) {
        self.failed = true;
        self.board.wrong(reason as u64, self.thread as u64, self.step as u64, page as u64, expected, found);
    }

    fn map(&mut self, page: usize, count: usize, protection: u64, kind: u64) {
        let kind = [Kind::Private, Kind::Shared, Kind::PrivateFile, Kind::SharedFile][kind as usize % 4];
        let (flags, file) = match kind {
            Kind::Private => (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, u64::MAX),
            Kind::Shared => (libc::MAP_SHARED | libc::MAP_ANONYMOUS, u64::MAX),
            Kind::PrivateFile => (libc::MAP_PRIVATE, self.file),
            Kind::SharedFile => (libc::MAP_SHARED, self.file),
        };
        if count == 0 {
            return;
        }
        let offset = if file == u64::MAX { 0 } else { page as u64 * PAGE };
        let flags = (flags | libc::MAP_FIXED) as u64;
        let result = ask(libc::SYS_mmap, [self.at(page), count as u64 * PAGE, protection, flags, file, offset]);
        if result < 0 {
            return self.unmap(page, count);
        }
        for page in page..page + count {
            self.model.map(page, kind, protection);
        }
    }

    fn unmap(&mut self, page: usize, count: usize) {
        if count == 0 {
            return;
        }
        match ask(libc::SYS_munmap, [self.at(page), count as u64 * PAGE, 0, 0, 0, 0]) {
            0 => self.model.pages[page..page + count].fill(None),
            error => self.wrong(Wrong::Refused, page, 0, error as u64),
        }
    }

    /// How many of these pages from the first on are mapped.
    fn mapped(&self, page: usize, count: usize) -> usize {
        self.model.pages[page..page + count].iter().take_while(|page| page.is_some()).count()
    }

    fn protect(&mut self, page: usize, count: usize, protection: u64) {
        let count = self.mapped(page, count);
        if count == 0 {
            return;
        }
        match ask(libc::SYS_mprotect, [self.at(page), count as u64 * PAGE, protection, 0, 0, 0]) {
            0 => {
                self.model.pages[page..page + count].iter_mut().flatten().for_each(|page| page.protection = protection);
            }
            error if error == -i64::from(libc::ENOMEM) => self.unmap(page, count), // some have it and some do not
            error => self.wrong(Wrong::Refused, page, 0, error as u64),
        }
    }

    fn remap(&mut self, page: usize, count: usize, to: usize) {
        let count = self.mapped(page, count).min(PAGES - to);
        if count == 0 || (page < to + count && to < page + count) {
            return;
        }
        let len = count as u64 * PAGE;
        let flags = (libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED) as u64;
        let result = ask(libc::SYS_mremap, [self.at(page), len, len, flags, self.at(to), 0]);
        if result < 0 {
            // Of several areas it may have moved some; and what was in the way may be gone.
            self.unmap(page, count);
            return self.unmap(to, count);
        }
        for n in 0..count {
            self.model.pages[to + n] = self.model.pages[page + n].take();
        }
    }

    fn fill(&mut self, page: usize) {
        let expected = self.model.may_write(page);
        if let Err(signal) = expected {
            let found = store(self.at(page), 0);
            if found != Err(signal) && !self.model.either(page, found.err()) {
                self.wrong(Wrong::NoFault, page, signal as u64, found.err().unwrap_or(0) as u64);
            }
            return;
        }
        let value = self.model.next_value(page);
        for word in 0..PAGE / 8 {
            if let Err(signal) = store(self.at(page) + word * 8, value ^ word) {
                return self.wrong(Wrong::Fault, page, value, signal as u64);
            }
        }
        self.model.write(page, value);
    }

    fn check(&mut self, page: usize) {
        let read = |word: u64| load(self.at(page) + word * 8);
        if let Err(signal) = self.model.may_read(page) {
            let found = read(0);
            if found != Err(signal) {
                self.wrong(Wrong::NoFault, page, signal as u64, found.err().unwrap_or(0) as u64);
            }
            return;
        }
        let first = match read(0) {
            Ok(first) => first,
            Err(signal) => return self.wrong(Wrong::Fault, page, 0, signal as u64),
        };
        if let Err(expected) = self.model.judge(page, first) {
            return self.wrong(Wrong::Data, page, expected, first);
        }
        for word in 1..PAGE / 8 {
            let expected = if first == 0 { 0 } else { first ^ word };
            let found = read(word);
            if found != Ok(expected) {
                return self.wrong(Wrong::Data, page, expected, found.unwrap_or_else(|signal| signal as u64));
            }
        }
    }

    fn forget(&mut self, page: usize, count: usize) {
        for page in page..page + self.mapped(page, count) {
            // Locked pages are not forgotten.
            if ask(libc::SYS_madvise, [self.at(page), PAGE, libc::MADV_DONTNEED as u64, 0, 0, 0]) == 0 {
                self.model.forget(page);
            }
        }
    }

    /// A child sees what was there when it was made, though its parent goes on writing; and what it
    /// writes stays with it.
    fn fork_check(&mut self, page: usize, count: usize) {
        match ask(libc::SYS_fork, [0; 6]) {
            0 => {
                self.model.values_of_child();
                (page..page + count).for_each(|page| self.check(page));
                self.fill_private(page, count, 2);
                (page..page + count).for_each(|page| self.check(page));
                end(0)
            }
            child if child > 0 => {
                self.fill_private(page, count, 3);
                let mut status = 0_u32;
                let ended = loop {
                    match ask(libc::SYS_wait4, [child as u64, (&raw mut status) as u64, 0, 0, 0, 0]) {
                        error if error == -i64::from(libc::EINTR) => {}
                        ended => break ended,
                    }
                };
                // Killed is what happens where memory is short, and at the end of the time.
                if ended != child || (status != 0 && status & 0x7f != 9) {
                    self.wrong(Wrong::Child, page, 0, status.into());
                }
                (page..page + count).for_each(|page| self.check(page));
            }
            _ => {}
        }
    }

    fn fill_private(&mut self, page: usize, count: usize, every: usize) {
        for page in (page..page + count).step_by(every) {
            if self.model.is_private(page) {
                self.fill(page);
            }
        }
    }

    fn cut(&mut self, pages: usize) {
        if ask(libc::SYS_ftruncate, [self.file, pages as u64 * PAGE, 0, 0, 0, 0]) == 0 {
            self.model.cut(pages);
        }
    }

    /// Fills a page by read(2).
    fn copy_in(&mut self, page: usize) {
        let value = self.model.next_value(page);
        for word in 0..PAGE / 8 {
            let _ = store(self.buffer + word * 8, value ^ word);
        }
        if ask(libc::SYS_write, [self.pipe[1], self.buffer, PAGE, 0, 0, 0]) != PAGE as i64 {
            return self.drain();
        }
        let result = ask(libc::SYS_read, [self.pipe[0], self.at(page), PAGE, 0, 0, 0]);
        match (self.model.may_write(page), result) {
            (Ok(()), 4096) => self.model.write(page, value),
            (Err(_), error) if error == -i64::from(libc::EFAULT) => {}
            (expected, result) => self.wrong(Wrong::Copied, page, u64::from(expected.is_ok()), result as u64),
        }
        self.drain();
    }

    /// Takes a page by write(2), and looks at what came.
    fn copy_out(&mut self, page: usize) {
        let result = ask(libc::SYS_write, [self.pipe[1], self.at(page), PAGE, 0, 0, 0]);
        match (self.model.may_read(page), result) {
            (Ok(()), 4096) => {
                ask(libc::SYS_read, [self.pipe[0], self.buffer, PAGE, 0, 0, 0]);
                let first = load(self.buffer).unwrap_or(0);
                let judged = self.model.judge(page, first);
                let last = load(self.buffer + PAGE - 8).unwrap_or(1);
                if let Err(expected) = judged {
                    self.wrong(Wrong::Data, page, expected, first);
                } else if last != if first == 0 { 0 } else { first ^ (PAGE / 8 - 1) } {
                    self.wrong(Wrong::Data, page, first ^ (PAGE / 8 - 1), last);
                }
            }
            (Err(_), error) if error == -i64::from(libc::EFAULT) => {}
            (expected, result) => self.wrong(Wrong::Copied, page, u64::from(expected.is_ok()), result as u64),
        }
        self.drain();
    }

    fn drain(&self) {
        while ask(libc::SYS_read, [self.pipe[0], self.buffer, PAGE, 0, 0, 0]) > 0 {}
    }
}

/// How memory can be wrong; the words are [`describe`]'s.
#[derive(Clone, Copy)]
enum Wrong {
    Data = 1,
    Fault,
    NoFault,
    Refused,
    Copied,
    Child,
}

/// A find, from what the board holds of it.
pub fn describe(program: &Program, wrong: [u64; 6]) -> String {
    let [reason, thread, step, page, expected, found] = wrong;
    let words = match reason {
        1 => format!("expected {expected:#x} and found {found:#x}"),
        2 => format!("an access that is allowed got signal {found}"),
        3 if found == 0 => format!("an access that must give signal {expected} was done"),
        3 => format!("an access that must give signal {expected} gave signal {found}"),
        4 => format!("a change was refused by error {}", -(found as i64)),
        5 => format!("a copy that must {} gave {}", if expected == 1 { "be done" } else { "fail" }, found as i64),
        _ => format!("a child ended with status {found:#x}"),
    };
    let steps = program.processes.iter().flatten().nth(thread as usize);
    let call = steps.and_then(|steps| steps.get(step as usize)).map_or(String::new(), Step::to_string);
    format!("wrong memory: {words}; in step {step} of thread {thread} at page {page}: {call}")
}

impl Content {
    /// The word that a page with this content begins with, where that is certain.
    fn certain(self) -> Option<u64> {
        match self {
            Content::Own(value) => Some(value),
            Content::File(_) => None,
        }
    }
}

impl Page {
    fn is_file(&self) -> bool {
        matches!(self.kind, Kind::PrivateFile | Kind::SharedFile)
    }
}
