//! ptrace(2).

use super::{Call, Entry, entry};
use crate::mm::AddressSpace;
use crate::mm::user::{bytes_of, bytes_of_mut, zeroed};
use crate::task::ptrace::control::{self, CallInfo};
use crate::task::ptrace::{self, Options, Pace};
use crate::task::signal::{NSIG, SigInfo, SigSet};
use crate::task::user_dispatch::UserDispatch;
use crate::task::{Task, find};
use crate::{Errno, Result};
use abi::number::{Low, to_usize};
use std::sync::Arc;
use umlab_model::Regs;

pub const CALLS: &[Entry] = &[entry(abi::SYS_ptrace, "ptrace", "ddPP", sys_ptrace)];

const PEEKSIGINFO_SHARED: u32 = 1;

/// Bytes of `struct ptrace_sud_config`: mode, selector, offset and length.
const USER_DISPATCH_SIZE: u64 = 32;
/// FXSAVE's image, at the beginning of XSAVE's.
const FXSAVE: usize = 512;
/// Of `struct user` as the kernel has it: its size, and where the debug registers are in it.
const USER_SIZE: u64 = 928;
const DEBUG_REGISTERS: std::ops::Range<u64> = 848..912;

/// A request from one tracer to one tracee.
struct Request<'a> {
    target: &'a Arc<Task>,
    /// The tracer's memory.
    space: Arc<AddressSpace>,
    addr: u64,
    data: u64,
}

fn sys_ptrace(call: &mut Call<'_>) -> Result<u64> {
    // No request has bits above those of an int.
    let (request, tid) = (u32::try_from(call.args[0]).unwrap_or(u32::MAX), call.int(1));
    let [_, _, addr, data, ..] = call.args;
    match request {
        abi::PTRACE_TRACEME => return ptrace::trace_me(call.task).map(|()| 0),
        abi::PTRACE_ATTACH => {
            let target = find(tid).ok_or(Errno::ESRCH)?;
            return ptrace::attach(call.task, &target, None).map(|()| 0);
        }
        abi::PTRACE_SEIZE => {
            let target = find(tid).ok_or(Errno::ESRCH)?;
            let options = u32::try_from(data).ok().and_then(Options::from_bits).filter(|_| addr == 0);
            return ptrace::attach(call.task, &target, Some(options.ok_or(Errno::EIO)?)).map(|()| 0);
        }
        abi::PTRACE_KILL => {
            control::kill(&control::tracee(call.task, tid)?);
            return Ok(0);
        }
        abi::PTRACE_INTERRUPT => return control::interrupt(&control::tracee(call.task, tid)?).map(|()| 0),
        _ => {}
    }
    let target = control::stopped_tracee(call.task, tid)?;
    Request { target: &target, space: call.task.space(), addr, data }.carry_out(request)
}

