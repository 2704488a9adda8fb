use crate::{Change, Rewrite, Room, Site, Spot, Why, plan};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

/// What is rewritten in one address space, and what was refused.
///
/// It holds so many sites as it is made for, and remembers as many refusals; guests are hostile,
/// and can make any number of either. A rewrite takes up to a kilobyte.
#[derive(Clone, Debug)]
pub struct Patches {
    limit: usize,
    /// By the address of the `syscall`.
    rewrites: BTreeMap<u64, Rewrite>,
    /// The ranges that belong to rewrites, by their beginning: the end, and the rewrite's site. No
    /// two overlap.
    ranges: BTreeMap<u64, (u64, u64)>,
    refused: BTreeMap<u64, Why>,
    /// The sites in `refused`, those first that were refused first.
    order: VecDeque<u64>,
    /// Those that were taken out last: where SIGILL may still come from, and what is there now.
    removed: VecDeque<(u64, Change)>,
}

/// So many of those that were taken out are remembered. A thread needs one only as long as it takes
/// to get from an instruction to the handler of its signal.
const REMOVED: usize = 256;

impl Patches {
    /// Nothing yet, and room for so many rewrites.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            rewrites: BTreeMap::new(),
            ranges: BTreeMap::new(),
            refused: BTreeMap::new(),
            order: VecDeque::new(),
            removed: VecDeque::new(),
        }
    }

    /// Decides about a site as [`plan`] does, but only once. A refusal that is lasting is
    /// remembered; what is planned is not yet part of the set.
    ///
    /// # Errors
    ///
    /// As of [`plan`]; and [`Why::Done`], [`Why::Overlaps`] and [`Why::Full`].
    pub fn consider(&mut self, site: &Site, room: &Room, entry: u64) -> Result<Rewrite, Why> {
        if let Some(why) = self.refusal(site.address) {
            return Err(why);
        }
        if self.rewrites.len() >= self.limit {
            return Err(Why::Full);
        }
        let planned = plan(site, room, entry).and_then(|rewrite| self.check(&rewrite).map(|()| rewrite));
        if let Err(why) = planned {
            self.refuse(site.address, why);
        }
        planned
    }

    /// Why a site is not to be rewritten, if that is known already: the quick answer for a site
    /// that traps again and again.
    pub fn refusal(&self, site: u64) -> Option<Why> {
        if self.rewrites.contains_key(&site) {
            return Some(Why::Done);
        }
        self.refused.get(&site).copied()
    }

    /// Remembers a reason, if it is lasting. When there are too many, the oldest is forgotten.
    pub fn refuse(&mut self, site: u64, why: Why) {
        if !why.is_lasting() || self.limit == 0 {
            return;
        }
        if self.refused.insert(site, why).is_none() {
            self.order.push_back(site);
        }
        if self.order.len() > self.limit {
            let oldest = self.order.pop_front().expect("there is one");
            self.refused.remove(&oldest);
        }
    }

    /// Adds a rewrite: before the first of its steps, since threads may need [`Patches::locate`]
    /// from then on.
    ///
    /// # Errors
    ///
    /// [`Why::Done`], [`Why::Overlaps`] if it shares bytes with another one, [`Why::Full`].
    pub fn insert(&mut self, rewrite: Rewrite) -> Result<&Rewrite, Why> {
        self.check(&rewrite)?;
        let site = rewrite.patch().site();
        for range in rewrite.ranges() {
            self.ranges.insert(range.start, (range.end, site));
        }
        Ok(self.rewrites.entry(site).or_insert(rewrite))
    }

    fn check(&self, rewrite: &Rewrite) -> Result<(), Why> {
        if self.rewrites.contains_key(&rewrite.patch().site()) {
            Err(Why::Done)
        } else if self.rewrites.len() >= self.limit {
            Err(Why::Full)
        } else if rewrite.ranges().any(|range| self.sites(range).next().is_some()) {
            Err(Why::Overlaps)
        } else {
            Ok(())
        }
    }

    /// The rewrite of a site.
    pub fn get(&self, site: u64) -> Option<&Rewrite> {
        self.rewrites.get(&site)
    }

    /// All of them, by the address of the `syscall`.
    pub fn iter(&self) -> impl Iterator<Item = &Rewrite> {
        self.rewrites.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.rewrites.len()
    }

    /// Where an instruction pointer is, if it is in a patch or a detour, and of which site.
    pub fn locate(&self, ip: u64) -> Option<(&Rewrite, Spot)> {
        let site = self.sites(ip..ip.checked_add(1)?).next()?;
        let rewrite = self.rewrites.get(&site)?;
        Some((rewrite, rewrite.locate(ip)?))
    }

    /// Puts the program's own bytes into a copy of memory at `address`.
    pub fn restore(&self, address: u64, copy: &mut [u8]) {
        let end = address.saturating_add(copy.len() as u64);
        for site in self.sites(address..end) {
            self.rewrites[&site].patch().restore(address, copy);
        }
    }

    /// The rewrites that have anything in a range: code, padding or the detour.
    pub fn within(&self, range: Range<u64>) -> Vec<&Rewrite> {
        let mut sites: Vec<u64> = self.sites(range).collect();
        sites.sort_unstable();
        sites.dedup();
        sites.iter().map(|site| &self.rewrites[site]).collect()
    }

    /// Whether SIGILL at an address, where the bytes `now` are, comes from a patch that has been
    /// undone and taken out since. Then the thread is to try again, as at [`Spot::First`].
    pub fn is_stale(&self, ip: u64, now: &[u8]) -> bool {
        self.removed.iter().any(|(lead, jump)| {
            // What the program has there was executed before: it does not raise the signal itself.
            let old = jump.address.checked_sub(ip).and_then(|skip| now.get(usize::try_from(skip).ok()?..));
            (ip == *lead || ip == jump.address) && old.is_some_and(|old| old.starts_with(&jump.old))
        })
    }

    /// Takes out what has code, padding or its detour in a range, and forgets refusals there. What
    /// stays mapped has to be undone before. A detour is to stay where it is, and known by what is
    /// returned, until no thread is in it.
    pub fn remove(&mut self, range: Range<u64>) -> Vec<Rewrite> {
        let sites: Vec<u64> = self.sites(range.clone()).collect();
        let rewrites: Vec<_> = sites.into_iter().filter_map(|site| self.rewrites.remove(&site)).collect();
        for range in rewrites.iter().flat_map(Rewrite::ranges) {
            self.ranges.remove(&range.start);
        }
        let leads = rewrites.iter().map(|one| (one.patch().lead, one.patch().jump.clone()));
        self.removed.extend(leads);
        self.removed.drain(..self.removed.len().saturating_sub(REMOVED));
        self.refused.retain(|site, _| !range.contains(site));
        self.order.retain(|site| !range.contains(site));
        rewrites
    }

    /// Forgets everything, as the address space is given up.
    pub fn clear(&mut self) {
        *self = Self::new(self.limit);
    }

    /// The sites whose rewrites have bytes in a range. A site can come more than once.
    fn sites(&self, range: Range<u64>) -> impl Iterator<Item = u64> {
        // Ranges do not overlap, so all that begin earlier end earlier too.
        let from = range.start;
        let before = self.ranges.range(..range.end).rev();
        before.take_while(move |(_, (end, _))| *end > from).map(|(_, (_, site))| *site)
    }
}
