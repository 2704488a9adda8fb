//! Terminals and processes: the controlling terminal, its foreground group, and the signals a
//! terminal sends.

use crate::sys::*;
use crate::tty_line::{change, pair, settings, slave_name, slave_of};

pub const CASES: &[crate::harness::Case] = cases![
    no_terminal, becomes_controlling, open_makes_controlling, noctty_does_not, steal_errors, dev_tty, give_up,
    foreground_group, foreground_errors, interrupt_characters, suspend_and_continue, signal_flushes_input,
    noflsh_keeps_input, background_read, background_read_ignored, background_write, background_write_tostop,
    background_settings, orphan_background_read, window_change, window_same_size, leader_exit_hangs_up,
    master_close_hangs_up, session_id, interrupt_other_group, inject_character, quit_dumps, disabled_character,
    stat_shows_terminal, setsid_rules, continue_after_hangup,
];

/// Run `f` as the leader of a new session whose terminal is a new pair; it gets the slave. The
/// master is ours.
fn session(f: impl FnOnce(i32)) -> (i32, i32) {
    let (m, s) = pair();
    let (r, w) = pipe();
    let pid = spawn(|| {
        close(m);
        must!(SYS_setsid);
        must!(SYS_ioctl, s, TIOCSCTTY, 0);
        put(w, b"r");
        f(s);
    });
    close(s);
    get(r, 1);
    close(r);
    close(w);
    (pid, m)
}

/// A child in a group of its own, as a shell makes one.
fn job(f: impl FnOnce()) -> i32 {
    let pid = spawn(|| {
        sc!(SYS_setpgid, 0, 0);
        f();
    });
    sc!(SYS_setpgid, pid, pid);
    pid
}

fn set_foreground(tty: i32, group: i32) -> Ret {
    mask(SIG_BLOCK, &[SIGTTOU]);
    let r = sc!(SYS_ioctl, tty, TIOCSPGRP, &group);
    mask(SIG_UNBLOCK, &[SIGTTOU]);
    r
}

/// Wait until a process stops or ends, and say how.
fn change_of(pid: i32) -> Text {
    let mut status = 0i32;
    must!(SYS_wait4, pid, &mut status, WUNTRACED, 0);
    status_text(status)
}

fn me() -> i32 {
    sc!(SYS_getpid).fd()
}

fn no_terminal() {
    v!(in_child(|| {
        must!(SYS_setsid);
        o!(SYS_openat, AT_FDCWD, c"/dev/tty", O_RDWR);
        let (_m, s) = pair();
        t!(SYS_ioctl, s, TIOCGPGRP, &mut 0i32);
        t!(SYS_ioctl, s, TIOCGSID, &mut 0i32);
        t!(SYS_ioctl, s, TIOCNOTTY, 0);
        t!(SYS_ioctl, s, TIOCSPGRP, &me());
    }));
}

fn becomes_controlling() {
    v!(in_child(|| {
        let (_m, s) = pair();
        must!(SYS_setsid);
        t!(SYS_ioctl, s, TIOCSCTTY, 0);
        t!(SYS_ioctl, s, TIOCSCTTY, 0);
        let mut group = 0i32;
        t!(SYS_ioctl, s, TIOCGPGRP, &mut group);
        v!(group == me());
        o!(SYS_openat, AT_FDCWD, c"/dev/tty", O_RDWR);
    }));
}

fn open_makes_controlling() {
    v!(in_child(|| {
        let (m, s) = pair();
        close(s);
        must!(SYS_setsid);
        must!(SYS_openat, AT_FDCWD, slave_name(m).as_c_str(), O_RDWR);
        o!(SYS_openat, AT_FDCWD, c"/dev/tty", O_RDWR);
    }));
}

fn noctty_does_not() {
    v!(in_child(|| {
        let (m, _s) = pair();
        must!(SYS_setsid);
        must!(SYS_openat, AT_FDCWD, slave_name(m).as_c_str(), O_RDWR | O_NOCTTY);
        o!(SYS_openat, AT_FDCWD, c"/dev/tty", O_RDWR);
    }));
}

fn steal_errors() {
    let (pid, m) = session(|s| {
        get(s, 1);
    });
    let s = slave_of(m);
    v!(unprivileged(|| {
        must!(SYS_setsid);
        t!(SYS_ioctl, s, TIOCSCTTY, 0);
    }));
    v!(in_child(|| {
        // Not the leader of a session.
        t!(SYS_ioctl, s, TIOCSCTTY, 0);
    }));
    must!(SYS_write, m, b"\n", 1);
    v!(reap(pid));
}

