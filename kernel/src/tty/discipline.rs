//! The line discipline: what becomes of the bytes that come in from a terminal's keyboard.
//!
//! A state machine without any input or output of its own: it is given bytes and settings, collects
//! lines, and says what to echo and what else is to happen. So its rules (c_iflag, c_lflag and the
//! control characters of termios(3)) can be read and tested in one place.

use super::output::Column;
use super::termios::Termios;
use crate::Result;
use crate::mm::IoBuf;
use std::collections::VecDeque;

/// Bytes that wait to be read; in canonical mode also the longest line, its end included.
pub const CAPACITY: usize = 4096;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mark {
    None,
    /// The last byte of a line.
    End,
    /// End of file was typed: ends a line but is not part of it. Its byte is 0, and that is what a
    /// raw reader gets.
    Eof,
}

#[derive(Clone, Copy)]
struct Unit {
    byte: u8,
    mark: Mark,
}

/// What the terminal has to do beyond echoing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Send a signal to the foreground group; with `flush`, drop what waits to be written (input
    /// was dropped already).
    Signal {
        signal: i32,
        flush: bool,
    },
    /// Hold the output, or let it go on.
    Stop,
    Start,
}

#[derive(Default)]
pub struct Discipline {
    input: VecDeque<Unit>,
    /// How many of `input` belong to complete lines.
    complete: usize,
    /// The next byte is taken literally.
    literal: bool,
    /// Inside a \.../ of ECHOPRT.
    erasing: bool,
    pub column: Column,
    /// The column where the line being typed began.
    line_column: usize,
}

impl Discipline {
    /// Whether another byte can be taken. A line that is too long still takes bytes, to find its
    /// end.
    pub fn has_room(&self, termios: &Termios) -> bool {
        self.input.len() < CAPACITY - 1 || termios.canonical() && self.complete == 0
    }

    /// Whether a read would find something: a line, or in raw mode `amount` bytes.
    pub fn readable(&self, termios: &Termios, amount: usize) -> bool {
        if termios.canonical() { self.complete > 0 } else { self.input.len() >= amount.max(1) }
    }

    /// Bytes a read could get now (TIOCINQ).
    pub fn count(&self, termios: &Termios) -> usize {
        if termios.canonical() {
            self.input.iter().take(self.complete).filter(|u| u.mark != Mark::Eof).count()
        } else {
            self.input.len()
        }
    }

    /// Drops everything that waits to be read.
    pub fn flush(&mut self) {
        self.input.clear();
        self.complete = 0;
        self.erasing = false;
        self.literal = false;
    }

    /// ICANON changed: what is there becomes one line, or plain bytes.
    pub fn mode_changed(&mut self, canonical: bool) {
        for unit in &mut self.input {
            unit.mark = Mark::None;
        }
        self.complete = 0;
        if canonical && let Some(last) = self.input.back_mut() {
            last.mark = Mark::End;
            self.complete = self.input.len();
        }
        self.erasing = false;
        self.literal = false;
    }

    /// Takes the rest of a line, or of the buffer if that is shorter. None when there is no line.
    /// Some(0) is end of file.
    pub fn read_line(&mut self, buf: &mut IoBuf<'_>) -> Result<Option<usize>> {
        if self.complete == 0 {
            return Ok(None);
        }
        let end = self.input.iter().position(|u| u.mark != Mark::None).map_or(self.complete, |at| at + 1);
        let eof = self.input.get(end - 1).is_some_and(|u| u.mark == Mark::Eof);
        let want = if eof { end - 1 } else { end };
        let taken = self.take(want.min(buf.remaining()), buf)?;
        self.complete -= taken;
        // The end of file goes with the bytes before it, or a later read would see it twice.
        if eof && taken == want {
            self.input.pop_front();
            self.complete -= 1;
        }
        Ok(Some(taken))
    }

    /// Takes bytes in raw mode.
    pub fn read_raw(&mut self, buf: &mut IoBuf<'_>) -> Result<usize> {
        self.take(self.input.len().min(buf.remaining()), buf)
    }

    fn take(&mut self, count: usize, buf: &mut IoBuf<'_>) -> Result<usize> {
        let mut bytes = [0; CAPACITY];
        let count = count.min(CAPACITY);
        for (slot, unit) in bytes.iter_mut().zip(self.input.iter().take(count)) {
            *slot = unit.byte;
        }
        let n = buf.put(&bytes[..count])?;
        self.input.drain(..n);
        Ok(n)
    }

