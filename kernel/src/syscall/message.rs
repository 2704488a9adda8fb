//! Sending and receiving over sockets, with control messages (cmsg(3)).

use super::socket::{read_address, with_socket, write_address};
use super::timeout::{deadline, left, read_timespec};
use super::{Call, Entry, entry};
use crate::mm::user::{MAX_TRANSFER, bytes_of, check_range};
use crate::mm::{AddressSpace, IoBuf};
use crate::net::unix::MAX_RIGHTS;
use crate::net::{Incoming, MAX_ADDRESS, Outgoing, Socket, wait_flag};
use crate::task::{Task, find_process};
use crate::vfs::file::OpenFile;
use crate::{Errno, Result, time};
use abi::number::{Low, saturated_i32, to_usize};
use std::sync::Arc;
use umlab_abi::socket::Ucred;

pub const CALLS: &[Entry] = &[
    entry(abi::SYS_sendto, "sendto", "fb-xPd", sendto),
    entry(abi::SYS_recvfrom, "recvfrom", "fPuxPP", recvfrom),
    entry(abi::SYS_sendmsg, "sendmsg", "fPx", sendmsg),
    entry(abi::SYS_recvmsg, "recvmsg", "fPx", recvmsg),
    entry(abi::SYS_sendmmsg, "sendmmsg", "fPux", sendmmsg),
    entry(abi::SYS_recvmmsg, "recvmmsg", "fPuxP", recvmmsg),
];

/// sizeof(struct cmsghdr), and what control messages are aligned to.
const HEADER: usize = 16;
/// net.core.optmem_max.
const MAX_CONTROL: u64 = 131_072;
/// UIO_MAXIOV: most segments of a message, and messages of one call.
const MAX_SEGMENTS: u64 = 1024;
/// sizeof(struct mmsghdr), and where its msg_len is.
const MULTI_SIZE: u64 = 64;
const MULTI_LEN: u64 = 56;

/// A struct msghdr.
struct Header {
    addr: u64,
    name: u64,
    name_len: i32,
    iov: u64,
    iov_len: u64,
    control: u64,
    control_len: u64,
}

impl Header {
    fn read(space: &AddressSpace, addr: u64) -> Result<Header> {
        let [name, name_len, iov, iov_len, control, control_len, _flags] = space.read::<[u64; 7]>(addr)?;
        let name_len = name_len.low_i32();
        if name != 0 && name_len < 0 {
            return Err(Errno::EINVAL);
        }
        if iov_len > MAX_SEGMENTS {
            return Err(Errno::EMSGSIZE);
        }
        Ok(Header { addr, name, name_len, iov, iov_len, control, control_len })
    }
}

/// Memory for one message. Unlike that of read(2), its length is cut before it is looked at.
fn buffer(space: &Arc<AddressSpace>, addr: u64, len: u64) -> Result<IoBuf<'static>> {
    let len = to_usize(len).min(MAX_TRANSFER);
    check_range(addr, len as u64)?;
    Ok(IoBuf::user(space, addr, len))
}

fn sendto(call: &mut Call<'_>) -> Result<u64> {
    let [_, addr, len, _, to, _] = call.args;
    let space = call.task.space();
    let mut buf = buffer(&space, addr, len)?;
    with_socket(call, |file, socket| {
        let to = if to != 0 { Some(read_address(&space, to, call.int(5))?) } else { None };
        let flags = call.int(3) | wait_flag(file);
        let to = to.as_deref().filter(|to| !to.is_empty());
        Ok(socket.send(&mut buf, Outgoing { flags, to, ..Outgoing::default() })? as u64)
    })
}

fn recvfrom(call: &mut Call<'_>) -> Result<u64> {
    let [_, addr, len, _, from, from_len] = call.args;
    let space = call.task.space();
    let mut buf = buffer(&space, addr, len)?;
    let incoming = with_socket(call, |file, socket| socket.receive(&mut buf, call.int(3) | wait_flag(file)))?;
    if from != 0 {
        write_address(&space, from, from_len, incoming.from.as_deref().unwrap_or_default())?;
    }
    Ok(incoming.len as u64)
}

fn sendmsg(call: &mut Call<'_>) -> Result<u64> {
    let (addr, flags) = (call.args[1], call.int(2));
    with_socket(call, |file, socket| send_one(call.task, socket, addr, flags | wait_flag(file)))
}

