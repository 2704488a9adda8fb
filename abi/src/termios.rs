//! asm-generic/termios.h: the size of a terminal's window (ioctl_tty(2)).

super::structures! {
    Winsize 8 {
        ws_row: u16,
        ws_col: u16,
        ws_xpixel: u16,
        ws_ypixel: u16,
    }
}
