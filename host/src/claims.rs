//! Which host CPUs are taken by guests of one user.
//!
//! A guest CPU keeps to one host CPU, so guests that all began with the first one would share it
//! while others are free. Each therefore puts a claim on the CPUs it chose: a socket that is bound
//! to a name in the host's abstract space. The host takes it back when the guest's last host
//! process has ended, however it ended: processes that share the descriptors of `uml` die just
//! after it. Several can claim one CPU, at different levels; a CPU's lowest free level tells how
//! many are there. Claims are advice: whoever cannot have one goes without.

use crate::{Errno, thread};
use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::process::geteuid;
use std::os::fd::OwnedFd;

/// So many guests find each other on one CPU.
const LEVELS: usize = 64;

/// A host CPU that this process uses.
pub struct Claim {
    pub cpu: usize,
    pub level: usize,
    /// None where nobody else is asked.
    _socket: Option<OwnedFd>,
}

impl Claim {
    /// None when another process has it.
    pub fn at(cpu: usize, level: usize) -> Option<Claim> {
        match bind(cpu, level) {
            Err(Errno::EADDRINUSE) => None,
            socket => Some(Claim { cpu, level, _socket: socket.ok() }),
        }
    }

    /// Without asking anybody.
    fn silent(cpu: usize) -> Claim {
        Claim { cpu, level: 0, _socket: None }
    }
}

/// A stream socket that nobody can connect to, since it does not listen.
fn bind(cpu: usize, level: usize) -> crate::Result<OwnedFd> {
    let socket = net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    let name = format!("umlab-cpu-{}-{cpu}-{level}", geteuid());
    net::bind(&socket, &SocketAddrUnix::new_abstract_name(name.as_bytes())?)?;
    Ok(socket)
}

/// A host CPU for each guest CPU, of those that this process may use: the ones with the fewest
/// claims, and among equals first the one it runs on, where the host put it when it was started.
pub fn choose(count: usize) -> Vec<Claim> {
    let mut allowed = thread::allowed_cpus();
    if allowed.len() == 1 {
        return (0..count).map(|_| Claim::silent(allowed[0])).collect();
    }
    let own = thread::current_cpu();
    let at = allowed.iter().position(|&cpu| Some(cpu) == own).unwrap_or(0);
    allowed.rotate_left(at);
    let mut chosen: Vec<Claim> = Vec::new();
    while chosen.len() < count.min(allowed.len()) {
        let free = |chosen: &[Claim], cpu: usize| chosen.iter().all(|claim| claim.cpu != cpu);
        let claim = (0..LEVELS).find_map(|level| {
            let mut free = allowed.iter().filter(|&&cpu| free(&chosen, cpu));
            free.find_map(|&cpu| Claim::at(cpu, level))
        });
        let next = claim.or_else(|| allowed.iter().find(|&&cpu| free(&chosen, cpu)).map(|&cpu| Claim::silent(cpu)));
        chosen.extend(next);
    }
    for number in chosen.len()..count {
        let shared = chosen[number % allowed.len()].cpu;
        chosen.push(Claim::silent(shared));
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_on_different_cpus_as_far_as_there_are_any() {
        let allowed = thread::allowed_cpus();
        let (one, other) = (choose(allowed.len()), choose(1));
        let mut cpus: Vec<usize> = one.iter().map(|claim| claim.cpu).collect();
        cpus.sort_unstable();
        assert_eq!(cpus, allowed);
        if allowed.len() > 1 {
            assert!(one.iter().all(|claim| claim.cpu != other[0].cpu || claim.level != other[0].level));
            let taken = &one[0];
            assert!(Claim::at(taken.cpu, taken.level).is_none());
        }
        assert_eq!(choose(2 * allowed.len() + 1).len(), 2 * allowed.len() + 1);
    }

    #[test]
    fn a_claim_ends_with_its_holder() {
        let far = thread::allowed_cpus()[0];
        let held = Claim::at(far, LEVELS + 1).unwrap();
        assert!(Claim::at(far, LEVELS + 1).is_none());
        drop(held);
        assert!(Claim::at(far, LEVELS + 1).is_some());
    }
}
