//! From a site to a patch and its detour.

use crate::code::{self, SYSCALL};
use crate::detour::{ALIGN, Detour, MAX_DETOUR};
use crate::evidence::{Lead, leads};
use crate::patch::{Change, Patch, Spot, Step};
use crate::{AFTER, BEFORE, FAR_BEFORE, Proof, Room, Site, Text, Why};
use std::ops::Range;

const PAGE: u64 = 4096;
/// How long a jump to a detour is: `jmp rel32`, and `jmp *slot`.
const NEAR: u64 = 5;
const TABLE: u64 = 7;
/// How long `jmp rel8` is, and how far it goes.
const SHORT: u64 = 2;
const SHORT_REACH: u64 = 127;

/// How a patch leads to its detour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// By `jmp rel32`.
    Near,
    /// By `jmp *slot`: through a table in the first 2 GiB.
    Table,
    /// By `jmp rel8` to padding, and from there by one of the others.
    Short,
}

/// All that is to be done for a site, and what has to be known of it later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrite {
    patch: Patch,
    detour: Detour,
    form: Form,
    proof: Proof,
}

impl Rewrite {
    /// The bytes that are changed.
    pub fn patch(&self) -> &Patch {
        &self.patch
    }

    /// The code to place.
    pub fn detour(&self) -> &Detour {
        &self.detour
    }

    /// How one leads to the other.
    pub fn form(&self) -> Form {
        self.form
    }

    /// Why it is right.
    pub fn proof(&self) -> Proof {
        self.proof
    }

    /// How to write it.
    pub fn apply(&self) -> Vec<Step> {
        self.patch.apply(&self.detour)
    }

    /// Where in the patch or the detour an instruction pointer is.
    pub fn locate(&self, ip: u64) -> Option<Spot> {
        self.patch.locate(ip).or_else(|| self.detour.original(ip).map(Spot::Ours))
    }

    /// The addresses that belong to it: of code on which it depends, of padding, and of the detour.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = Range<u64>> {
        let second = self.patch.second.as_ref().map(Change::range);
        [Some(self.patch.code()), second, Some(self.detour.range())].into_iter().flatten()
    }
}

/// Decides how to rewrite a site. The detour comes to the beginning of `room`, and ends in a jump
/// to `entry`. Nothing is changed, and nothing is taken from the room.
///
/// # Errors
///
/// Says why the site has to go on trapping, or, if that is not [`Why::is_lasting`], why this cannot
/// be decided now.
pub fn plan(site: &Site, room: &Room, entry: u64) -> Result<Rewrite, Why> {
    if site.address > u64::MAX - PAGE {
        return Err(Why::NoSyscall);
    }
    let behind = site.address + SYSCALL.len() as u64;
    if site.window.get(site.address..behind) != Some(&SYSCALL) {
        return Err(Why::NoSyscall);
    }
    let before = if site.starts.is_empty() { BEFORE + code::LONGEST as usize } else { FAR_BEFORE };
    let range = site.address.saturating_sub(before as u64)..site.address.saturating_add(AFTER as u64);
    let site = &Site { window: site.window.narrow(range), ..*site };
    match site.text {
        Text::Private => {}
        Text::Shared => return Err(Why::Shared),
        Text::Writable => return Err(Why::Writable),
    }
    // The first reason is of what stands closest to the call. One that is not lasting goes first:
    // it must not be taken for a final answer.
    let mut reason = None;
    for lead in leads(site) {
        match lead.and_then(|lead| build(site, &lead, room, entry)) {
            Ok(rewrite) => return Ok(rewrite),
            Err(why) if reason.is_none_or(|reason: Why| reason.is_lasting() && !why.is_lasting()) => reason = Some(why),
            Err(_) => {}
        }
    }
    Err(reason.unwrap_or(Why::NoRoom))
}