    /// One byte from the keyboard. `stopped`: output is held. What is to be shown is appended to
    /// `echo`.
    pub fn receive(&mut self, byte: u8, termios: &Termios, stopped: bool, echo: &mut Vec<u8>) -> Option<Action> {
        let mut byte = byte;
        if termios.input(abi::ISTRIP) {
            byte &= 0x7f;
        }
        if termios.input(abi::IUCLC) && termios.local(abi::IEXTEN) {
            byte = byte.to_ascii_lowercase();
        }
        if std::mem::take(&mut self.literal) {
            self.ordinary(byte, true, termios, echo);
            return None;
        }
        if termios.input(abi::IXON) {
            if termios.is(abi::VSTART, byte) {
                // One key for both: it toggles.
                let toggle = termios.is(abi::VSTOP, byte) && !stopped;
                return Some(if toggle { Action::Stop } else { Action::Start });
            }
            if termios.is(abi::VSTOP, byte) {
                return Some(Action::Stop);
            }
        }
        if termios.local(abi::ISIG)
            && let Some(signal) = signal_of(byte, termios)
        {
            let flush = !termios.local(abi::NOFLSH);
            if flush {
                self.flush();
                echo.clear();
            }
            if termios.local(abi::ECHO) {
                self.show(byte, termios, echo);
            }
            return Some(Action::Signal { signal, flush });
        }
        let resume = (stopped && termios.input(abi::IXON) && termios.input(abi::IXANY)).then_some(Action::Start);
        match byte {
            b'\r' if termios.input(abi::IGNCR) => return resume,
            b'\r' if termios.input(abi::ICRNL) => byte = b'\n',
            b'\n' if termios.input(abi::INLCR) => byte = b'\r',
            _ => {}
        }
        if !(termios.canonical() && self.edit(byte, termios, echo)) {
            self.ordinary(byte, false, termios, echo);
        }
        resume
    }

    /// What canonical mode makes of a byte that is more than itself. False for ordinary ones.
    fn edit(&mut self, byte: u8, termios: &Termios, echo: &mut Vec<u8>) -> bool {
        let (shown, extended) = (termios.local(abi::ECHO), termios.local(abi::IEXTEN));
        if termios.is(abi::VERASE, byte) {
            self.erase(Erase::Character, byte, termios, echo);
        } else if termios.is(abi::VKILL, byte) {
            self.erase(Erase::Line, byte, termios, echo);
        } else if termios.is(abi::VWERASE, byte) && extended {
            self.erase(Erase::Word, byte, termios, echo);
        } else if termios.is(abi::VLNEXT, byte) && extended {
            self.literal = true;
            if shown {
                self.finish_erasing(termios, echo);
                if termios.local(abi::ECHOCTL) {
                    echo.extend_from_slice(b"^\x08");
                }
            }
        } else if termios.is(abi::VREPRINT, byte) && shown && extended {
            self.finish_erasing(termios, echo);
            self.show(byte, termios, echo);
            self.column.put(b'\n', termios, echo);
            for at in self.complete..self.input.len() {
                self.show(self.input[at].byte, termios, echo);
            }
        } else if byte == b'\n' {
            if shown || termios.local(abi::ECHONL) {
                self.column.put(b'\n', termios, echo);
            }
            self.end_line(byte, Mark::End);
        } else if termios.is(abi::VEOF, byte) {
            self.end_line(0, Mark::Eof);
        } else if termios.is(abi::VEOL, byte) || termios.is(abi::VEOL2, byte) && extended {
            if shown {
                self.note_line_start();
                self.show(byte, termios, echo);
            }
            if byte == 0xff && termios.input(abi::PARMRK) {
                self.store(byte);
            }
            self.end_line(byte, Mark::End);
        } else {
            return false;
        }
        true
    }

    fn end_line(&mut self, byte: u8, mark: Mark) {
        if self.input.len() < CAPACITY {
            self.input.push_back(Unit { byte, mark });
            self.complete = self.input.len();
        }
    }

    fn store(&mut self, byte: u8) -> bool {
        let fits = self.input.len() < CAPACITY - 1;
        if fits {
            self.input.push_back(Unit { byte, mark: Mark::None });
        }
        fits
    }

    /// A byte that means itself. A `literal` one, typed after VLNEXT, is shown as what it is even
    /// when it is a newline.
    fn ordinary(&mut self, byte: u8, literal: bool, termios: &Termios, echo: &mut Vec<u8>) {
        if self.input.len() >= CAPACITY - 1 {
            if termios.input(abi::IMAXBEL) {
                echo.push(0x07);
            }
            return;
        }
        if termios.local(abi::ECHO) {
            self.finish_erasing(termios, echo);
            if byte == b'\n' && !literal {
                self.column.put(b'\n', termios, echo);
            } else {
                self.note_line_start();
                self.show(byte, termios, echo);
            }
        }
        // In marked input 0377 announces a mark, so a real one is doubled.
        if byte == 0xff && termios.input(abi::PARMRK) {
            self.store(byte);
        }
        self.store(byte);
    }