fn dev_tty() {
    let (pid, m) = session(|_| {
        let tty = open(c"/dev/tty", O_RDWR);
        put(tty, b"by name\n");
        v!(get(tty, 20));
        v!(fstat(tty).st_rdev == libc::makedev(5, 0));
        v!(settings(tty).lflag & ICANON != 0);
    });
    v!(get(m, 20));
    put(m, b"answer\n");
    v!(reap(pid));
}

fn give_up() {
    let (pid, _m) = session(|s| {
        ignore(SIGHUP);
        t!(SYS_ioctl, s, TIOCNOTTY, 0);
        o!(SYS_openat, AT_FDCWD, c"/dev/tty", O_RDWR);
        t!(SYS_ioctl, s, TIOCGPGRP, &mut 0i32);
        t!(SYS_ioctl, s, TIOCNOTTY, 0);
        t!(SYS_ioctl, s, TIOCSCTTY, 0);
    });
    v!(reap(pid));
}

fn foreground_group() {
    let (pid, m) = session(|s| {
        let kid = job(|| {
            sleep_ms(10_000);
        });
        v!(set_foreground(s, kid));
        let mut group = 0i32;
        must!(SYS_ioctl, s, TIOCGPGRP, &mut group);
        v!(group == kid);
        must!(SYS_kill, kid, SIGKILL);
        reap(kid);
        must!(SYS_ioctl, s, TIOCGPGRP, &mut group);
        v!(group == kid);
        v!(set_foreground(s, me()));
    });
    v!(reap(pid));
    t!(SYS_ioctl, m, TIOCGPGRP, &mut 0i32);
}

fn foreground_errors() {
    let (pid, _m) = session(|s| {
        let (r, w) = pipe();
        let stranger = spawn(|| {
            must!(SYS_setsid);
            put(w, b"r");
            sleep_ms(10_000);
        });
        get(r, 1);
        v!((set_foreground(s, stranger), set_foreground(s, 0x3fff_fff0), set_foreground(s, -1)));
        v!(sc!(SYS_ioctl, s, TIOCSPGRP, 8));
        must!(SYS_kill, stranger, SIGKILL);
        v!(reap(stranger));
    });
    v!(reap(pid));
}

fn interrupt_characters() {
    for (key, name) in [(b"\x03", "intr"), (b"\x1c", "quit")] {
        let (pid, m) = session(|s| {
            get(s, 10);
        });
        until_sleeping(pid);
        put(m, key);
        println!("{name}: {:?} echo {:?}", reap(pid), get(m, 10));
    }
}

fn suspend_and_continue() {
    let (pid, m) = session(|s| {
        let kid = job(|| {
            let mut group = 0;
            until(|| sc!(SYS_ioctl, s, TIOCGPGRP, &mut group).is_ok() && group == me());
            v!(get(s, 20));
        });
        set_foreground(s, kid);
        put(s, b"R");
        v!(change_of(kid));
        set_foreground(s, me());
        set_foreground(s, kid);
        put(s, b"C");
        must!(SYS_kill, -kid, SIGCONT);
        v!(reap(kid));
    });
    get(m, 1);
    put(m, b"\x1a");
    until(|| get(m, 20).0.contains('C'));
    put(m, b"resumed\n");
    v!(reap(pid));
}

fn signal_flushes_input() {
    let (pid, m) = session(|s| {
        catch(SIGINT, SA_RESTART);
        put(s, b"R");
        until(|| caught(SIGINT) == 1);
        v!(get(s, 20));
    });
    get(m, 1);
    put(m, b"dropped\x03kept\n");
    v!(reap(pid));
}

fn noflsh_keeps_input() {
    let (pid, m) = session(|s| {
        change(s, |t| t.lflag |= NOFLSH);
        catch(SIGINT, SA_RESTART);
        put(s, b"R");
        until(|| caught(SIGINT) == 1);
        v!(get(s, 20));
    });
    get(m, 1);
    put(m, b"also \x03kept\n");
    v!(reap(pid));
}

fn background_read() {
    let (pid, m) = session(|s| {
        let kid = job(|| {
            v!(get(s, 20));
        });
        v!(change_of(kid));
        set_foreground(s, kid);
        must!(SYS_kill, -kid, SIGCONT);
        v!(reap(kid));
    });
    put(m, b"typed\n");
    v!(reap(pid));
}

