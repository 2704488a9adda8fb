//! A guest thread on a CPU of the target's choice, whose state is what the kernel last set. It
//! refuses nothing: what a CPU would refuse is a find.

use umlab_kernel::Result;
use umlab_model::{ModelSpace, Regs, Trap, UserThread};

pub const LEGACY: usize = 512;
pub const MXCSR: usize = 24;
/// Where the kernel finds the CPU's features in an image.
const SOFTWARE: usize = 464;

/// CPUs as there are: which components of the extended state they have, and the length of its
/// image.
pub const CPUS: [(u64, usize); 5] = [(0x3, 576), (0x7, 832), (0xe7, 2688), (0x2e7, 2696), (0x602e7, 11008)];

pub struct FuzzedThread {
    pub regs: Regs,
    pub extended: Vec<u8>,
    /// XCR0.
    pub components: u64,
}

impl FuzzedThread {
    /// A thread on the CPU `CPUS[cpu]`.
    pub fn new(cpu: usize) -> FuzzedThread {
        let (components, len) = CPUS[cpu];
        let regs = Regs::fresh();
        let mut thread = FuzzedThread { regs, extended: vec![0; len], components };
        thread.reset_extended_state();
        thread
    }
}

pub fn word32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

pub fn word64(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// Whether XRSTOR of all components takes the image (Intel SDM, volume 1, 13.8): known components,
/// in the standard form, and no reserved bits.
fn cpu_takes(image: &[u8], components: u64) -> bool {
    word64(image, LEGACY) & !components == 0
        && image[LEGACY + 8..LEGACY + 64].iter().all(|&byte| byte == 0)
        && word32(image, MXCSR) & !umlab_host::fpu::mxcsr_mask() == 0
}

impl UserThread for FuzzedThread {
    fn run(&mut self, _space: &dyn ModelSpace) -> Trap {
        panic!("there is no user code")
    }

    fn regs(&mut self) -> &Regs {
        &self.regs
    }

    fn regs_mut(&mut self) -> &mut Regs {
        &mut self.regs
    }

    fn set_result(&mut self, value: u64) {
        self.regs.rax = value;
    }

    fn read_extended_state(&mut self, image: &mut Vec<u8>) {
        image.clone_from(&self.extended);
    }

    fn set_extended_state(&mut self, image: &[u8]) -> Result<()> {
        assert_eq!(image.len(), self.extended.len(), "an image of another CPU's length");
        assert!(cpu_takes(image, self.components), "extended state that the CPU refuses");
        self.extended.copy_from_slice(image);
        self.extended[SOFTWARE..LEGACY].fill(0);
        self.extended[SOFTWARE..SOFTWARE + 8].copy_from_slice(&self.components.to_le_bytes());
        Ok(())
    }

    fn reset_extended_state(&mut self) {
        self.extended.fill(0);
        self.extended[0..2].copy_from_slice(&0x37fu16.to_le_bytes());
        self.extended[MXCSR..MXCSR + 4].copy_from_slice(&0x1f80u32.to_le_bytes());
        self.extended[SOFTWARE..SOFTWARE + 8].copy_from_slice(&self.components.to_le_bytes());
    }

    fn timestamps(&self) -> bool {
        true
    }

    fn set_timestamps(&mut self, _on: bool) {}

    fn reset(&mut self) {
        let cpu = CPUS.iter().position(|cpu| cpu.0 == self.components).expect("made of one of them");
        *self = FuzzedThread::new(cpu);
    }

    fn duplicate(&mut self) -> Box<dyn UserThread> {
        let (regs, extended) = (self.regs, self.extended.clone());
        Box::new(FuzzedThread { regs, extended, components: self.components })
    }
}
