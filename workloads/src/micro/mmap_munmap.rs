use crate::memory::Mapping;
use crate::timing::each;
use crate::{About, Report, Setting, Workload};
use anyhow::{Result, ensure};

/// Mapping memory and giving it back, untouched and touched.
pub struct MmapMunmap;

impl Workload for MmapMunmap {
    fn about(&self) -> About {
        super::about(
            "mmap-munmap",
            super::LOOPS,
            "mmap and munmap, untouched and touched",
            "mmap of private anonymous memory, madvise(MADV_NOHUGEPAGE), munmap; the same with a write to each page in between",
        )
    }

    fn run(&self, setting: &Setting, report: &mut Report) -> Result<()> {
        report.measure("mmap+munmap", setting.effort(), each(|| Mapping::anonymous(1 << 16).map(drop)))?;
        for kib in [64, 1024, 16384] {
            let batch = each(|| {
                let memory = Mapping::anonymous(kib << 10)?;
                ensure!(memory.read(0) == 0, "fresh memory is not zero");
                memory.touch();
                Ok(())
            });
            report.measure(&format!("mmap+touch+munmap, {kib} KiB"), setting.effort(), batch)?;
        }
        Ok(())
    }
}