fn background_read_ignored() {
    let (pid, _m) = session(|s| {
        let kid = job(|| {
            ignore(SIGTTIN);
            v!(get(s, 20));
            default(SIGTTIN);
            mask(SIG_BLOCK, &[SIGTTIN]);
            v!(get(s, 20));
        });
        v!(reap(kid));
        let kid = job(|| {
            catch(SIGTTIN, 0);
            v!((get(s, 20), caught(SIGTTIN)));
        });
        v!(reap(kid));
    });
    v!(reap(pid));
}

fn background_write() {
    let (pid, m) = session(|s| {
        let kid = job(|| put(s, b"allowed"));
        v!(change_of(kid));
    });
    v!(reap(pid));
    v!(get(m, 20));
}

fn background_write_tostop() {
    let (pid, m) = session(|s| {
        change(s, |t| t.lflag |= TOSTOP);
        let kid = job(|| put(s, b"after"));
        v!(change_of(kid));
        change(s, |t| t.lflag &= !TOSTOP);
        must!(SYS_kill, -kid, SIGCONT);
        v!(reap(kid));
        change(s, |t| t.lflag |= TOSTOP);
        let kid = job(|| {
            ignore(SIGTTOU);
            put(s, b"ignored");
        });
        v!(change_of(kid));
    });
    v!((reap(pid), get(m, 5)));
}

fn background_settings() {
    let (pid, _m) = session(|s| {
        let kid = job(|| {
            let t = settings(s);
            must!(SYS_ioctl, s, TCSETS, &t);
        });
        v!(change_of(kid));
        must!(SYS_kill, kid, SIGKILL);
        v!(change_of(kid));
        let kid = job(|| {
            mask(SIG_BLOCK, &[SIGTTOU]);
            t!(SYS_ioctl, s, TCSETS, &settings(s));
        });
        v!(change_of(kid));
        let kid = job(|| {
            sc!(SYS_ioctl, s, TIOCSPGRP, &me());
        });
        v!(change_of(kid));
        must!(SYS_kill, kid, SIGKILL);
        v!(change_of(kid));
    });
    v!(reap(pid));
}

fn orphan_background_read() {
    let (pid, _m) = session(|s| {
        let (r, w) = pipe();
        let (done_r, done_w) = pipe();
        let kid = spawn(|| {
            spawn(|| {
                must!(SYS_setpgid, 0, 0);
                get(r, 1);
                v!(get(s, 10));
                put(done_w, b"d");
            });
        });
        reap(kid);
        put(w, b"g");
        // Nobody could continue it, so it is told so and not stopped.
        get(done_r, 1);
    });
    v!(reap(pid));
}

fn window_change() {
    let (pid, m) = session(|s| {
        catch(SIGWINCH, 0);
        put(s, b"R");
        until(|| caught(SIGWINCH) == 1);
        let mut w = [0u16; 4];
        must!(SYS_ioctl, s, TIOCGWINSZ, &mut w);
        v!(w);
    });
    get(m, 1);
    must!(SYS_ioctl, m, TIOCSWINSZ, &[30u16, 100, 0, 0]);
    v!(reap(pid));
}

fn window_same_size() {
    let (pid, m) = session(|s| {
        catch(SIGWINCH, 0);
        put(s, b"R");
        get(s, 1);
        v!(caught(SIGWINCH));
    });
    get(m, 1);
    must!(SYS_ioctl, m, TIOCSWINSZ, &[0u16, 0, 0, 0]);
    put(m, b"\n");
    v!(reap(pid));
}

fn leader_exit_hangs_up() {
    let (r, w) = pipe();
    let (pid, m) = session(|s| {
        let (ready_r, ready_w) = pipe();
        spawn(|| {
            catch(SIGHUP, 0);
            put(ready_w, b"r");
            until(|| caught(SIGHUP) == 1);
            let tty = sc!(SYS_openat, AT_FDCWD, c"/dev/tty", O_RDWR).ok();
            put(w, format!("hup; tty {tty:?}; write {:?}", sc!(SYS_write, s, b"x", 1)).as_bytes());
        });
        get(ready_r, 1);
    });
    v!(reap(pid));
    v!(get(r, 100));
    v!(get(m, 1));
}

