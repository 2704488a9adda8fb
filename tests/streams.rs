//! Standard streams that are no terminals: pipes, files, and what is at their other ends.

mod common;

use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const UML: &str = concat!(env!("CARGO_BIN_EXE_uml"), " --cpus 1 --mem 256M --workdir / --");

/// Runs a script of the host's shell in which $UML runs a guest command. $T is an empty directory.
fn script(text: &str) -> Output {
    let name = format!("umlab-streams-{}-{:?}", std::process::id(), std::thread::current().id());
    let dir = std::env::temp_dir().join(name.replace(['(', ')'], ""));
    std::fs::create_dir_all(&dir).expect("a directory");
    let mut shell = Command::new("bash");
    shell.args(["-c", text]).env("UML", UML).env("T", &dir).stdin(Stdio::null());
    // SAFETY: it is made for the child between fork and exec.
    unsafe { shell.pre_exec(common::default_signals) };
    let output = shell.output().expect("the host has a shell");
    let _ = std::fs::remove_dir_all(&dir);
    output
}

#[track_caller]
fn prints(text: &str, expected: &str) {
    let output = script(text);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(out, expected, "standard error: {err}");
}

#[test]
fn pipes_carry_bytes_and_their_end() {
    prints("echo through | $UML cat", "through\n");
    prints("$UML cat < /dev/null; echo $?", "0\n");
    prints("head -c 3000000 /dev/zero | $UML cat | wc -c", "3000000\n");
    prints("head -c 1000000 /dev/zero | $UML wc -c", "1000000\n");
    prints("(sleep 0.3; echo late) | $UML cat", "late\n");
}

#[test]
fn a_reader_that_leaves_ends_the_writer() {
    prints("$UML yes | head -n 2; echo ${PIPESTATUS[0]}", "y\ny\n141\n");
}

#[test]
fn a_stream_the_guest_closes_is_closed() {
    // cat on the host ends while the guest still runs.
    prints("$UML sh -c 'echo first; exec >&-; sleep 1; echo last >&2' 2>$T/err | cat; echo end", "first\nend\n");
}

#[test]
fn files_share_their_position() {
    prints("(echo a; $UML echo b; echo c) > $T/f; cat $T/f", "a\nb\nc\n");
    prints("$UML sh -c 'echo out; echo err >&2; echo out' > $T/f 2>&1; cat $T/f", "out\nerr\nout\n");
    prints(
        "printf 'one\\ntwo\\nthree\\n' > $T/f; ($UML sh -c 'read x; echo got $x'; cat) < $T/f",
        "got one\ntwo\nthree\n",
    );
    prints("echo old > $T/f; $UML echo new >> $T/f; cat $T/f", "old\nnew\n");
    prints("printf 0123456789 > $T/f; $UML tail -c 3 < $T/f", "789");
}

/// Memory of the guest's that is a file of the host's goes to host calls like any other, whichever
/// process the core runs in.
#[test]
fn mapped_files_are_written_from_and_read_into() {
    let program = common::guest_programs().join("constant");
    for model in ["skas", "tt", "tt-jail", "inproc"] {
        let uml = format!("${{UML% --}} --model {model} --rw $T -- {} $T/f", program.display());
        prints(
            &format!("printf ' a file' > $T/f; {uml} > $T/out; cat $T/out $T/f.copy"),
            "constantconstant a file a file",
        );
    }
}

#[test]
fn what_streams_are_is_seen() {
    prints("echo x | $UML sh -c 'test -p /proc/self/fd/0 && echo pipe'", "pipe\n");
    prints("$UML sh -c 'test -t 1 || echo no terminal'", "no terminal\n");
    prints("echo named | $UML cat /dev/stdin", "named\n");
    prints("$UML sh -c 'echo by name > /dev/stdout' | cat", "by name\n");
}

#[test]
fn signals_to_uml_are_the_commands() {
    let start = Instant::now();
    prints(
        "$UML sh -c 'trap \"echo caught; exit 3\" TERM; echo ready; while :; do sleep 0.05; done' > $T/out & \
         until grep -qs ready $T/out; do sleep 0.02; done; kill -TERM $!; wait $!; echo $?; cat $T/out",
        "3\nready\ncaught\n",
    );
    prints(
        "$UML sh -c 'echo ready; exec sleep 100' > $T/out & \
         until grep -qs ready $T/out; do sleep 0.02; done; kill -HUP $!; wait $!; echo $?",
        "129\n",
    );
    assert!(start.elapsed() < Duration::from_secs(60));
}
