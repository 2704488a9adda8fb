//! Addresses of unix sockets: a node in the file system, or a name in a table of its own
//! ("abstract", beginning with NUL).

use super::{Kind, UnixSocket};
use crate::lock::KCell;
use crate::vfs::inode::InodeRef;
use crate::vfs::namei;
use crate::{Errno, Result};
use abi::number::Low;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

const FAMILY_LEN: usize = 2;
/// sizeof(struct sockaddr_un).
const MAX_LEN: usize = 110;

/// Who is bound to an abstract name. Each kind of socket has its own.
static ABSTRACT: KCell<BTreeMap<(Kind, Vec<u8>), Weak<UnixSocket>>> = KCell::new(BTreeMap::new());
/// Who is bound to a node, by device and inode number; the name holds the inode, so that its number
/// stays taken.
static NODES: KCell<BTreeMap<(u64, u64), Weak<UnixSocket>>> = KCell::new(BTreeMap::new());

/// What a socket is bound to.
pub struct Name {
    /// sun_path as it was given, without a final NUL for a path; beginning with NUL for an abstract
    /// name.
    bytes: Vec<u8>,
    node: Option<Node>,
}

struct Node {
    key: (u64, u64),
    _inode: InodeRef,
}

/// An address somebody connects or sends to.
pub enum Target<'a> {
    Path(&'a [u8]),
    Abstract(&'a [u8]),
}

/// The address of a socket with this name, or without one.
pub fn address_of(name: Option<&Name>) -> Vec<u8> {
    match name {
        Some(name) => name.address(),
        None => abi::AF_UNIX.low_u16().to_ne_bytes().to_vec(),
    }
}

/// sun_path of an address of family AF_UNIX.
fn sun_path(address: &[u8]) -> Result<&[u8]> {
    if address.len() < FAMILY_LEN || address.len() > MAX_LEN {
        return Err(Errno::EINVAL);
    }
    let (family, path) = address.split_at(FAMILY_LEN);
    if family != abi::AF_UNIX.low_u16().to_ne_bytes() {
        return Err(Errno::EINVAL);
    }
    Ok(path)
}

fn until_nul(path: &[u8]) -> &[u8] {
    &path[..path.iter().position(|&b| b == 0).unwrap_or(path.len())]
}

impl Name {
    /// The address, as getsockname(2) gives it.
    pub fn address(&self) -> Vec<u8> {
        let mut address = address_of(None);
        address.extend_from_slice(&self.bytes);
        if self.node.is_some() {
            address.push(0);
        }
        address
    }

    /// Frees the name if it is this socket that is bound to it; an accepted socket only shares it.
    pub fn unregister(&self, socket: &UnixSocket) {
        let is_ours = |bound: &Weak<UnixSocket>| std::ptr::eq(bound.as_ptr(), socket);
        match &self.node {
            Some(node) => {
                let mut nodes = NODES.borrow_mut();
                if nodes.get(&node.key).is_some_and(is_ours) {
                    nodes.remove(&node.key);
                }
            }
            None => {
                let key = (socket.kind, self.bytes.clone());
                let mut names = ABSTRACT.borrow_mut();
                if names.get(&key).is_some_and(is_ours) {
                    names.remove(&key);
                }
            }
        }
    }
}

impl<'a> Target<'a> {
    pub fn parse(address: &'a [u8]) -> Result<Target<'a>> {
        match sun_path(address)? {
            [] => Err(Errno::EINVAL),
            path @ [0, ..] => Ok(Target::Abstract(path)),
            path => Ok(Target::Path(until_nul(path))),
        }
    }

    /// The socket bound to the address.
    ///
    /// # Errors
    /// ECONNREFUSED when there is none, EPROTOTYPE when it is of another kind, and the errors of
    /// path lookup.
    pub fn find(&self, kind: Kind) -> Result<Arc<UnixSocket>> {
        let found = match self {
            Target::Abstract(name) => ABSTRACT.borrow().get(&(kind, name.to_vec())).and_then(Weak::upgrade),
            Target::Path(path) => {
                let inode = namei::find_socket(path)?;
                let attr = inode.attr()?;
                NODES.borrow().get(&(attr.dev, attr.ino)).and_then(Weak::upgrade)
            }
        };
        let socket = found.ok_or(Errno::ECONNREFUSED)?;
        if socket.kind != kind {
            return Err(Errno::EPROTOTYPE);
        }
        Ok(socket)
    }
}

impl UnixSocket {
    pub(super) fn bind_name(&self, address: &[u8], mode: u32) -> Result<()> {
        let path = sun_path(address)?;
        if path.is_empty() {
            return self.autobind();
        }
        let is_bound = self.state.borrow().name.is_some();
        if path[0] == 0 {
            if is_bound {
                return Err(Errno::EINVAL);
            }
            return if self.bind_abstract(path.to_vec()) { Ok(()) } else { Err(Errno::EADDRINUSE) };
        }
        let path = until_nul(path);
        let inode = namei::make_socket(path, mode)?;
        if is_bound {
            // As Linux: the name is made before the socket is looked at, which who watches the
            // directory can see.
            namei::remove(&crate::task::current(), abi::AT_FDCWD, path, false)?;
            return Err(Errno::EINVAL);
        }
        let attr = inode.attr()?;
        let key = (attr.dev, attr.ino);
        NODES.borrow_mut().insert(key, self.me.clone());
        self.set_name(Name { bytes: path.to_vec(), node: Some(Node { key, _inode: inode }) });
        Ok(())
    }

    /// Binds a socket that is not bound to a free abstract name.
    pub(super) fn autobind(&self) -> Result<()> {
        if self.state.borrow().name.is_some() {
            return Ok(());
        }
        static NEXT: KCell<u32> = KCell::new(0);
        for _ in 0..1 << 20 {
            let number = {
                let mut next = NEXT.borrow_mut();
                *next = (*next + 1) & 0xfffff;
                *next
            };
            if self.bind_abstract(format!("\0{number:05x}").into_bytes()) {
                return Ok(());
            }
        }
        Err(Errno::ENOSPC)
    }

    /// False when another socket has the name.
    fn bind_abstract(&self, name: Vec<u8>) -> bool {
        let key = (self.kind, name.clone());
        {
            let mut names = ABSTRACT.borrow_mut();
            if names.contains_key(&key) {
                return false;
            }
            names.insert(key, self.me.clone());
        }
        self.set_name(Name { bytes: name, node: None });
        true
    }

    fn set_name(&self, name: Name) {
        self.state.borrow_mut().name = Some(Arc::new(name));
    }
}