    fn note_line_start(&mut self) {
        if self.complete == self.input.len() {
            self.line_column = self.column.get();
        }
    }

    /// Echoes a byte; control characters as ^X.
    fn show(&mut self, byte: u8, termios: &Termios, echo: &mut Vec<u8>) {
        if termios.local(abi::ECHOCTL) && byte.is_ascii_control() && byte != b'\t' {
            echo.extend_from_slice(&[b'^', byte ^ 0x40]);
            self.column.forward(2);
        } else {
            self.column.put(byte, termios, echo);
        }
    }

    fn finish_erasing(&mut self, termios: &Termios, echo: &mut Vec<u8>) {
        if std::mem::take(&mut self.erasing) {
            self.column.put(b'/', termios, echo);
        }
    }

    fn erase(&mut self, what: Erase, key: u8, termios: &Termios, echo: &mut Vec<u8>) {
        if self.input.len() == self.complete {
            return;
        }
        let shown = termios.local(abi::ECHO);
        let visibly = termios.local(abi::ECHOK) && termios.local(abi::ECHOKE) && termios.local(abi::ECHOE);
        if what == Erase::Line && !(shown && visibly) {
            self.input.truncate(self.complete);
            if shown {
                self.finish_erasing(termios, echo);
                self.show(key, termios, echo);
                if termios.local(abi::ECHOK) {
                    self.column.put(b'\n', termios, echo);
                }
            }
            return;
        }
        let mut in_word = false;
        while self.input.len() > self.complete {
            let mut start = self.input.len() - 1;
            while start > self.complete && is_continuation(self.input[start].byte, termios) {
                start -= 1;
            }
            let byte = self.input[start].byte;
            // Never a part of a character.
            if is_continuation(byte, termios) {
                break;
            }
            if what == Erase::Word {
                if byte.is_ascii_alphanumeric() || byte == b'_' {
                    in_word = true;
                } else if in_word {
                    break;
                }
            }
            let rest: Vec<u8> = self.input.drain(start..).map(|u| u.byte).collect();
            if shown {
                self.show_erased(what, key, &rest, termios, echo);
            }
            if what == Erase::Character {
                break;
            }
        }
        if shown && self.input.len() == self.complete {
            self.finish_erasing(termios, echo);
        }
    }

    /// Shows that one character went away.
    fn show_erased(&mut self, what: Erase, key: u8, erased: &[u8], termios: &Termios, echo: &mut Vec<u8>) {
        let byte = erased[0];
        if termios.local(abi::ECHOPRT) {
            if !std::mem::replace(&mut self.erasing, true) {
                self.column.put(b'\\', termios, echo);
            }
            self.show(byte, termios, echo);
            for &more in &erased[1..] {
                self.column.put(more, termios, echo);
            }
        } else if what == Erase::Character && !termios.local(abi::ECHOE) {
            self.show(key, termios, echo);
        } else if byte == b'\t' {
            let width = self.column_after_rest(termios);
            let back = 8 - width % 8;
            echo.extend(std::iter::repeat_n(0x08, back));
            self.column.back(back);
        } else {
            let control = byte.is_ascii_control();
            let caret = termios.local(abi::ECHOCTL);
            for _ in 0..usize::from(control && caret) + usize::from(!control || caret) {
                echo.extend_from_slice(b"\x08 \x08");
                self.column.back(1);
            }
        }
    }

    /// The column modulo 8 after what is left of the line, counted from the last tab or the line's
    /// start.
    fn column_after_rest(&self, termios: &Termios) -> usize {
        let mut width = 0;
        for unit in self.input.range(self.complete..).rev() {
            match unit.byte {
                b'\t' => return width,
                byte if byte.is_ascii_control() => width += if termios.local(abi::ECHOCTL) { 2 } else { 0 },
                byte if is_continuation(byte, termios) => {}
                _ => width += 1,
            }
        }
        width + self.line_column
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Erase {
    Character,
    Word,
    Line,
}

fn is_continuation(byte: u8, termios: &Termios) -> bool {
    termios.input(abi::IUTF8) && byte & 0xc0 == 0x80
}

fn signal_of(byte: u8, termios: &Termios) -> Option<i32> {
    [(abi::VINTR, abi::SIGINT), (abi::VQUIT, abi::SIGQUIT), (abi::VSUSP, abi::SIGTSTP)]
        .into_iter()
        .find(|&(key, _)| termios.is(key, byte))
        .map(|(_, signal)| signal)
}

#[cfg(test)]
#[path = "discipline_tests.rs"]
mod tests;
