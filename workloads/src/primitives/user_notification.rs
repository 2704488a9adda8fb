use super::helper::{Answers, start};
use super::{Batch, Offered, Primitive, Unavailable, other_cpu, run_on};
use crate::children::{Child, Line};
use crate::timing::each;
use anyhow::{Context, Result, bail, ensure};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use umlab_host::notify::{self, Listener};
use umlab_host::seccomp;

/// What a system call costs that another process answers without being its tracer.
pub const USER_NOTIFICATION: Primitive = Primitive {
    name: "user-notification",
    summary: "a system call that another process answers, by seccomp",
    definition: "a child's getppid under SECCOMP_RET_USER_NOTIF: SECCOMP_IOCTL_NOTIF_RECV and NOTIF_SEND, both on one CPU; \
                 the same with SYNC_WAKE_UP; both with the child on another CPU",
    batches,
};

fn batches() -> Result<Vec<(&'static str, Offered)>> {
    let mut all = vec![
        ("user-notification", notifications(None, false)?),
        ("user-notification with SYNC_WAKE_UP", notifications(None, true)?),
    ];
    for (name, sync) in
        [("user-notification across CPUs", false), ("user-notification across CPUs with SYNC_WAKE_UP", true)]
    {
        all.push((name, other_cpu()?.map_or_else(|why| Ok(Err(why)), |cpu| notifications(Some(cpu), sync))?));
    }
    Ok(all)
}

fn notifications(cpu: Option<usize>, sync: bool) -> Result<Offered> {
    let call = |_: Line| {
        let mut last = 0;
        // An error: the supervisor is gone.
        while last >= 0 {
            // SAFETY: the call takes no arguments; the supervisor sees it.
            last = unsafe { libc::syscall(libc::SYS_getppid, last) };
        }
        Ok(())
    };
    let (child, listener) = match supervise(cpu, call)? {
        Ok(started) => started,
        Err(unavailable) => return Ok(Err(unavailable)),
    };
    if sync && let Err(errno) = listener.wake_on_same_cpu(true) {
        return Ok(Err(Unavailable(format!("no SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP: {errno}"))));
    }
    let mut answers = Answers::default();
    let mut call = listener.receive().context("no call")?;
    let batch: Batch = Box::new(each(move || {
        // It lives as long as we answer.
        let _ = &child;
        ensure!(i64::from(call.number) == libc::SYS_getppid, "another call: {call:?}");
        listener.answer(call.id, Ok(answers.next(call.args[0])?))?;
        call = listener.receive().context("no call")?;
        Ok(())
    }));
    Ok(Ok(batch))
}

/// Forks a child, on a CPU if one is named, that runs `work`, in which we are notified of getppid.
pub fn supervise(cpu: Option<usize>, work: impl FnOnce(Line) -> Result<()>) -> Result<Offered<(Child, Listener)>> {
    if let Err(errno) = notify::probe() {
        return Ok(Err(Unavailable(format!("no user notification: {errno}"))));
    }
    let set_up = || {
        cpu.map_or(Ok(()), run_on)?;
        // SAFETY: nothing depends on the result of the call that is notified of.
        unsafe { notify::install(&seccomp::only(libc::SYS_getppid, seccomp::NOTIFY)) }.context("no listener")
    };
    let supervised = |listener: Listener, line: Line| {
        send(line.to.as_fd(), listener.as_fd())?;
        drop(listener);
        work(line)
    };
    Ok(match start(Line::sockets()?, set_up, supervised)? {
        Ok((child, line)) => Ok((child, Listener::from(receive(line.from.as_fd())?))),
        Err(unavailable) => Err(unavailable),
    })
}

fn send(socket: BorrowedFd<'_>, fd: BorrowedFd<'_>) -> Result<()> {
    let fds = [fd.as_raw_fd()];
    let rights = [ControlMessage::ScmRights(&fds)];
    sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(&[0])], &rights, MsgFlags::empty(), None)
        .context("cannot send a descriptor")?;
    Ok(())
}

fn receive(socket: BorrowedFd<'_>) -> Result<OwnedFd> {
    let mut byte = [0];
    let mut parts = [IoSliceMut::new(&mut byte)];
    let mut space = nix::cmsg_space!([i32; 1]);
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC);
    let message = message.context("cannot receive a descriptor")?;
    match message.cmsgs()?.next() {
        // SAFETY: a new descriptor that nothing else owns.
        Some(ControlMessageOwned::ScmRights(fds)) if fds.len() == 1 => Ok(unsafe { OwnedFd::from_raw_fd(fds[0]) }),
        _ => bail!("no descriptor arrived"),
    }
}
