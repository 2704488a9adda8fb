#!/usr/bin/env bash
# A small crate without dependencies: built, tested and run by cargo, offline.
set -eu
work=$(mktemp -d) && cd "$work"
trap 'cd / && rm -rf "$work"' EXIT
export CARGO_HOME=$work/home CARGO_NET_OFFLINE=true CARGO_TERM_COLOR=never CARGO_INCREMENTAL=0

cargo new --quiet --vcs none --name small project
cd project
cat >src/lib.rs <<'END'
/// ```
/// assert_eq!(small::fibonacci(10), 55);
/// ```
pub fn fibonacci(n: u32) -> u64 {
    (0..n).fold((0, 1), |(a, b), _| (b, a + b)).0
}

#[test]
fn grows() {
    assert_eq!(fibonacci(50), 12586269025);
}
END
cat >src/main.rs <<'END'
use std::thread;
fn main() {
    let sums: Vec<_> = (0..8).map(|t| thread::spawn(move || (t..t + 20).map(small::fibonacci).sum::<u64>())).collect();
    println!("{:?}", sums.into_iter().map(|t| t.join().unwrap()).collect::<Vec<_>>());
    println!("{}", env!("FROM_BUILD_SCRIPT"));
}
END
echo 'fn main() { println!("cargo::rustc-env=FROM_BUILD_SCRIPT=built"); }' >build.rs

cargo build --quiet --offline
target/debug/small
cargo run --quiet --offline --release
cargo test --quiet --offline --lib 2>&1 | grep 'test result' | cut -d';' -f1,2
touch src/lib.rs && cargo build --offline 2>&1 | grep -c Compiling
cargo build --offline 2>&1 | grep -c Compiling || echo "nothing to do"
echo 'fn broken(' >>src/main.rs
cargo build --quiet --offline 2>/dev/null || echo "refused with $?"
echo done
