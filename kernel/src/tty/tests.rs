use super::*;

fn pty() -> Arc<Tty> {
    Tty::new(crate::vfs::device::number(136, 0), OtherEnd::Master(Arc::new(WaitQueue::new())))
}

fn output(tty: &Tty) -> String {
    String::from_utf8(tty.take_output(1 << 20)).unwrap()
}

#[test]
fn echo_comes_out_at_the_other_end() {
    let _held = crate::fs::tests::hold();
    let tty = pty();
    tty.type_in(b"ls\r");
    assert_eq!(output(&tty), "ls\r\n");
    assert!(tty.state.borrow().discipline.readable(&Termios::initial(), 1));
}

#[test]
fn held_output_holds_echo() {
    let _held = crate::fs::tests::hold();
    let tty = pty();
    tty.type_in(b"a\x13b");
    assert_eq!(output(&tty), "a");
    assert_eq!(tty.state.borrow().output_room(), 0);
    tty.type_in(b"\x11c");
    assert_eq!(output(&tty), "bc");
}

#[test]
fn interrupting_drops_output() {
    let _held = crate::fs::tests::hold();
    let tty = pty();
    tty.state.borrow_mut().output.extend(b"much output");
    tty.type_in(b"\x03");
    assert_eq!(output(&tty), "^C");
}

#[test]
fn keystrokes_wait_for_room() {
    let _held = crate::fs::tests::hold();
    let tty = pty();
    tty.state.borrow_mut().termios.lflag = 0;
    let many = [b'x'; 6000];
    tty.type_in(&many);
    assert_eq!(tty.state.borrow().typed.len(), 6000 - 4095);
    assert_eq!(tty.typing_room(), TYPED_MAX - (6000 - 4095));
    let mut bytes = [0; 8192];
    let mut buf = crate::mm::IoBuf::kernel_mut(&mut bytes);
    let first = tty.state.borrow_mut().discipline.read_raw(&mut buf).unwrap();
    tty.process_typed();
    let second = tty.state.borrow_mut().discipline.read_raw(&mut buf).unwrap();
    assert_eq!((first, second), (4095, 6000 - 4095));
}

#[test]
fn packet_mode_tells_news() {
    let _held = crate::fs::tests::hold();
    let tty = pty();
    tty.state.borrow_mut().packet = true;
    tty.type_in(b"\x13");
    assert_eq!(tty.state.borrow().packet_status, packet::STOP);
    tty.type_in(b"\x11");
    assert_eq!(tty.state.borrow().packet_status, packet::START);
    tty.flush_queues(true, true);
    assert_eq!(tty.state.borrow().packet_status, packet::START | packet::FLUSH_READ | packet::FLUSH_WRITE);
}

#[test]
fn a_hangup_forgets_everything() {
    let _held = crate::fs::tests::hold();
    let tty = pty();
    tty.type_in(b"typed\r");
    tty.hang_up();
    assert_eq!(output(&tty), "");
    assert!(!tty.state.borrow().discipline.readable(&Termios::initial(), 1));
    assert_eq!(tty.state.borrow().generation, 1);
}