fn send_one(task: &Task, socket: &Arc<dyn Socket>, addr: u64, flags: i32) -> Result<u64> {
    let space = task.space();
    let header = Header::read(&space, addr)?;
    let to = match header.name {
        0 => None,
        name => Some(read_address(&space, name, header.name_len.min(saturated_i32(MAX_ADDRESS)))?),
    };
    let mut buf = IoBuf::user_vector(&space, header.iov, header.iov_len)?;
    let to = to.as_deref().filter(|to| !to.is_empty());
    let mut message = Outgoing { flags, to, ..Outgoing::default() };
    if header.control_len > 0 && header.control != 0 {
        if header.control_len > MAX_CONTROL {
            return Err(Errno::ENOBUFS);
        }
        let mut control = vec![0; to_usize(header.control_len)];
        space.read_bytes(header.control, &mut control)?;
        parse_control(task, socket.domain(), &control, &mut message)?;
    }
    Ok(socket.send(&mut buf, message)? as u64)
}

/// Takes what `message` carries from a buffer of control messages.
fn parse_control(task: &Task, domain: i32, mut control: &[u8], message: &mut Outgoing<'_>) -> Result<()> {
    while control.len() >= HEADER {
        let word = |at: usize| i32::from_ne_bytes([control[at], control[at + 1], control[at + 2], control[at + 3]]);
        let len = u64::from_ne_bytes(control[..8].try_into().map_err(|_| Errno::EINVAL)?);
        let (level, kind) = (word(8), word(12));
        if len < HEADER as u64 || len > control.len() as u64 {
            return Err(Errno::EINVAL);
        }
        let data = &control[HEADER..to_usize(len)];
        if level == abi::SOL_SOCKET {
            match kind {
                abi::SCM_RIGHTS if domain == abi::AF_UNIX => {
                    let files = task.files();
                    for fd in data.chunks_exact(4) {
                        let fd = i32::from_ne_bytes(fd.try_into().map_err(|_| Errno::EINVAL)?);
                        message.rights.push(files.get(fd)?);
                    }
                    if message.rights.len() > MAX_RIGHTS {
                        return Err(Errno::EINVAL);
                    }
                }
                abi::SCM_CREDENTIALS => message.creds = Some(check_creds(task, data)?),
                _ => return Err(Errno::EINVAL),
            }
        }
        let next = to_usize(len).next_multiple_of(8).min(control.len());
        control = &control[next..];
    }
    Ok(())
}

/// The credentials a sender claims: its own ids, unless it may claim others'.
fn check_creds(task: &Task, data: &[u8]) -> Result<Ucred> {
    if data.len() != size_of::<Ucred>() {
        return Err(Errno::EINVAL);
    }
    let word = |at: usize| u32::from_ne_bytes([data[at], data[at + 1], data[at + 2], data[at + 3]]);
    let claim = Ucred { pid: word(0).cast_signed(), uid: word(4), gid: word(8) };
    let own = task.creds();
    let pid_ok = claim.pid == task.pid() || own.capable(abi::CAP_SYS_ADMIN);
    let uid_ok = [own.uid, own.euid, own.suid].contains(&claim.uid) || own.capable(abi::CAP_SETUID);
    let gid_ok = [own.gid, own.egid, own.sgid].contains(&claim.gid) || own.capable(abi::CAP_SETGID);
    if !pid_ok || !uid_ok || !gid_ok {
        return Err(Errno::EPERM);
    }
    if claim.pid != task.pid() && find_process(claim.pid).is_none() {
        return Err(Errno::ESRCH);
    }
    Ok(claim)
}

fn recvmsg(call: &mut Call<'_>) -> Result<u64> {
    let (addr, flags) = (call.args[1], call.int(2));
    with_socket(call, |file, socket| receive_one(call.task, file, socket, addr, flags | wait_flag(file)))
}

fn receive_one(task: &Task, _file: &OpenFile, socket: &Arc<dyn Socket>, addr: u64, flags: i32) -> Result<u64> {
    let space = task.space();
    let header = Header::read(&space, addr)?;
    let mut buf = IoBuf::user_vector(&space, header.iov, header.iov_len)?;
    let incoming = socket.receive(&mut buf, flags)?;
    let mut out_flags = flags & abi::MSG_CMSG_CLOEXEC | incoming.flags;
    let len = incoming.len as u64;
    let from = incoming.from.clone().unwrap_or_default();
    let used = write_control(task, &header, flags, incoming, &mut out_flags)?;
    if header.name != 0 {
        let room = usize::try_from(header.name_len).unwrap_or(0).min(from.len());
        space.write_bytes(header.name, &from[..room])?;
        space.write(header.addr + 8, &saturated_i32(from.len()))?;
    }
    space.write(header.addr + 48, &out_flags)?;
    space.write(header.addr + 40, &used)?;
    Ok(len)
}

