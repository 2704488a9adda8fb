//! Memory to execute, and a model's part of the work on it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};
use umlab_rewrite::Step;

/// How long a piece of memory is.
pub const LENGTH: u64 = 0x1_0000;

/// Where all memory begins that there is.
static MEMORY: Mutex<Vec<u64>> = Mutex::new(Vec::new());

/// New memory that can be read, written and executed, anywhere or at an address where nothing is.
/// It stays until the process ends.
pub fn memory(at: Option<u64>) -> u64 {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | at.map_or(0, |_| libc::MAP_FIXED_NOREPLACE);
    let rights = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
    let hint = std::ptr::without_provenance_mut(at.unwrap_or(0) as usize);
    // SAFETY: new memory, which takes the place of none.
    let start = unsafe { libc::mmap(hint, LENGTH as usize, rights, flags, -1, 0) };
    assert_ne!(start, libc::MAP_FAILED, "{}", std::io::Error::last_os_error());
    let start = start.expose_provenance() as u64;
    MEMORY.lock().unwrap().push(start);
    start
}

fn byte(address: u64) -> &'static AtomicU8 {
    let memory = MEMORY.lock().unwrap();
    assert!(memory.iter().any(|start| (*start..start + LENGTH).contains(&address)), "{address:#x}");
    // SAFETY: it is in memory that stays, and that is used by atomic operations only.
    unsafe { AtomicU8::from_ptr(std::ptr::with_exposed_provenance_mut(address as usize)) }
}

pub fn write(address: u64, bytes: &[u8]) {
    for (at, new) in (address..).zip(bytes) {
        byte(at).store(*new, Ordering::SeqCst);
    }
}

pub fn read(address: u64, length: usize) -> Vec<u8> {
    (address..).take(length).map(|at| byte(at).load(Ordering::SeqCst)).collect()
}

pub fn carry_out(steps: &[Step]) {
    for step in steps {
        match step {
            Step::Place { address, bytes } | Step::Write { address, bytes } => write(*address, bytes),
            Step::WriteByte { address, byte } => write(*address, &[*byte]),
            Step::Serialize => serialize(),
        }
    }
}

/// All threads of this process execute a serialising instruction.
fn serialize() {
    const REGISTER: i32 = 1 << 6;
    const SERIALIZE: i32 = 1 << 5;
    // SAFETY: the call touches no memory.
    let membarrier = |command: i32| unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) };
    if membarrier(SERIALIZE) != 0 {
        assert_eq!(membarrier(REGISTER), 0, "{}", std::io::Error::last_os_error());
        assert_eq!(membarrier(SERIALIZE), 0, "{}", std::io::Error::last_os_error());
    }
}
