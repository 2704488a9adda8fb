//! Sockets: making, naming, connecting and asking about them.

use super::pipe::install_pair;
use super::{Call, Entry, entry};
use crate::mm::AddressSpace;
use crate::net::{self, MAX_ADDRESS, Socket, SocketFile, options};
use crate::vfs::file::OpenFile;
use crate::{Errno, Result};
use abi::number::{extended, saturated_i32};
use std::sync::Arc;

pub const CALLS: &[Entry] = &[
    entry(abi::SYS_socket, "socket", "ddd", create),
    entry(abi::SYS_socketpair, "socketpair", "dddP", create_pair),
    entry(abi::SYS_bind, "bind", "fPd", bind),
    entry(abi::SYS_listen, "listen", "fd", listen),
    entry(abi::SYS_accept, "accept", "fPP", |call| accept(call, 0)),
    entry(abi::SYS_accept4, "accept4", "fPPx", |call| accept(call, call.int(3))),
    entry(abi::SYS_connect, "connect", "fPd", connect),
    entry(abi::SYS_getsockname, "getsockname", "fPP", |call| address(call, |s| s.local_address())),
    entry(abi::SYS_getpeername, "getpeername", "fPP", |call| address(call, |s| s.peer_address())),
    entry(abi::SYS_shutdown, "shutdown", "fd", shutdown),
    entry(abi::SYS_setsockopt, "setsockopt", "fddPd", set_option),
    entry(abi::SYS_getsockopt, "getsockopt", "fddPP", get_option),
];

const KIND_MASK: i32 = 0xf;
const CREATE_FLAGS: i32 = abi::SOCK_CLOEXEC | abi::SOCK_NONBLOCK;

/// Calls `f` with the socket of the first argument.
pub(super) fn with_socket<T>(
    call: &Call<'_>,
    f: impl FnOnce(&Arc<OpenFile>, &Arc<dyn Socket>) -> Result<T>,
) -> Result<T> {
    let file = call.task.files().get_io(call.int(0))?;
    f(&file, net::of(&file)?)
}

fn split_kind(kind: i32) -> Result<(i32, i32)> {
    let flags = kind & !KIND_MASK;
    if flags & !CREATE_FLAGS != 0 { Err(Errno::EINVAL) } else { Ok((kind & KIND_MASK, flags)) }
}

fn create(call: &mut Call<'_>) -> Result<u64> {
    let (kind, flags) = split_kind(call.int(1))?;
    let socket = net::create(call.int(0), kind, call.int(2))?;
    let file = SocketFile::open(socket, flags & abi::SOCK_NONBLOCK);
    call.task.files().install(file, flags & abi::SOCK_CLOEXEC != 0).map(extended)
}

fn create_pair(call: &mut Call<'_>) -> Result<u64> {
    let (kind, flags) = split_kind(call.int(1))?;
    let (a, b) = net::create_pair(call.int(0), kind, call.int(2))?;
    let [a, b] = [a, b].map(|socket| SocketFile::open(socket, flags & abi::SOCK_NONBLOCK));
    install_pair(call, call.args[3], a, b, flags & abi::SOCK_CLOEXEC != 0)
}

/// An address as the guest gave it.
pub(super) fn read_address(space: &AddressSpace, addr: u64, len: i32) -> Result<Vec<u8>> {
    let len = usize::try_from(len).ok().filter(|&len| len <= MAX_ADDRESS).ok_or(Errno::EINVAL)?;
    let mut bytes = vec![0; len];
    space.read_bytes(addr, &mut bytes)?;
    Ok(bytes)
}

/// Writes as much of an address as fits into the length at `len_addr`, and its real length there.
pub(super) fn write_address(space: &AddressSpace, addr: u64, len_addr: u64, address: &[u8]) -> Result<()> {
    let room: i32 = space.read(len_addr)?;
    let room = usize::try_from(room).map_err(|_| Errno::EINVAL)?;
    space.write(len_addr, &saturated_i32(address.len()))?;
    space.write_bytes(addr, &address[..room.min(address.len())])
}

fn bind(call: &mut Call<'_>) -> Result<u64> {
    with_socket(call, |file, socket| {
        let address = read_address(&call.task.space(), call.args[1], call.int(2))?;
        socket.bind(&address, file.inode.owner()?.mode)
    })?;
    Ok(0)
}

fn listen(call: &mut Call<'_>) -> Result<u64> {
    with_socket(call, |_, socket| socket.listen(call.int(1)))?;
    Ok(0)
}

fn accept(call: &Call<'_>, flags: i32) -> Result<u64> {
    if flags & !CREATE_FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    let [_, addr, len_addr, ..] = call.args;
    let accepted = with_socket(call, |file, socket| socket.accept(file.nonblocking()))?;
    let peer = if addr != 0 { Some(accepted.peer_address().map_err(|_| Errno::ECONNABORTED)) } else { None };
    let file = SocketFile::open(accepted, flags & abi::SOCK_NONBLOCK);
    if let Some(peer) = peer {
        write_address(&call.task.space(), addr, len_addr, &peer?)?;
    }
    call.task.files().install(file, flags & abi::SOCK_CLOEXEC != 0).map(extended)
}

fn connect(call: &mut Call<'_>) -> Result<u64> {
    with_socket(call, |file, socket| {
        let address = read_address(&call.task.space(), call.args[1], call.int(2))?;
        socket.connect(&address, file.nonblocking())
    })?;
    Ok(0)
}

fn address(call: &Call<'_>, get: impl FnOnce(&dyn Socket) -> Result<Vec<u8>>) -> Result<u64> {
    let address = with_socket(call, |_, socket| get(&**socket))?;
    write_address(&call.task.space(), call.args[1], call.args[2], &address)?;
    Ok(0)
}

fn shutdown(call: &mut Call<'_>) -> Result<u64> {
    with_socket(call, |_, socket| socket.shutdown(call.int(1)))?;
    Ok(0)
}

fn set_option(call: &mut Call<'_>) -> Result<u64> {
    let len = usize::try_from(call.int(4)).map_err(|_| Errno::EINVAL)?;
    with_socket(call, |_, socket| {
        let mut value = vec![0; len.min(options::value_size(call.int(1), call.int(2)))];
        call.task.space().read_bytes(call.args[3], &mut value)?;
        options::set(&**socket, call.int(1), call.int(2), &value)
    })?;
    Ok(0)
}

fn get_option(call: &mut Call<'_>) -> Result<u64> {
    let [_, _, _, addr, len_addr, _] = call.args;
    let space = call.task.space();
    with_socket(call, |_, socket| {
        let room: i32 = space.read(len_addr)?;
        let room = usize::try_from(room).map_err(|_| Errno::EINVAL)?;
        let value = options::get(&**socket, call.int(1), call.int(2))?;
        let len = room.min(value.len());
        space.write_bytes(addr, &value[..len])?;
        space.write(len_addr, &saturated_i32(len))
    })?;
    Ok(0)
}
