//! The audit: whether what the core lists, what a model believes, and what the host shows of guest
//! memory agree.
//!
//! Isolation between guest processes rests on one rule: user code reaches a frame only where its
//! own address space has it. No single piece of code keeps that rule, so it can be checked from
//! outside of them all. For each address space the audit takes what user code would find in every
//! host process that serves it (the host's own list of its mappings, and on top of it the orders
//! that the model still has to carry out), and compares that with the core's areas and pages. A
//! process in a model's pool must show a fresh address space. And frames that are free give their
//! memory back to the host, are kept from use for as long as can be, and must be empty until then.
//!
//! Host mappings are a cache: what is missing there is no fault. What is there and should not be
//! ends the guest kernel, with a message.
//!
//! It is off unless it is asked for, because it costs much: see [`start`]. Tests and fuzzers run
//! with it.

pub mod quarantine;

use super::frames;
use super::space::{AddressSpace, Inner};
use super::vma::{Backing, Vma, page_of};
use crate::lock::KCell;
use crate::sched::model;
use crate::time;
use std::sync::Weak;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use umlab_model::view::{self, HostView, Shown, What};
use umlab_model::{PAGE_SIZE, PageRange, Prot};

/// One of so many traps is followed by a look; 0 for no audit.
static EVERY: AtomicU32 = AtomicU32::new(0);
/// So many looks at one address space come to one at everything.
const SPACES_TO_ALL: u64 = 16;

static STATE: KCell<State> = KCell::new(State { random: 1, looks: 0, rest_until: 0, spaces: Vec::new() });

struct State {
    /// Looks come at random moments, so that no program keeps in step with them.
    random: u64,
    looks: u64,
    /// After a look the guest has as much time as the look took (CLOCK_MONOTONIC, ns): what has
    /// many mappings would not get on otherwise.
    rest_until: u64,
    spaces: Vec<Weak<AddressSpace>>,
}

/// Has one of `every` traps followed by a look. Called once, before there is any guest memory.
pub fn start(every: u32) {
    EVERY.store(every, Relaxed);
}

pub fn is_on() -> bool {
    EVERY.load(Relaxed) != 0
}

/// A new address space.
pub fn register(space: Weak<AddressSpace>) {
    if is_on() {
        let mut state = STATE.borrow_mut();
        state.spaces.retain(|space| space.strong_count() > 0);
        state.spaces.push(space);
    }
}

/// A task has come out of user mode and is about to enter it again in `space`.
pub fn after_trap(space: &AddressSpace) {
    let every = EVERY.load(Relaxed);
    if every != 0 && is_time(every) {
        look(space);
    }
}

fn is_time(every: u32) -> bool {
    let mut state = STATE.borrow_mut();
    // Knuth's linear congruential generator.
    state.random = state.random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
    (state.random >> 33).is_multiple_of(u64::from(every))
}

fn look(space: &AddressSpace) {
    let begin = time::now();
    if begin < STATE.borrow().rest_until {
        return;
    }
    space_agrees(space);
    let (all, spaces) = {
        let mut state = STATE.borrow_mut();
        state.looks += 1;
        let all = state.looks.is_multiple_of(SPACES_TO_ALL);
        (all, if all { state.spaces.clone() } else { Vec::new() })
    };
    if all {
        spaces.iter().filter_map(Weak::upgrade).for_each(|space| space_agrees(&space));
        model().audit_idle().iter().for_each(idle_agrees);
        report(frames::find_touched());
    }
    let end = time::now();
    STATE.borrow_mut().rest_until = end + (end - begin);
}

/// An address space is about to be given up, with all it has.
pub fn before_end(space: &AddressSpace) {
    if is_on() {
        space_agrees(space);
    }
}

/// A host process goes into a pool or comes out of it; `view` is what the next address space will
/// find there.
pub fn pooled(view: &dyn Fn() -> Option<HostView>) {
    if is_on() {
        view().iter().for_each(idle_agrees);
    }
}

fn space_agrees(space: &AddressSpace) {
    let inner = space.inner.borrow();
    // One that has ended has given everything up, and nobody enters it again.
    if inner.vmas.len() == 0 {
        return;
    }
    report(stray_pages(&inner));
    for view in space.host.audit() {
        report(compare(&inner, &view).map(|wrong| format!("address space {}, {wrong}", space.id)));
    }
}

fn idle_agrees(view: &HostView) {
    report(compare(&Inner::fresh(), view).map(|wrong| format!("a pool, {wrong}")));
}

/// Ends the guest when something was found.
fn report(found: Option<String>) {
    if let Some(found) = found {
        panic!("the audit found: {found}");
    }
}

