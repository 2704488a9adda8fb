//! Where guest CPUs run: each on its host CPU, which may become another one. (Guest tasks see to
//! themselves: `context::place`.)

use crate::cpu;
use std::sync::atomic::Ordering::SeqCst;
use umlab_host::placement::Guest;
use umlab_host::thread;

/// How guest CPUs are watched and moved.
pub const GUEST: Guest = Guest { threads: |number| [0, cpu::all()[number].user.load(SeqCst)], moved };

/// The guest CPU has another host CPU from now on.
pub fn moved(number: usize, host_cpu: usize) {
    cpu::count(|c| &c.cpu_moves, 1);
    let cpu = &cpu::all()[number];
    cpu.host_cpu.store(host_cpu, SeqCst);
    let alarm = cpu.alarm.load(SeqCst);
    if alarm != 0 {
        let _ = thread::allow(alarm, [host_cpu]);
    }
    cpu::kick(number);
}
