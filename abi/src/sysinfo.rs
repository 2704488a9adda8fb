//! linux/sysinfo.h: sysinfo(2).

super::structures! {
    Sysinfo 112 {
        uptime: i64,
        loads: [u64; 3],
        totalram: u64,
        freeram: u64,
        sharedram: u64,
        bufferram: u64,
        totalswap: u64,
        freeswap: u64,
        procs: u16,
        pad: u16,
        _pad: u32,
        totalhigh: u64,
        freehigh: u64,
        mem_unit: u32,
        _end: u32,
    }
}
