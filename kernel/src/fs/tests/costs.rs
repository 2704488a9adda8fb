use super::*;
use std::time::Instant;

/// What the calls of a build cost: `cargo test --release -p umlab-kernel costs -- --ignored
/// --nocapture`.
#[test]
#[ignore = "a measurement"]
fn costs() {
    in_kernel(|| {
        let host = HostDir::new();
        host.file("usr/include/linux/types.h", "some text");
        let guest = host.overlay();
        const N: u32 = 200_000;
        let time = |what: &str, call: &mut dyn FnMut()| {
            call();
            let start = Instant::now();
            (0..N).for_each(|_| call());
            println!("{what}: {} ns", start.elapsed().as_nanos() / u128::from(N));
        };
        let path = "/usr/include/linux/types.h";
        time("open and drop", &mut || _ = std::hint::black_box(guest.open(path, abi::O_RDONLY).unwrap()));
        time("open, missing", &mut || assert!(guest.open("/usr/include/linux/none.h", abi::O_RDONLY).is_err()));
        time("stat", &mut || _ = std::hint::black_box(guest.stat(path).unwrap()));
        let user = guest.user(1000);
        time("stat as a user", &mut || _ = std::hint::black_box(user.stat(path).unwrap()));
        let file = guest.open(path, abi::O_RDONLY).unwrap();
        let mut bytes = [0; 4096];
        time("read", &mut || _ = std::hint::black_box(file.read_at(&mut IoBuf::kernel_mut(&mut bytes), 0)));
        time("read at the end", &mut || _ = std::hint::black_box(file.read_at(&mut IoBuf::kernel_mut(&mut bytes), 9)));
        guest.write("/usr/include/linux/own.h", "some text").unwrap();
        let file = guest.open("/usr/include/linux/own.h", abi::O_RDWR).unwrap();
        time("read memory", &mut || _ = std::hint::black_box(file.read_at(&mut IoBuf::kernel_mut(&mut bytes), 0)));
        time("write memory", &mut || _ = std::hint::black_box(file.write_at(&mut IoBuf::kernel(&[1; 4096]), 0)));
        time("create and unlink", &mut || {
            guest.write("/usr/include/linux/tmp", "x").unwrap();
            guest.unlink("/usr/include/linux/tmp").unwrap();
        });
    });
}