/// Writes the control messages for what was received; returns how much of the buffer they take.
fn write_control(task: &Task, header: &Header, flags: i32, incoming: Incoming, out_flags: &mut i32) -> Result<u64> {
    let space = task.space();
    let room = if header.control == 0 { 0 } else { header.control_len };
    let mut used = 0u64;
    if let Some(creds) = incoming.creds {
        used += put_control(&space, header.control, room, abi::SCM_CREDENTIALS, bytes_of(&creds), out_flags);
    }
    if !incoming.rights.is_empty() {
        let left = room - used;
        let at = header.control.wrapping_add(used);
        let fits = (left.saturating_sub(HEADER as u64) / 4) as usize;
        let close_on_exec = flags & abi::MSG_CMSG_CLOEXEC != 0;
        let files = task.files();
        let mut numbers = Vec::new();
        let total = incoming.rights.len();
        for file in incoming.rights.into_iter().take(fits) {
            // A file that the receiver cannot be told of is not given to it.
            let place = at.wrapping_add((HEADER + numbers.len()) as u64);
            let Ok(fd) = files.install(file, close_on_exec) else { break };
            if space.write(place, &fd).is_err() {
                let _ = files.close(fd);
                break;
            }
            numbers.extend_from_slice(&fd.to_ne_bytes());
        }
        if !numbers.is_empty() {
            used += put_control(&space, at, left, abi::SCM_RIGHTS, &numbers, out_flags);
        }
        if numbers.len() / 4 < total {
            *out_flags |= abi::MSG_CTRUNC;
        }
    }
    Ok(used)
}

/// Writes one control message, cut to the room there is; returns what it takes with its padding.
/// One whose place is not there is left out: what came with it is received.
fn put_control(space: &AddressSpace, addr: u64, room: u64, kind: i32, data: &[u8], out_flags: &mut i32) -> u64 {
    if room < HEADER as u64 {
        *out_flags |= abi::MSG_CTRUNC;
        return 0;
    }
    let mut len = (HEADER + data.len()) as u64;
    if room < len {
        *out_flags |= abi::MSG_CTRUNC;
        len = room;
    }
    let mut message = bytes_of(&len).to_vec();
    message.extend_from_slice(bytes_of(&[abi::SOL_SOCKET, kind]));
    message.extend_from_slice(&data[..to_usize(len) - HEADER]);
    if space.write_bytes(addr, &message).is_err() {
        *out_flags |= abi::MSG_CTRUNC;
        return 0;
    }
    len.next_multiple_of(8).min(room)
}

fn sendmmsg(call: &mut Call<'_>) -> Result<u64> {
    let vector = call.args[1];
    let count = u64::from(call.uint(2)).min(MAX_SEGMENTS);
    with_socket(call, |file, socket| {
        let mut done = 0;
        while done < count {
            let at = vector.wrapping_add(done * MULTI_SIZE);
            let result = send_one(call.task, socket, at, call.int(3) | wait_flag(file))
                .and_then(|n| call.task.space().write(at.wrapping_add(MULTI_LEN), &n.low_u32()));
            match result {
                Ok(()) => done += 1,
                Err(_) if done > 0 => break,
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    })
}

fn recvmmsg(call: &mut Call<'_>) -> Result<u64> {
    let [_, vector, _, _, timeout, _] = call.args;
    let space = call.task.space();
    let deadline = deadline(read_timespec(&space, timeout)?);
    let count = u64::from(call.uint(2)).min(MAX_SEGMENTS);
    let mut flags = call.int(3);
    let done = with_socket(call, |file, socket| {
        flags |= wait_flag(file);
        // What ended the last such call early.
        if let Some(error) = socket.take_error() {
            return Err(error);
        }
        let mut done = 0;
        while done < count {
            let at = vector.wrapping_add(done * MULTI_SIZE);
            let result = receive_one(call.task, file, socket, at, flags & !abi::MSG_WAITFORONE)
                .and_then(|n| space.write(at.wrapping_add(MULTI_LEN), &n.low_u32()));
            match result {
                Ok(()) => done += 1,
                Err(e) if done > 0 => {
                    // The next call is told.
                    if e != Errno::EAGAIN {
                        socket.set_error(e);
                    }
                    break;
                }
                Err(e) => return Err(e),
            }
            if flags & abi::MSG_WAITFORONE != 0 {
                flags |= abi::MSG_DONTWAIT;
            }
            // The time is looked at after each message only: a wait for the next may be longer.
            if deadline.is_some_and(|deadline| left(deadline) == 0) {
                break;
            }
        }
        Ok(done)
    })?;
    if let Some(deadline) = deadline {
        space.write(timeout, &time::timespec(left(deadline)))?;
    }
    Ok(done)
}