impl Request<'_> {
    /// What can only be asked of a tracee that is stopped. Returns the call's result.
    fn carry_out(&self, request: u32) -> Result<u64> {
        let target = self.target;
        match request {
            abi::PTRACE_DETACH => ptrace::detach(target, signal_of(self.data.low_u32().into())?),
            abi::PTRACE_CONT => control::let_go(target, Pace::Free, self.signal()?)?,
            abi::PTRACE_SYSCALL => control::let_go(target, Pace::Syscall, self.signal()?)?,
            abi::PTRACE_SINGLESTEP => control::let_go(target, Pace::Step, self.signal()?)?,
            abi::PTRACE_SYSEMU => control::let_go(target, Pace::Emulate, self.signal()?)?,
            abi::PTRACE_LISTEN => control::listen(target)?,
            abi::PTRACE_PEEKTEXT | abi::PTRACE_PEEKDATA => {
                let mut word = 0u64;
                let memory = control::memory(target)?;
                memory.peek(self.addr, bytes_of_mut(&mut word)).map_err(|_| Errno::EIO)?;
                self.space.write(self.data, &word)?;
            }
            abi::PTRACE_POKETEXT | abi::PTRACE_POKEDATA => {
                let memory = control::memory(target)?;
                let result = memory.poke(self.addr, bytes_of(&self.data));
                memory.collect();
                result.map_err(|_| Errno::EIO)?;
            }
            abi::PTRACE_PEEKUSER => self.space.write(self.data, &self.peek_user()?)?,
            abi::PTRACE_POKEUSER => self.poke_user()?,
            abi::PTRACE_GETREGS => self.space.write_bytes(self.data, bytes_of(&control::regs(target)?))?,
            abi::PTRACE_SETREGS => {
                let mut regs: Regs = zeroed();
                self.space.read_bytes(self.data, bytes_of_mut(&mut regs))?;
                control::set_regs(target, &regs)?;
            }
            abi::PTRACE_GETFPREGS => self.space.write_bytes(self.data, &self.fxsave()?)?,
            abi::PTRACE_SETFPREGS => {
                let mut state = [0; FXSAVE];
                self.space.read_bytes(self.data, &mut state)?;
                control::set_extended_state(target, &state)?;
            }
            abi::PTRACE_GETREGSET => self.get_register_set()?,
            abi::PTRACE_SETREGSET => self.set_register_set()?,
            abi::PTRACE_SETOPTIONS => control::set_options(target, self.data)?,
            abi::PTRACE_GETEVENTMSG => self.space.write(self.data, &control::message(target))?,
            abi::PTRACE_GETSIGINFO => self.space.write_bytes(self.data, control::signal_info(target)?.bytes())?,
            abi::PTRACE_SETSIGINFO => {
                let mut bytes = [0; SigInfo::SIZE];
                self.space.read_bytes(self.data, &mut bytes)?;
                control::set_signal_info(target, SigInfo::from_bytes(&bytes))?;
            }
            abi::PTRACE_PEEKSIGINFO => return self.peek_signals(),
            abi::PTRACE_GETSIGMASK if self.addr == 8 => self.space.write(self.data, &control::mask(target).0)?,
            abi::PTRACE_SETSIGMASK if self.addr == 8 => {
                control::set_mask(target, SigSet(self.space.read(self.data)?).as_mask());
            }
            abi::PTRACE_GETSIGMASK | abi::PTRACE_SETSIGMASK => return Err(Errno::EINVAL),
            abi::PTRACE_GET_SYSCALL_INFO => return self.syscall_info(),
            abi::PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG if self.addr == USER_DISPATCH_SIZE => {
                let words = match target.user_dispatch.get() {
                    Some(on) => [abi::PR_SYS_DISPATCH_EXCLUSIVE_ON, on.selector, on.start, on.len],
                    None => [abi::PR_SYS_DISPATCH_OFF, 0, 0, 0],
                };
                self.space.write(self.data, &words)?;
            }
            abi::PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG if self.addr == USER_DISPATCH_SIZE => {
                let [mode, selector, start, len] = self.space.read::<[u64; 4]>(self.data)?;
                target.user_dispatch.set(UserDispatch::from_arguments(mode, start, len, selector)?);
            }
            abi::PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG | abi::PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG => {
                return Err(Errno::EINVAL);
            }
            _ => return Err(Errno::EIO),
        }
        Ok(0)
    }

    /// The signal with which the tracee goes on, or 0.
    fn signal(&self) -> Result<i32> {
        signal_of(self.data)
    }

    /// The word of `struct user` that is asked for: EIO for none.
    fn user_word(&self) -> Result<usize> {
        if self.addr.is_multiple_of(8) && self.addr < USER_SIZE { Ok(to_usize(self.addr) / 8) } else { Err(Errno::EIO) }
    }

    fn peek_user(&self) -> Result<u64> {
        let word = self.user_word()?;
        let regs = control::regs(self.target)?;
        // What lies behind the registers is not kept, the debug registers' values neither.
        Ok(bytes_of(&regs).chunks_exact(8).nth(word).map_or(0, word_of))
    }

    fn poke_user(&self) -> Result<()> {
        let word = self.user_word()?;
        let mut regs = control::regs(self.target)?;
        match bytes_of_mut(&mut regs).chunks_exact_mut(8).nth(word) {
            Some(place) => place.copy_from_slice(&self.data.to_le_bytes()),
            // Guests have no debug registers; that they are not used is no lie.
            None if DEBUG_REGISTERS.contains(&self.addr) && self.data == 0 => return Ok(()),
            None if DEBUG_REGISTERS.contains(&self.addr) => return Err(Errno::EINVAL),
            None => return Err(Errno::EIO),
        }
        control::set_regs(self.target, &regs)
    }

    fn fxsave(&self) -> Result<Vec<u8>> {
        let mut state = control::extended_state(self.target)?;
        state.resize(FXSAVE, 0);
        Ok(state)
    }

    /// The address and length of the tracer's buffer, and the whole set.
    fn register_set(&self) -> Result<(u64, usize, Vec<u8>)> {
        let set = match self.addr.low_u32() {
            abi::NT_PRSTATUS => bytes_of(&control::regs(self.target)?).to_vec(),
            abi::NT_PRFPREG => self.fxsave()?,
            abi::NT_X86_XSTATE => control::extended_state(self.target)?,
            _ => return Err(Errno::EINVAL),
        };
        let [addr, len] = self.space.read::<[u64; 2]>(self.data)?;
        if !len.is_multiple_of(8) {
            return Err(Errno::EINVAL);
        }
        Ok((addr, to_usize(len).min(set.len()), set))
    }

    fn get_register_set(&self) -> Result<()> {
        let (addr, len, set) = self.register_set()?;
        self.space.write_bytes(addr, &set[..len])?;
        self.space.write(self.data.wrapping_add(8), &(len as u64))
    }

    fn set_register_set(&self) -> Result<()> {
        let (addr, len, mut set) = self.register_set()?;
        let whole = len == set.len();
        self.space.read_bytes(addr, &mut set[..len])?;
        match self.addr.low_u32() {
            abi::NT_PRSTATUS => {
                let mut regs: Regs = zeroed();
                bytes_of_mut(&mut regs).copy_from_slice(&set);
                control::set_regs(self.target, &regs)?;
            }
            // A part of it says too little of what the rest is to be.
            abi::NT_X86_XSTATE if !whole => return Err(Errno::EFAULT),
            _ => control::set_extended_state(self.target, &set)?,
        }
        self.space.write(self.data.wrapping_add(8), &(len as u64))
    }

    fn peek_signals(&self) -> Result<u64> {
        let [from, rest] = self.space.read::<[u64; 2]>(self.addr)?;
        let flags = rest.low_u32();
        let count = usize::try_from((rest >> 32).low_i32()).map_err(|_| Errno::EINVAL)?;
        if flags & !PEEKSIGINFO_SHARED != 0 {
            return Err(Errno::EINVAL);
        }
        let shared = flags & PEEKSIGINFO_SHARED != 0;
        let found = control::pending(self.target, shared, from, count);
        for (i, info) in found.iter().enumerate() {
            let copied = self.space.write_bytes(self.data.wrapping_add((i * SigInfo::SIZE) as u64), info.bytes());
            match copied {
                Err(_) if i > 0 => return Ok(i as u64),
                result => result?,
            }
        }
        Ok(found.len() as u64)
    }

    fn syscall_info(&self) -> Result<u64> {
        let (info, regs) = control::call_info(self.target)?;
        let mut out = vec![0u8; 4];
        out.extend(abi::AUDIT_ARCH_X86_64.to_le_bytes());
        out.extend(regs.rip.to_le_bytes());
        out.extend(regs.rsp.to_le_bytes());
        match info {
            CallInfo::Neither => {}
            CallInfo::Entry { number, args } => {
                out[0] = 1;
                out.extend(number.to_le_bytes());
                out.extend(args.iter().flat_map(|arg| arg.to_le_bytes()));
            }
            CallInfo::Exit { result } => {
                out[0] = 2;
                out.extend(result.to_le_bytes());
                out.push(u8::from((-4095..0).contains(&result)));
            }
        }
        let len = to_usize(self.addr).min(out.len());
        self.space.write_bytes(self.data, &out[..len])?;
        Ok(out.len() as u64)
    }
}

fn signal_of(data: u64) -> Result<i32> {
    i32::try_from(data).ok().filter(|&signal| signal <= NSIG).ok_or(Errno::EIO)
}

fn word_of(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().expect("eight bytes"))
}