fn master_close_hangs_up() {
    let (r, w) = pipe();
    let (pid, m) = session(|s| {
        catch(SIGHUP, 0);
        put(w, b"r");
        until(|| caught(SIGHUP) == 1);
        v!((get(s, 1), sc!(SYS_write, s, b"x", 1)));
        o!(SYS_openat, AT_FDCWD, c"/dev/tty", O_RDWR);
    });
    get(r, 1);
    close(m);
    v!(reap(pid));
    let (pid, m) = session(|s| {
        get(s, 1);
    });
    until_sleeping(pid);
    close(m);
    v!(reap(pid));
}

fn continue_after_hangup() {
    let (r, w) = pipe();
    let (pid, _m) = session(|_| {
        let (ready_r, ready_w) = pipe();
        let kid = job(|| {
            catch(SIGHUP, 0);
            catch(SIGCONT, 0);
            put(ready_w, b"r");
            must!(SYS_kill, me(), SIGSTOP);
            put(w, format!("hup {} cont {}", caught(SIGHUP), caught(SIGCONT)).as_bytes());
        });
        get(ready_r, 1);
        v!(change_of(kid));
    });
    // A stopped group that becomes orphaned is hung up and continued.
    v!(reap(pid));
    v!(get(r, 100));
}

fn session_id() {
    let (pid, m) = session(|s| {
        let mut sid = 0i32;
        t!(SYS_ioctl, s, TIOCGSID, &mut sid);
        v!((sid == me(), sc!(SYS_getsid, 0).fd() == sid));
    });
    v!(reap(pid));
    t!(SYS_ioctl, m, TIOCGSID, &mut 0i32);
}

fn interrupt_other_group() {
    let (pid, m) = session(|s| {
        let (r, w) = pipe();
        let foreground = job(|| {
            get(r, 1);
        });
        let background = job(|| {
            get(r, 1);
        });
        set_foreground(s, foreground);
        put(s, b"R");
        v!(change_of(foreground));
        put(w, b"x");
        v!(change_of(background));
    });
    get(m, 1);
    put(m, b"\x03");
    v!(reap(pid));
}

fn inject_character() {
    // TIOCSTI may be switched off on a host, so only who is refused in any case is asked.
    v!(unprivileged(|| {
        let (_m, s) = pair();
        v!(sc!(SYS_ioctl, s, TIOCSTI, b"x").is_ok());
    }));
}

fn quit_dumps() {
    let (pid, m) = session(|s| {
        catch(SIGQUIT, 0);
        put(s, b"R");
        v!((get(s, 10), caught(SIGQUIT)));
    });
    get(m, 1);
    until_sleeping(pid);
    put(m, b"\x1c");
    v!(reap(pid));
}

fn disabled_character() {
    let (pid, m) = session(|s| {
        change(s, |t| t.cc[VINTR] = 0);
        put(s, b"R");
        v!(get(s, 10));
        change(s, |t| t.cc[VINTR] = b'i');
        put(s, b"R");
        get(s, 10);
    });
    let mut b = [0u8; 1];
    must!(SYS_read, m, &mut b, 1);
    put(m, b"\x03\n");
    until(|| get(m, 20).0.contains('R'));
    put(m, b"i");
    v!(reap(pid));
}

fn stat_shows_terminal() {
    let field = |n: usize| -> i64 {
        let stat = std::fs::read_to_string("/proc/self/stat").expect("stat");
        stat.rsplit(')').next().expect("fields").split_whitespace().nth(n - 3).expect("field").parse().expect("number")
    };
    let (pid, _m) = session(|s| {
        v!((field(5) == i64::from(me()), field(6) == i64::from(me()), field(8) == i64::from(me())));
        v!(field(7) as u64 == fstat(s).st_rdev);
    });
    v!(reap(pid));
    v!(in_child(|| {
        must!(SYS_setsid);
        v!((field(7), field(8)));
    }));
}

fn setsid_rules() {
    let (pid, _m) = session(|_| {
        t!(SYS_setsid);
        v!(in_child(|| {
            v!(sc!(SYS_setsid).fd() == me());
            o!(SYS_openat, AT_FDCWD, c"/dev/tty", O_RDWR);
            t!(SYS_setpgid, 0, 0);
        }));
        o!(SYS_openat, AT_FDCWD, c"/dev/tty", O_RDWR);
    });
    v!(reap(pid));
}
