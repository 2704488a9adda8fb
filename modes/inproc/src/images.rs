//! Calls instead of traps: executable parts of files, with their `syscall` instructions rewritten.
//!
//! An *image* is a copy of a part of a file that guests cannot change, as it is mapped at one
//! address, in a memory object. A site that traps is rewritten there ([`umlab_rewrite`]), and the
//! image is mapped in the place of the file in all processes that have the file at that address: a
//! mapping for a mapping. The core itself, which reads memory of guests through the file, sees the
//! program's own bytes.
//!
//! Guests of one CPU only have images: code is rewritten while no user code runs.

use crate::count;
use std::collections::BTreeMap;
use std::os::fd::AsRawFd;
use umlab_host::maps::FileId;
use umlab_host::memory::SharedMemory;
use umlab_host::{Errno, Result};
use umlab_model::lock::KCell;
use umlab_model::view::What;
use umlab_model::{BackingFile, HostMap, HostView, Mapping};
use umlab_rewrite::{Patches, Registers, Room, Site, Spot, Step, Window};
use umlab_tasks::{DETOURS, Frame, Original, TaskSpace, call, text_of};

/// A file has an image at an address when so many of its calls have trapped.
const TRAPS: u32 = 8;
/// How much memory images have together.
const IMAGES: usize = 24 << 20;
/// How much is for detours, and for those of one image.
const DETOURS_LEN: usize = 16 << 20;
const ROOM: u64 = 64 << 10;
/// So many sites are rewritten in one image.
const SITES: usize = 1024;
/// What is looked at around a site.
const BEFORE: u64 = 128;
const AFTER: u64 = 192;
/// Of so many sites it is remembered that they cannot be rewritten.
const REFUSED: usize = 1024;
/// Guests can make any number of files appear at any number of addresses.
const KEYS: usize = 4096;

/// What is the same in all processes that can share an image.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    device: u64,
    inode: u64,
    changed: (i64, i64),
    size: u64,
    /// The address at which the file's first byte would be.
    base: u64,
}

#[derive(Default)]
struct Entry {
    traps: u32,
    image: Option<Image>,
}

struct Image {
    /// Which bytes of the file.
    start: u64,
    len: u64,
    /// Where in the object they are.
    at: usize,
    base: u64,
    file: FileId,
    patches: Patches,
    room: Room,
}

struct Images {
    /// Detours first, then images.
    memory: SharedMemory,
    entries: BTreeMap<Key, Entry>,
    next_image: usize,
    next_room: u64,
    refused: [u64; REFUSED],
}

static ALL: KCell<Option<Images>> = KCell::new(None);

/// Has calls rewritten from now on. Called once, before there are guest processes.
pub fn init() -> Result<()> {
    call::allow()?;
    let memory = SharedMemory::new(c"umlab-text", DETOURS_LEN + IMAGES)?;
    memory.map_code_at(DETOURS.start, DETOURS_LEN)?;
    let (next_image, next_room) = (DETOURS_LEN, DETOURS.start as u64);
    let images = Images { memory, entries: BTreeMap::new(), next_image, next_room, refused: [0; REFUSED] };
    umlab_model::lock::with(|| ALL.set(Some(images)));
    Ok(())
}

fn with<T>(body: impl FnOnce(&mut Images) -> Option<T>) -> Option<T> {
    ALL.borrow_mut().as_mut().and_then(body)
}

impl Key {
    fn of(file: &dyn BackingFile, base: u64) -> Option<Key> {
        let stat = rustix::fs::fstat(file.fd()).ok()?;
        let changed = (stat.st_ctime as i64, stat.st_ctime_nsec as i64);
        Some(Key { device: stat.st_dev, inode: stat.st_ino, changed, size: stat.st_size as u64, base })
    }
}

/// The image to map in the place of a mapping.
pub fn stand_in(mapping: &Mapping) -> Option<HostMap> {
    let (file, offset) = text_of(mapping)?;
    with(|all| {
        let image = all.entries.get(&Key::of(file, mapping.range.start().wrapping_sub(offset))?)?.image.as_ref()?;
        let distance = offset.checked_sub(image.start)?;
        if distance + mapping.range.len() > image.len {
            return None;
        }
        let populate = if mapping.populate { libc::MAP_POPULATE } else { 0 };
        Some(HostMap {
            flags: libc::MAP_SHARED | libc::MAP_NORESERVE | populate,
            fd: all.memory.fd().as_raw_fd(),
            offset: image.at as u64 + distance,
            file: None,
        })
    })
}

/// For the audit: parts of images are the files' that they stand for.
pub fn name_stand_ins(view: &mut HostView) {
    with(|all| {
        let own = FileId::of(all.memory.fd().as_raw_fd()).unwrap_or_default();
        view.take_for(|shown| {
            let What::File { id, offset, .. } = shown.what else { return None };
            let images = all.entries.values().filter_map(|entry| entry.image.as_ref());
            let image = images
                .filter(|_| id == own)
                .find(|image| (image.at as u64..image.at as u64 + image.len).contains(&offset))?;
            Some(What::File { id: image.file, offset: offset - image.at as u64 + image.start, shared: false })
        });
        Some(())
    });
}

