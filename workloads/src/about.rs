//! What a workload says of itself.

use crate::protocol::Entry;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    KernelBuild,
    ForkExec,
    Micro,
    Apps,
    /// What the host's own mechanisms cost; there is nothing to run in a guest.
    Primitives,
}

impl Group {
    pub fn name(self) -> &'static str {
        match self {
            Group::KernelBuild => "kernel-build",
            Group::ForkExec => "fork-exec",
            Group::Micro => "micro",
            Group::Apps => "apps",
            Group::Primitives => "primitives",
        }
    }
}

/// How much of it is run.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub name: &'static str,
    /// What it takes on a machine of 2026, in seconds: for plans, never for results.
    pub seconds: f64,
}

/// Something that `--param KEY=VALUE` sets.
#[derive(Clone, Copy, Debug)]
pub struct Param {
    pub key: &'static str,
    pub meaning: &'static str,
}

#[derive(Clone, Copy, Debug)]
pub struct About {
    pub name: &'static str,
    pub group: Group,
    pub summary: &'static str,
    /// What one operation is, exactly; lmbench's name for it where it has one.
    pub definition: &'static str,
    /// What a reader of its figures has to know, where they are not what one would expect. Empty
    /// for most.
    pub remark: &'static str,
    /// Smallest first. `smoke` is for tests and quick runs, `quick` for ordinary ones, `full` for
    /// long ones.
    pub sizes: &'static [Size],
    pub params: &'static [Param],
    /// Programs that must be on the PATH.
    pub needs: &'static [&'static str],
}

impl About {
    /// Its row in the list that the harness reads, but for what its sizes can begin with.
    pub fn entry(&self) -> Entry {
        Entry {
            name: self.name.into(),
            group: self.group.name().into(),
            summary: self.summary.into(),
            definition: self.definition.into(),
            remark: self.remark.into(),
            sizes: self.sizes.iter().map(|size| size.name.into()).collect(),
            seconds: self.sizes.iter().map(|size| (size.name.into(), size.seconds)).collect(),
            params: self.params.iter().map(|param| (param.key.into(), param.meaning.into())).collect(),
            prepared: Default::default(),
            needs: self.needs.iter().map(|&program| program.into()).collect(),
            host_only: self.group == Group::Primitives,
        }
    }
}

/// The table in README.md.
pub fn table(abouts: &[About]) -> String {
    let mut text = String::from(
        "| workload | group | one operation, or the work | on the host: smoke, quick, full |\n|---|---|---|---|\n",
    );
    for about in abouts {
        let usual = about.sizes.iter().all(|size| ["smoke", "quick", "full"].contains(&size.name));
        let seconds = about.sizes.iter().map(|size| match usual {
            true => format!("{} s", size.seconds),
            false => format!("`{}` {} s", size.name, size.seconds),
        });
        let seconds: Vec<String> = seconds.collect();
        text +=
            &format!("| `{}` | {} | {} | {} |\n", about.name, about.group.name(), about.definition, seconds.join(", "));
    }
    text
}
