//! The core's own memory, put where every guest process has it: at the top of the address space,
//! shared.
//!
//! `uml` is a static position-independent program, which a host without address randomisation loads
//! at the very top, and which maps everything else below itself. Its variables move to a memory
//! object, its heap is one already; what is cloned from it then has the same core.

use crate::space::{FILES_FROM, USER_TOP};
use std::ops::Range;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::OnceLock;
use umlab_host::{Errno, Result, arena, limits, memory};
use umlab_model::{CannotRun, Vdso};

/// Starts this program anew without address randomisation, if it stands elsewhere than at the top.
/// Returns when it stands there.
pub fn stand_at_top() -> std::result::Result<(), CannotRun> {
    const QUERY: u64 = 0xffff_ffff;
    // SAFETY: a query and a flag, of this process alone.
    let fixed = unsafe {
        let now = libc::personality(QUERY);
        let fixed = now & libc::ADDR_NO_RANDOMIZE != 0;
        if !fixed && libc::personality((now | libc::ADDR_NO_RANDOMIZE) as u64) < 0 {
            return Err("the host does not let a process stand at a fixed address (personality(2))".into());
        }
        fixed
    };
    if !fixed {
        let mut arguments = std::env::args_os();
        let mut command = Command::new("/proc/self/exe");
        if let Some(name) = arguments.next() {
            command.arg0(name);
        }
        limits::restore();
        let e = command.args(arguments).exec();
        return Err(CannotRun::failed("cannot start anew", e.into()));
    }
    umlab_host::thread::set_name(c"uml");
    match (stand_at_top as *const () as u64) < USER_TOP {
        true => Err("the host did not load uml at the top of the address space".into()),
        false => Ok(()),
    }
}

struct Image {
    text: Range<usize>,
    data: (usize, usize),
    vdso: Option<Vdso>,
}

static IMAGE: OnceLock<Image> = OnceLock::new();

struct Line {
    start: usize,
    end: usize,
    writable: bool,
    name: String,
}

fn maps() -> Vec<Line> {
    let text = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let parse = |line: &str| {
        let mut fields = line.split_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let writable = fields.next()?.as_bytes().get(1) == Some(&b'w');
        let number = |text| usize::from_str_radix(text, 16).ok();
        Some(Line { start: number(start)?, end: number(end)?, writable, name: fields.nth(3).unwrap_or("").into() })
    };
    text.lines().filter_map(parse).collect()
}

/// Puts variables and heap on memory that child processes share. Called once, before there are
/// other threads.
pub fn share() -> Result<()> {
    let heap = arena::heap();
    memory::share_with_children(heap.base() as usize, FILES_FROM, USER_TOP as usize);
    heap.inherit();
    let maps = maps();
    let code = share as *const () as usize;
    let text = maps.iter().find(|line| (line.start..line.end).contains(&code)).ok_or(Errno::ENOEXEC)?;
    let (own, text) = (text.name.clone(), text.start..text.end);
    let first = maps.iter().position(|line| line.name == own && line.writable).ok_or(Errno::ENOEXEC)?;
    let mut end = maps[first].end;
    // What is not in the file follows directly.
    for line in &maps[first + 1..] {
        if line.start == end && line.writable && (line.name.is_empty() || line.name == own) {
            end = line.end;
        }
    }
    let data = (maps[first].start, end - maps[first].start);
    let part = |name: &str| maps.iter().find(|line| line.name == name);
    let vdso = part("[vdso]").map(|image| Vdso {
        data: part("[vvar]").map_or(image.start, |data| data.start) as u64,
        image: image.start as u64,
        end: image.end as u64,
    });
    let _ = IMAGE.set(Image { text, data, vdso });
    drop(maps);
    share_range(data)
}

/// Replaces private memory that is in use by shared memory with the same contents.
#[inline(never)]
fn share_range((start, len): (usize, usize)) -> Result<()> {
    // SAFETY: nothing is written to the range between the copy and the mapping: there is one
    // thread, and these are plain system calls, which at most set errno, which lies elsewhere.
    unsafe {
        let fd = Errno::check(i64::from(libc::memfd_create(c"umlab-data".as_ptr(), libc::MFD_CLOEXEC)))? as i32;
        let fd = OwnedFd::from_raw_fd(fd);
        let mut done = 0;
        while done < len {
            done += Errno::check(libc::write(fd.as_raw_fd(), (start + done) as *const _, len - done) as i64)? as usize;
        }
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_FIXED;
        if libc::mmap(start as *mut _, len, prot, flags, fd.as_raw_fd(), 0) == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        Ok(())
    }
}

/// The core's code.
pub fn text() -> Range<usize> {
    IMAGE.get().map_or(0..0, |image| image.text.clone())
}

/// The core's variables: address and length.
pub fn data() -> (usize, usize) {
    IMAGE.get().map_or((0, 0), |image| image.data)
}

/// The host's own, at the top of every process.
pub fn vdso() -> Option<Vdso> {
    IMAGE.get().and_then(|image| image.vdso)
}