fn build(site: &Site, lead: &Lead, room: &Room, entry: u64) -> Result<Rewrite, Why> {
    let window = &site.window;
    if lead.start() / PAGE != (site.address + 1) / PAGE {
        return Err(Why::CrossesPage);
    }
    let detour = room.detours.start.checked_next_multiple_of(ALIGN).ok_or(Why::OutOfReach)?;
    detour.checked_add(MAX_DETOUR).ok_or(Why::OutOfReach)?;

    let start = lead.start() + lead.kept;
    let (form, jump, second, slot) = if lead.end() - start >= NEAR {
        let jump = Jump::to(detour, start, lead.end(), site, room)?;
        let form = if jump.slot.is_some() { Form::Table } else { Form::Near };
        (form, jump.bytes, None, jump.slot)
    } else {
        let padding = padding(site, lead)?;
        let distance = i8::try_from(padding.start - (start + SHORT)).map_err(|_| Why::NoPadding)?;
        let jump = Jump::to(detour, padding.start, padding.end, site, room)?;
        let second = change(site, padding.start, jump.bytes).ok_or(Why::NoPadding)?;
        (Form::Short, vec![0xeb, distance as u8], Some(second), jump.slot)
    };
    let jump = change(site, start, jump).ok_or(Why::Clipped)?;

    let detour = Detour::new(window, &lead.run, site.address, detour, entry, slot)?;
    if detour.range().end > room.detours.end {
        return Err(Why::OutOfReach);
    }
    let patch = Patch { site: site.address, lead: lead.start(), jump, second };
    Ok(Rewrite { patch, detour, form, proof: lead.proof })
}

fn change(site: &Site, address: u64, new: Vec<u8>) -> Option<Change> {
    let old = site.window.get(address..address + new.len() as u64)?.to_vec();
    Some(Change { address, old, new })
}

/// A jump to a detour.
struct Jump {
    /// Only those that differ from what is there: the last ones of a jump through the table can be
    /// of the code behind.
    bytes: Vec<u8>,
    slot: Option<u64>,
}

impl Jump {
    /// A jump at `start` that changes no byte from `end` on.
    fn to(detour: u64, start: u64, end: u64, site: &Site, room: &Room) -> Result<Self, Why> {
        if end - start < NEAR {
            return Err(Why::NoPadding);
        }
        if let Ok(distance) = i32::try_from(detour.wrapping_sub(start + NEAR) as i64) {
            let mut bytes = vec![0xe9];
            bytes.extend(distance.to_le_bytes());
            return Ok(Self { bytes, slot: None });
        }
        let own = end.min(start + TABLE);
        let given = site.window.get(own..start + TABLE).ok_or(Why::OutOfReach)?;
        // The last bytes of the slot's address are given, so they say in which range it has to be.
        let free = 8 * (4 - given.len());
        let upper = given.iter().rev().fold(0, |upper, byte| upper << 8 | u64::from(*byte)) << free;
        let slot = room.slot(upper..upper + (1 << free)).ok_or(Why::OutOfReach)?;
        let mut bytes = vec![0xff, 0x24, 0x25];
        bytes.extend((slot as u32).to_le_bytes());
        bytes.truncate((own - start) as usize);
        Ok(Self { bytes, slot: Some(slot) })
    }
}

/// Padding behind the code after the `syscall`, in reach of a short jump in the lead's place.
///
/// The `syscall` is a known start, so decoding from it is sure. What lies behind an instruction
/// that never goes on with the next one, does nothing, and ends where code is aligned, is not
/// executed.
fn padding(site: &Site, lead: &Lead) -> Result<Range<u64>, Why> {
    let window = &site.window;
    let behind = site.address + SYSCALL.len() as u64;
    let start = code::end_of_flow(window, behind).ok_or(Why::NoPadding)?;
    let end = code::padding(window, start);
    let range = start..end.min(start + TABLE);
    let reached = start - (lead.start() + SHORT) <= SHORT_REACH;
    let known = site.starts.iter().any(|start| (range.start..end).contains(start));
    let in_page = start / PAGE == lead.start() / PAGE && (range.end - 1) / PAGE == start / PAGE;
    if end - start < NEAR || !end.is_multiple_of(8) || !reached || known || !in_page {
        return Err(Why::NoPadding);
    }
    Ok(range)
}