/// Private pages where there is no area.
fn stray_pages(inner: &Inner) -> Option<String> {
    let runs = inner.pages.within(0, u64::MAX).map(|(first, _, count, _)| (first, first + u64::from(count)));
    let mut stray =
        runs.filter(|&(from, to)| PageRange::of_pages(from, to).is_none_or(|range| !inner.vmas.covers(range)));
    stray
        .next()
        .map(|(from, to)| format!("private pages at {:#x}-{:#x}, where no area is", from * PAGE_SIZE, to * PAGE_SIZE))
}

/// What is wrong with a view of an address space, if anything is.
fn compare(inner: &Inner, view: &HostView) -> Option<String> {
    view.shown().iter().find_map(|shown| {
        let wrong = compare_areas(inner, shown)?;
        let (start, end, prot) = (shown.start, shown.end, shown.prot);
        Some(format!("host process {}: {start:#x}-{end:#x} ({prot:?}) shows {:x?}, {wrong}", view.pid, shown.what))
    })
}

fn compare_areas(inner: &Inner, shown: &Shown) -> Option<String> {
    let mut at = shown.start;
    while at < shown.end {
        let Some(vma) = inner.vmas.find(at) else { return Some(format!("but nothing is mapped at {at:#x}")) };
        let part = shown.part(at, vma.end())?;
        if let Some(wrong) = compare_pages(inner, vma, &part) {
            let (start, end, prot) = (vma.start(), vma.end(), vma.prot);
            return Some(format!("but in the area {start:#x}-{end:#x} ({prot:?}) {wrong}"));
        }
        at = part.end;
    }
    None
}

/// Of a part of one area.
fn compare_pages(inner: &Inner, vma: &Vma, shown: &Shown) -> Option<String> {
    // The processor cannot refuse reading what may be written or executed.
    let allowed = if vma.prot.is_empty() { vma.prot } else { vma.prot | Prot::READ };
    if !allowed.contains(shown.prot) {
        return Some("there are fewer rights".into());
    }
    let (mut page, end) = (page_of(shown.start), page_of(shown.end));
    while page < end {
        let run = inner.pages.within(page, end).next();
        let first = run.as_ref().map_or(end, |run| run.0);
        if page < first {
            let part = shown.part(page * PAGE_SIZE, first * PAGE_SIZE)?;
            if let Some(wrong) = compare_backing(vma, &part) {
                return Some(wrong);
            }
        }
        let Some((first, index, count, run)) = run else { break };
        let at = first * PAGE_SIZE;
        let own = run.frames.offset() + u64::from(index) * PAGE_SIZE;
        if shown.part(at, end * PAGE_SIZE)?.what != (What::Physmem { offset: own }) {
            return Some(format!("there are private pages at {at:#x}, from {own:#x} of physmem on"));
        }
        if run.host_ro && shown.prot.contains(Prot::WRITE) {
            return Some(format!("the private pages at {at:#x} are shared with another address space"));
        }
        page = first + u64::from(count);
    }
    None
}

/// Of a part in which the address space has no private pages.
fn compare_backing(vma: &Vma, shown: &Shown) -> Option<String> {
    let start = shown.start;
    if !vma.is_shared() && shown.prot.contains(Prot::WRITE) {
        return Some(format!("there is no private page to be written at {start:#x}"));
    }
    match (&vma.backing, &shown.what) {
        (Backing::Model(name, _), What::Named(named)) if is_part_of(named, name) => None,
        (Backing::Host(file), What::File { id, offset, shared }) => {
            let own = view::id_of(&**file);
            // Some file systems have the host list another device, with other numbers.
            let same = own == *id || own.device != id.device;
            let right = same && *offset == vma.offset_of(start) && *shared == vma.is_shared();
            (!right).then(|| format!("there is the file {own:?} from {:#x} on at {start:#x}", vma.offset_of(start)))
        }
        (Backing::Pages(source), What::Physmem { .. }) => {
            let mut page = page_of(start);
            while page < page_of(shown.end) {
                let at = page * PAGE_SIZE;
                let most = frames::frame_count(page_of(shown.end) - page);
                let Some(frames) = source.present(page_of(vma.offset_of(at)), most) else {
                    return Some(format!("what is behind it has no page for {at:#x}"));
                };
                if shown.part(at, shown.end)?.what != (What::Physmem { offset: frames.offset() }) {
                    return Some(format!("what is behind it has {:#x} of physmem for {at:#x}", frames.offset()));
                }
                page += u64::from(frames.count());
            }
            None
        }
        _ => Some(format!("no such thing is behind it at {start:#x}")),
    }
}

/// The host has more names for the parts of its vDSO than the core.
fn is_part_of(named: &str, area: &str) -> bool {
    named.starts_with(area.trim_end_matches(']'))
}

#[cfg(test)]
mod tests;
