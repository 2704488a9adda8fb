//! The guest kernel checks itself while it works: what it lists, what its model believes and what
//! the host shows of guest memory agree, in every model, on one CPU and two. What the audit finds
//! when they do not is a matter of unit tests (`kernel/src/mm/audit`), and of the attacks, which
//! run with it as well.

mod common;

use common::{Program, guest_programs};

/// Model, number of CPUs, and of how many traps one is followed by a look.
const GUESTS: [(&str, &str, &str); 8] = [
    ("skas", "1", "1"),
    ("skas", "2", "1"),
    ("unotify", "2", "1"),
    ("sigsys", "1", "1"),
    ("tt", "1", "4"),
    ("tt-jail", "1", "16"),
    ("inproc", "2", "4"),
    ("inproc", "1", "4"),
];

fn audited(program: &Program) {
    for (model, cpus, every) in GUESTS {
        let options = ["--cpus", cpus, "--mem", "1G", "--audit", every];
        program.clone().model(model).options(&options).compare();
    }
}

#[test]
fn processes_and_files() {
    let script = "
        for i in 1 2 3; do (:); /bin/true & done; wait
        seq 1 3000 | sort -rn | sort -n | md5sum
        d=$(mktemp -d); cd $d
        for i in 1 2 3; do head -c 300000 /dev/zero | tr '\\0' $i >$i; cp $i copy$i; truncate -s 10 copy$i; done
        cat * | md5sum; tar cf - . | tar xOf - ./2 | md5sum
        perl -e 'my @a = map { \"x\" x $_ } 1 .. 2000; if (my $p = fork) { wait; print length(join(\"\", @a)), \" $?\\n\" } else { $_ .= 1 for @a; exit 3 }'
        rm -r $d";
    audited(&Program::new(&["bash", "-c", script]).env("TMPDIR", "/dev/shm"));
}

#[test]
fn threads() {
    audited(&Program::new(&[guest_programs().join("threads")]).limit(300));
}

/// Questions about mappings of all kinds, by a program that maps, protects, moves and unmaps at
/// every border. The answers are `oracle.rs`'s matter.
#[test]
fn mappings() {
    let mut argv = vec![guest_programs().join("oracle").into_os_string(), "run".into()];
    argv.extend(["mem_map", "mem_change", "mem_share", "mem_fault"].map(Into::into));
    for (model, cpus, every) in GUESTS {
        let options = ["--cpus", cpus, "--mem", "1G", "--audit", every];
        let program = Program::new(&argv).env("TMPDIR", "/dev/shm").model(model).options(&options).limit(300);
        let outcome = program.in_guest();
        assert!(!outcome.err().contains("the audit found"), "{model} with {cpus} CPUs: {outcome:?}");
        outcome.code(0);
    }
}