/// What an address among the detours stands for.
pub fn original(ip: u64) -> Option<Original> {
    if !DETOURS.contains(&(ip as usize)) {
        return None;
    }
    with(|all| {
        let mut images = all.entries.values().filter_map(|entry| entry.image.as_ref());
        let (rewrite, spot) = images.find_map(|image| image.patches.locate(ip))?;
        match spot {
            Spot::Ours(umlab_rewrite::Original::Call(site)) => Some(Original::Call(site)),
            Spot::Ours(umlab_rewrite::Original::Before(before)) if ip == rewrite.detour().address() => {
                Some(Original::First(before))
            }
            Spot::Ours(umlab_rewrite::Original::Before(before)) => Some(Original::Next(before)),
            Spot::First | Spot::Inside => None,
        }
    })
}

/// A system call has trapped: its site is rewritten, if that is possible.
pub fn trapped(space: &TaskSpace, frame: &Frame) {
    let site = frame.rip.wrapping_sub(2);
    let again = with(|all| {
        if all.refused[site as usize % REFUSED] == site {
            return None;
        }
        let text = space.text_at(site)?;
        match all.consider(&text, site, frame) {
            Ok(made) => made.then_some(text),
            Err(_) => {
                all.refused[site as usize % REFUSED] = site;
                None
            }
        }
    });
    if let Some(text) = again {
        space.show_again(&text);
    }
}

impl Images {
    /// True when there is an image since now. An error for a site that is to trap always.
    fn consider(&mut self, mapping: &Mapping, site: u64, frame: &Frame) -> Result<bool> {
        let (file, offset) = text_of(mapping).ok_or(Errno::EINVAL)?;
        let base = mapping.range.start().wrapping_sub(offset);
        let key = Key::of(file, base).ok_or(Errno::EINVAL)?;
        if self.entries.len() >= KEYS && !self.entries.contains_key(&key) {
            return Err(Errno::ENOSPC);
        }
        let entry = self.entries.entry(key).or_default();
        entry.traps += 1;
        if entry.traps < TRAPS {
            return Ok(false);
        }
        let mut made = false;
        if entry.image.is_none() {
            let len = mapping.range.len();
            let (at, room) = (self.next_image, self.next_room..self.next_room + ROOM);
            let fits =
                at as u64 + len <= (DETOURS_LEN + IMAGES) as u64 && room.end <= (DETOURS.start + DETOURS_LEN) as u64;
            if !fits {
                return Err(Errno::ENOSPC);
            }
            // The last page may have a part that is beyond the file's end.
            self.memory.window(at, len as usize).read_from(file.fd(), Some(offset))?;
            (self.next_image, self.next_room) = (at + len as usize, room.end);
            let file = FileId::of(file.fd().as_raw_fd()).unwrap_or_default();
            let (patches, room) = (Patches::new(SITES), Room::near(room));
            entry.image = Some(Image { start: offset, len, at, base, file, patches, room });
            count(|c| &c.images, 1);
            made = true;
        }
        let image = entry.image.as_mut().expect("made above");
        match image.rewrite(&self.memory, site, frame) {
            Ok(()) => count(|c| &c.sites_rewritten, 1),
            Err(why) => {
                count(|c| &c.sites_refused, 1);
                umlab_model::log!(Debug, "the call at {site:#x} traps: {why}");
                if !made {
                    return Err(Errno::EINVAL);
                }
            }
        }
        Ok(made)
    }
}

impl Image {
    fn rewrite(
        &mut self,
        memory: &SharedMemory,
        site: u64,
        frame: &Frame,
    ) -> std::result::Result<(), umlab_rewrite::Why> {
        use umlab_rewrite::Why;
        // Unwinders know a signal's frame by the instructions of the call that ends it.
        if frame.rax == libc::SYS_rt_sigreturn as u64 {
            return Err(Why::NoRoom);
        }
        let addresses = self.base.wrapping_add(self.start)..self.base.wrapping_add(self.start + self.len);
        let start = site.saturating_sub(BEFORE).max(addresses.start);
        let end = (site + AFTER).min(addresses.end);
        if !addresses.contains(&site) || start >= end {
            return Err(Why::NoSyscall);
        }
        let mut bytes = vec![0; (end - start) as usize];
        let offset = |address: u64| self.at + (address - addresses.start) as usize;
        memory.window(offset(start), bytes.len()).read(&mut bytes).map_err(|_| Why::NoSyscall)?;
        self.patches.restore(start, &mut bytes);
        let registers = Registers {
            general: [
                frame.rax, frame.rcx, frame.rdx, frame.rbx, frame.rsp, frame.rbp, frame.rsi, frame.rdi, frame.r8,
                frame.r9, frame.r10, frame.r11, frame.r12, frame.r13, frame.r14, frame.r15,
            ],
            flags: frame.eflags,
        };
        let site = Site {
            address: site,
            window: Window::new(start, &bytes),
            registers: &registers,
            starts: &[],
            text: umlab_rewrite::Text::Private,
            accessible: &|address| (1 << 16..DETOURS.start as u64).contains(&address),
        };
        let rewrite = self.patches.consider(&site, &self.room, call::entry())?;
        self.room.take(&rewrite);
        for step in self.patches.insert(rewrite)?.apply() {
            let (address, bytes) = match step {
                Step::Place { address, bytes } | Step::Write { address, bytes } => (address, bytes),
                Step::WriteByte { address, byte } => (address, vec![byte]),
                // No user code runs, and whoever does next has passed such an instruction.
                Step::Serialize => continue,
            };
            let at = match address.checked_sub(DETOURS.start as u64) {
                Some(detour) => detour as usize,
                None => offset(address),
            };
            memory.window(at, bytes.len()).write(&bytes).map_err(|_| Why::OutOfReach)?;
        }
        umlab_host::thread::serialize();
        Ok(())
    }
}
