//! The command line of `umlab`: exit statuses, mistakes, standard streams, and what each option of
//! `umlab run` does.

mod common;

use common::{End, Outcome, Program, SOURCE, guest_programs, run, umlab};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

// --- exit statuses
// ---------------------------------------------------------------------------------------------------

#[test]
fn the_status_is_the_commands() {
    for (script, status) in [
        ("true", 0),
        ("false", 1),
        ("exit 42", 42),
        ("exit 255", 255),
        ("kill -TERM $$", 128 + 15),
        ("kill -KILL $$", 128 + 9),
        ("kill -INT $$", 128 + 2),
        ("ulimit -c 0; kill -SEGV $$", 128 + 11),
        // A status of its own that looks like one of umlab's.
        ("exit 125", 125),
    ] {
        Program::sh(script).in_guest().code(status);
    }
}

#[test]
fn a_command_that_cannot_run() {
    for (command, status) in [
        ("no-such-command", 127),
        ("/no/such/file", 127),
        ("./no-such-file", 127),
        ("", 127),
        ("/etc/passwd", 126),
        ("/etc", 126),
        ("/", 126),
        ("/etc/passwd/below", 127),
    ] {
        let outcome = Program::new(&[command]).in_guest().code(status);
        one_clear_line(&outcome, command);
    }
}

#[test]
fn a_script_without_its_interpreter() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("script");
    fs::write(&path, "#!/no/such/interpreter\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    one_clear_line(&Program::new(&[&path]).in_guest().code(127), "script");
}

// --- mistakes
// --------------------------------------------------------------------------------------------------------

/// The first line names the culprit, and nothing looks like a fault of ours.
#[track_caller]
fn clear(outcome: &Outcome, culprit: &str) {
    let text = outcome.err();
    assert!(text.lines().next().is_some_and(|line| line.contains(culprit)), "{outcome:?}");
    assert!(!text.contains("panicked") && !text.contains("os error"), "{outcome:?}");
    assert!(outcome.stdout.is_empty(), "{outcome:?}");
}

#[track_caller]
fn one_clear_line(outcome: &Outcome, culprit: &str) {
    clear(outcome, culprit);
    assert_eq!(outcome.err().lines().count(), 1, "{outcome:?}");
}

#[test]
fn nonsense_on_the_command_line() {
    for (arguments, culprit) in [
        (&["run", "--cpus", "0", "--", "true"][..], "--cpus"),
        (&["run", "--cpus", "many", "--", "true"], "many"),
        (&["run", "--cpus", "-1", "--", "true"], "-1"),
        (&["run", "--cpus", "99999999999", "--", "true"], "99999999999"),
        (&["run", "--mem", "0", "--", "true"], "--mem"),
        (&["run", "--mem", "lots", "--", "true"], "lots"),
        (&["run", "--mem", "99999999999999999999G", "--", "true"], "99999999999999999999G"),
        (&["run", "--env", "NOVALUE", "--", "true"], "NOVALUE"),
        (&["run", "--env", "=x", "--", "true"], "=x"),
        (&["run", "--user", "no such user", "--", "true"], "no such user"),
        (&["run", "--user", "1:", "--", "true"], "1:"),
        (&["run", "--tmpfs", "relative", "--", "true"], "relative"),
        (&["run", "--tmpfs", "/x:big", "--", "true"], "big"),
        (&["run", "--rw", "/etc:relative", "--", "true"], "relative"),
        (&["run", "--log", "loud", "--", "true"], "loud"),
        (&["run", "--root", "", "--", "true"], "--root"),
        (&["run", "--no-such-option", "--", "true"], "--no-such-option"),
        (&["run", "--cpus"], "--cpus"),
        (&["run"], "COMMAND"),
        (&["run", "--"], "COMMAND"),
        (&["no-such-verb"], "no-such-verb"),
    ] {
        let outcome = umlab(arguments).code(125);
        // What was missing may stand below the first line.
        assert!(outcome.err().contains(culprit), "{arguments:?}: {outcome:?}");
        clear(&outcome, "");
    }
}

#[test]
fn things_that_are_not_there() {
    for (arguments, culprit) in [
        (&["run", "--root", "/no/such/root", "--", "true"][..], "/no/such/root"),
        (&["run", "--root", "/etc/passwd", "--", "true"], "/etc/passwd"),
        (&["run", "--model", "nonsense", "--", "true"], "nonsense"),
        (&["run", "--rw", "/no/such/directory", "--", "true"], "/no/such/directory"),
        (&["run", "--ro", "/no/such/directory:/x", "--", "true"], "/no/such/directory"),
        (&["run", "--workdir", "/no/such/directory", "--", "true"], "/no/such/directory"),
        (&["run", "--trace=/no/such/directory/trace", "--", "true"], "/no/such/directory/trace"),
        (&["run", "--stats=/no/such/directory/stats", "--", "true"], "/no/such/directory/stats"),
    ] {
        one_clear_line(&umlab(arguments).code(125), culprit);
    }
}

#[test]
fn a_root_that_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read_dir(dir.path()).is_ok() {
        // We are root, whom no mode stops: it takes another user.
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", common::UMLAB, "run", "--root"]);
        command.arg(dir.path()).args(["--", "true"]);
        let outcome = run(command, b"", Duration::from_secs(60));
        if outcome.err().starts_with("setpriv:") {
            eprintln!("not tested: the build's directory is closed to other users");
            return;
        }
        one_clear_line(&outcome.code(125), &dir.path().display().to_string());
        return;
    }
    let outcome = umlab(&["run", "--root", &dir.path().display().to_string(), "--", "true"]).code(125);
    one_clear_line(&outcome, &dir.path().display().to_string());
}

#[test]
fn help_version_and_models() {
    let help = umlab(&["--help"]).code(0).out();
    assert!(help.contains("run") && help.contains("models"), "{help}");
    let help = umlab(&["run", "--help"]).code(0).out();
    for option in [
        "--model",
        "--cpus",
        "--mem",
        "--root",
        "--rw",
        "--rw-special",
        "--ro",
        "--tmpfs",
        "--env",
        "--workdir",
        "--user",
        "--hostname",
        "--trace",
        "--stats",
        "--log",
    ] {
        assert!(help.contains(option), "{option} is missing in:\n{help}");
    }
    assert!(umlab(&["--version"]).code(0).out().contains(env!("CARGO_PKG_VERSION")));
    let models = umlab(&["models"]).code(0).out();
    assert!(models.lines().any(|line| line.starts_with("skas")), "{models}");
}

// --- standard streams
// ------------------------------------------------------------------------------------------------

#[test]
fn streams_pass_through() {
    let input: Vec<u8> = (0..3_000_000u32).map(|i| (i * 7 % 251) as u8).collect();
    let outcome = Program::new(&["cat"]).stdin(input.clone()).in_guest().code(0);
    assert!(outcome.stdout == input, "{} of {} bytes came back", outcome.stdout.len(), input.len());

    let outcome = Program::sh("echo out; echo err >&2; exec >&2; echo both").in_guest().code(0).says("out");
    assert_eq!(outcome.err(), "err\nboth\n");
    Program::sh("wc -c; head -c 3 | wc -c").stdin("12345").in_guest().code(0).says("5\n0");
    Program::sh("read -r line; echo \"$line\"; cat").stdin("one\ntwo\n").in_guest().code(0).says("one\ntwo");
    Program::sh("test -t 0 || test -t 1 || test -t 2 || echo no terminal").in_guest().code(0).says("no terminal");
}

#[test]
fn large_output() {
    let script = "head -c 50000000 /dev/zero; head -c 20000000 /dev/zero >&2";
    let outcome = Program::sh(script).in_guest().code(0);
    assert_eq!((outcome.stdout.len(), outcome.stderr.len()), (50_000_000, 20_000_000));
}

#[test]
fn a_reader_that_leaves() {
    // The shell's own status: that of umlab, of which head has read one line.
    let script = format!("set -o pipefail; {} run -- yes | head -n 1", common::UMLAB);
    Program::new(&["bash", "-c", &script]).on_host().code(141).says("y");
    for own in ["models", "compare results/reference-peers results/reference-full"] {
        // `true` has left by then.
        let script = format!("set -o pipefail; cd {SOURCE}; (sleep 0.3; exec {} {own}) | true", common::UMLAB);
        let outcome = Program::new(&["bash", "-c", &script]).on_host().code(141);
        assert_eq!(outcome.err(), "", "{own}");
    }
    let script = format!("{} run -- cat /dev/zero >/dev/full", common::UMLAB);
    assert!(Program::sh(&script).on_host().code(1).err().contains("No space left"));
}

#[test]
fn closed_and_odd_streams() {
    let umlab = common::UMLAB;
    let here = |script: String| Program::new(&["bash", "-c", &script]).on_host();
    here(format!("{umlab} run -- sh -c 'cat; echo read' <&-")).says("read");
    here(format!("{umlab} run -- true >&-")).code(0);
    here(format!("{umlab} run -- sh -c 'exit 3' <&- >&- 2>&-")).code(3);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    let name = file.display();
    fs::write(&file, "first\nsecond\n").unwrap();
    // A file as standard input can be read from where it stands, and one as standard output is
    // appended to.
    here(format!("{{ read -r x; {umlab} run -- cat; }} <{name}")).says("second");
    here(format!("{umlab} run -- echo third >>{name}")).code(0);
    assert_eq!(fs::read_to_string(&file).unwrap(), "first\nsecond\nthird\n");
    here(format!("{umlab} run -- sh -c 'wc -c <&0; stat -Lc %F /dev/stdin' <{name}")).says("19\nregular file");
    here(format!("echo piped | {umlab} run -- stat -Lc %F /dev/stdin")).says("fifo");
    here(format!("{umlab} run -- stat -Lc %F /dev/stdin </dev/null")).says("character special file");
}

#[test]
fn signals_to_umlab_reach_the_command() {
    for (signal, status) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let script = format!(
            "{} run -- sh -c 'echo ready; exec sleep 100' >out & p=$!
             for i in $(seq 200); do grep -q ready out && break; sleep 0.05; done
             kill -{signal} $p; wait $p; echo $?",
            common::UMLAB
        );
        let dir = tempfile::tempdir().unwrap();
        // An ignored SIGINT would be inherited by a shell's background command.
        let script = format!("cd {}; set -m; {script}", dir.path().display());
        Program::new(&["bash", "-c", &script]).limit(60).on_host().says(&status.to_string());
    }
}

// --- options
// ---------------------------------------------------------------------------------------------------------

#[test]
fn environment() {
    let show = "echo \"$A|$B|$GIVEN\"";
    Program::sh(show)
        .env("GIVEN", "kept")
        .options(&["--env", "A=1", "--env", "B=x=y z"])
        .in_guest()
        .says("1|x=y z|kept");
    Program::sh(show).env("GIVEN", "host").options(&["--env", "GIVEN=a", "--env", "GIVEN=b"]).in_guest().says("||b");
    Program::sh(show).options(&["--env", "A="]).in_guest().says("||");
    // The command is looked for in the guest's PATH, not in ours.
    Program::new(&["true"]).options(&["--env", "PATH=/nowhere"]).in_guest().code(127);
}

#[test]
fn working_directory() {
    Program::new(&["pwd"]).options(&["--workdir", "/usr/bin"]).in_guest().says("/usr/bin");
    Program::new(&["/bin/pwd"]).options(&["--tmpfs", "/work", "--workdir", "/work"]).in_guest().says("/work");
    let here = std::env::current_dir().unwrap();
    Program::new(&["/bin/pwd"]).in_guest().says(&here.display().to_string());
}

#[test]
fn users() {
    let who = "echo $(id -u) $(id -g) $(id -G)";
    Program::sh(who).options(&["--user", "1234:567"]).in_guest().says("1234 567 567");
    Program::sh(who).options(&["--user", "65534"]).in_guest().says("65534 65534 65534");
    Program::sh(who).compare();
    let denied = "touch /usr/x 2>/dev/null || echo denied; test -r /etc/shadow || echo unreadable";
    Program::sh(denied).options(&["--user", "65534"]).in_guest().says("denied\nunreadable");
    Program::sh("touch mine && stat -c '%u %g' mine")
        .options(&["--user", "77:88", "--workdir", "/tmp"])
        .in_guest()
        .says("77 88");
}

#[test]
fn hostname() {
    let names = "uname -n; cat /proc/sys/kernel/hostname; hostname 2>/dev/null || uname -n";
    Program::sh(names).options(&["--hostname", "box"]).in_guest().says("box\nbox\nbox");
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    Program::sh("hostname other && uname -n").options(&["--user", "0:0"]).in_guest().says("other");
    assert_eq!(fs::read_to_string("/proc/sys/kernel/hostname").unwrap(), host);
}

#[test]
fn cpus_and_memory() {
    for cpus in ["1", "2", "3"] {
        Program::sh("nproc; grep -c ^processor /proc/cpuinfo")
            .options(&["--cpus", cpus])
            .in_guest()
            .says(&format!("{cpus}\n{cpus}"));
    }
    let outcome =
        Program::sh("awk '/MemTotal/ { print $2 }' /proc/meminfo").options(&["--mem", "300M"]).in_guest().code(0);
    let total: u64 = outcome.out().trim().parse().unwrap();
    assert!((200 << 10..=300 << 10).contains(&total), "{total} KiB of 300 MiB");
}

#[test]
fn cpus_are_as_many_as_the_model_can_have() {
    Program::new(&["nproc"]).model("tt-jail").in_guest().says("1");
    let allowed = Program::new(&["nproc"]).on_host().out();
    Program::new(&["nproc"]).in_guest().says(allowed.trim());
    let outcome = Program::new(&["true"]).model("tt-jail").options(&["--cpus", "2"]).in_guest().code(125);
    one_clear_line(&outcome, "--cpus 1");
}

#[test]
fn a_model_that_does_not_work_here_has_the_reason_that_models_gives() {
    let models = umlab(&["models"]).code(0).out();
    // A model's name begins a line; what else there is of it follows, and the answer last.
    let lines: Vec<&str> = models.lines().collect();
    let of_models: Vec<&[&str]> = lines.chunk_by(|_, next| next.starts_with(' ')).collect();
    assert!(of_models.len() >= 7, "{models}");
    for of_model in of_models {
        let name = of_model[0].split_whitespace().next().expect("a model's name");
        let answer = of_model.last().expect("lines");
        let outcome = umlab(&["run", "--model", name, "--", "true"]);
        match answer.split_once("not on this host: ") {
            Some((_, reason)) => one_clear_line(&outcome.code(125), reason),
            None => drop(outcome.code(0)),
        }
    }
}

/// A script of bash's on the host.
fn bash(script: &str) -> Outcome {
    Program::new(&["bash", "-c", script]).on_host()
}

#[test]
fn the_file_mode_mask_the_limits_and_the_nice_value_are_the_callers() {
    let show = "umask; ulimit -Sa; ulimit -Ha; nice; cat /proc/self/limits";
    let set =
        "umask 0137; ulimit -n 1000; ulimit -S -n 333; ulimit -S -f 123456; ulimit -S -t 1000; ulimit -S -v 9000000";
    let host = bash(&format!("{set}; nice -n 5 bash -c '{show}'")).code(0);
    assert!(host.out().starts_with("0137\n"), "{host:?}");
    for model in ["skas", "tt", "tt-jail"] {
        let guest = bash(&format!("{set}; nice -n 5 {} run --model {model} -- bash -c '{show}'", common::UMLAB));
        guest.code(0).says(host.out().trim());
    }
}

#[test]
fn new_files_on_the_host_have_the_mode_that_the_guest_gives_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().display();
    let script = format!("cd {path}; touch private; mkdir closed; umask 0; touch public; mkdir open");
    bash(&format!("umask 077; {} run --rw {path} -- sh -c '{script}'", common::UMLAB)).code(0);
    let mode = |name: &str| fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(["private", "closed", "public", "open"].map(mode), [0o600, 0o700, 0o666, 0o777]);
}

// --- limits of the host
// ----------------------------------------------------------------------------------------------

/// A guest under a limit of the host's: it runs, or one line names the limit.
#[track_caller]
fn under_limit(model: &str, limit: &str, before: &str) -> Outcome {
    let script = "echo hello; (echo child) 2>&1";
    let umlab = common::UMLAB;
    let outcome =
        bash(&format!("ulimit {limit} && exec {before} {umlab} run --model {model} --mem 256M -- sh -c '{script}'"));
    match outcome.end {
        End::Code(125) => one_clear_line(&outcome, &format!("(ulimit {})", &limit[..2])),
        End::Code(0) => assert_eq!(outcome.out(), "hello\nchild\n", "{limit}: {outcome:?}"),
        // The shell has it from the guest kernel.
        End::Code(2) => assert!(outcome.out() == "hello\n" && outcome.err().contains("fork"), "{outcome:?}"),
        _ => panic!("{limit}: {outcome:?}"),
    }
    outcome
}

#[test]
fn limits_of_the_host_are_named_or_met_inside() {
    for model in ["skas", "tt"] {
        for limit in
            ["-v 1000000", "-v 80000000", "-f 0", "-f 1000", "-n 6", "-n 100", "-n 300", "-d 1000", "-d 20000", "-i 0"]
        {
            under_limit(model, limit, "");
        }
        // Those that do not concern the kernel, and those that it need not keep itself.
        for limit in ["-s 64", "-c 0", "-l 0", "-t 100", "-S -v 1000000", "-S -f 1000", "-S -d 1000", "-S -n 20"] {
            under_limit(model, limit, "").code(0);
        }
    }
}

#[test]
fn limits_on_processes_are_named_or_met_inside() {
    let before = "setpriv --reuid 65533 --regid 65533 --clear-groups env -C /";
    if bash(&format!("{before} {} models", common::UMLAB)).end != End::Code(0) {
        return eprintln!("not tested: it takes another user, who can reach the build's directory");
    }
    for model in ["skas", "tt"] {
        for limit in ["-u 1", "-u 3", "-u 5", "-u 8"] {
            under_limit(model, limit, before);
        }
    }
}

#[test]
fn the_end_of_the_cpu_time_that_the_host_allows() {
    let run = |script: &str| bash(&format!("ulimit -t 2; {} run --cpus 1 -- {script}", common::UMLAB));
    // The guest kernel ends the process that exceeds its limit, as the host would.
    run("sh -c 'while :; do :; done'").code(137);
    // None of these processes does, but all of them together cost the kernel too much. As root it
    // may have more.
    let outcome = run("timeout 20 sh -c 'while :; do /bin/true; done'");
    match outcome.end {
        End::Code(124) => {}
        _ => one_clear_line(&outcome.code(125), "ulimit -t"),
    }
}

#[test]
fn the_default_root_keeps_the_host_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let kept = dir.path().join("kept");
    fs::write(&kept, "host").unwrap();
    let script = "set -e; cd \"$0\"; cat kept; echo guest >kept; cat kept; echo new >new; mkdir d; mv kept moved; ls; \
                  chmod 0 moved; rm -r d new; cd /; rm -r \"$0\"; test ! -e \"$0\"; echo gone";
    let argv = ["sh", "-c", script, &dir.path().display().to_string()];
    Program::new(&argv).in_guest().code(0).says("hostguest\nd\nmoved\nnew\ngone");
    assert_eq!(fs::read_to_string(&kept).unwrap(), "host");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn rw_shows_a_host_directory() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().display().to_string();
    fs::write(dir.path().join("old"), "old").unwrap();
    let script =
        |at: &str| format!("cat {at}/old; echo -n new >{at}/new; mkdir {at}/d && touch {at}/d/x; rm {at}/old; ls {at}");
    Program::sh(&script(&path)).options(&["--rw", &path]).in_guest().code(0).says("oldd\nnew");
    assert_eq!(fs::read_to_string(dir.path().join("new")).unwrap(), "new");
    assert!(!dir.path().join("old").exists() && dir.path().join("d/x").exists());

    Program::sh("cat /elsewhere/deep/new; echo more >>/elsewhere/deep/new")
        .options(&["--rw", &format!("{path}:/elsewhere/deep")])
        .in_guest()
        .code(0)
        .says("new");
    assert_eq!(fs::read_to_string(dir.path().join("new")).unwrap(), "newmore\n");
    // A single file.
    let file = dir.path().join("new").display().to_string();
    Program::sh(&format!("echo only >{file}; echo lost >{path}/other")).options(&["--rw", &file]).in_guest().code(0);
    assert_eq!(fs::read_to_string(dir.path().join("new")).unwrap(), "only\n");
    assert!(!dir.path().join("other").exists());
}

#[test]
fn ro_shows_a_host_directory_and_keeps_it() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "text").unwrap();
    let script =
        "cat /shown/file; (echo x >/shown/file) 2>&1; touch /shown/new 2>&1; rm /shown/file 2>&1; mkdir /shown/d 2>&1";
    let outcome = Program::sh(script).options(&["--ro", &format!("{}:/shown", dir.path().display())]).in_guest();
    assert!(outcome.out().starts_with("text"), "{outcome:?}");
    assert_eq!(outcome.out().matches("Read-only file system").count(), 4, "{outcome:?}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn tmpfs() {
    let script = "stat -f -c %T /t; ls -A /t | wc -l; head -c 2000000 /dev/zero >/t/big 2>/dev/null || echo full; \
                  test $(stat -c %s /t/big) -le 1048576 && echo limited; rm /t/big; echo again >/t/x; cat /t/x";
    Program::sh(script).options(&["--tmpfs", "/t:1M"]).in_guest().code(0).says("tmpfs\n0\nfull\nlimited\nagain");
    // Over something that is there, and deep below something that is not.
    Program::sh("ls /usr | wc -l; touch /new/deep/x && ls /new/deep")
        .options(&["--tmpfs", "/usr/share", "--tmpfs", "/new/deep"])
        .in_guest()
        .code(0);
    Program::sh("ls -A /var | wc -l").options(&["--tmpfs", "/var"]).in_guest().code(0).says("0");
}

/// Nothing of a mount that is noexec runs, not even by a mapping.
#[test]
fn noexec() {
    let script = "mount -t tmpfs -o noexec none /t && cp /bin/true /t && echo mounted; /t/true || echo refused; \
                  /lib64/ld-linux-x86-64.so.2 /t/true || echo refused; mount -o remount,exec /t && /t/true && echo ran";
    let outcome = Program::sh(script).options(&["--tmpfs", "/t"]).in_guest().code(0);
    assert_eq!(outcome.out().trim_end(), "mounted\nrefused\nrefused\nran", "{outcome:?}");
}

/// A root that holds one static program.
#[test]
fn another_root() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["tmp", "proc", "dev", "bin"] {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    fs::copy(guest_programs().join("threads"), dir.path().join("bin/threads")).unwrap();
    let root = dir.path().display().to_string();
    Program::new(&["/bin/threads"]).options(&["--root", &root]).in_guest().code(0).says("done");
    Program::new(&["threads"]).options(&["--root", &root, "--workdir", "/tmp"]).in_guest().code(0).says("done");
    Program::new(&["sh"]).options(&["--root", &root]).in_guest().code(127);
    assert_eq!(fs::read_dir(dir.path().join("tmp")).unwrap().count(), 0);
}

#[test]
fn trace() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("trace");
    let script = "cat /etc/hostname; trap : USR1; kill -USR1 $$; sh -c 'kill -9 $$'; true";
    Program::sh(script).options(&[&format!("--trace={}", file.display())]).in_guest().code(0);
    let trace = fs::read_to_string(&file).unwrap();
    for part in [
        "[\"sh\", \"-c\", \"cat /etc/hostname",
        "openat(AT_FDCWD, \"/etc/hostname\"",
        "read(",
        "write(1",
        "--- SIGUSR1 {si_signo=SIGUSR1, si_code=0} ---",
        "+++ killed by SIGKILL +++",
        "exit_group(0",
        "+++ exited with 0 +++",
    ] {
        assert!(trace.contains(part), "no {part} in:\n{trace}");
    }
    let outcome = Program::new(&["true"]).options(&["--trace"]).in_guest().code(0);
    assert!(outcome.err().contains("exit_group(0"), "{outcome:?}");
}

#[test]
fn stats() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("stats.json");
    // A call that does not exist is counted.
    let script = "import ctypes; ctypes.CDLL(None).syscall(999); print(1)";
    let argv = ["/usr/bin/python3", "-c", script];
    Program::new(&argv).options(&[&format!("--stats={}", file.display())]).in_guest().code(0).says("1");
    let stats: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).expect("JSON");
    assert!(stats["missing_system_calls"].to_string().contains("0x3e7"), "the missing call is not counted: {stats:#}");
    assert!(stats.as_object().is_some_and(|fields| fields.len() > 3), "{stats:#}");
    let outcome = Program::new(&["false"]).options(&["--stats"]).in_guest().code(1);
    serde_json::from_str::<serde_json::Value>(&outcome.err()).expect("JSON on standard error");
}

#[test]
fn log_levels() {
    for level in ["error", "warn", "info", "debug"] {
        Program::new(&["echo", "fine"]).options(&["--log", level]).in_guest().code(0).says("fine");
    }
    let quiet = Program::new(&["true"]).in_guest().code(0);
    assert!(quiet.stderr.is_empty(), "{quiet:?}");
}

#[test]
fn options_end_where_the_command_begins() {
    Program::new(&["echo", "--cpus", "--", "-x"]).in_guest().code(0).says("--cpus -- -x");
    let outcome = umlab(&["run", "echo", "--cpus", "9"]).code(0);
    outcome.says("--cpus 9");
}

#[test]
fn many_guests_at_once() {
    let threads: Vec<_> =
        (0..6).map(|i| std::thread::spawn(move || Program::sh(&format!("echo {i}; exit {i}")).in_guest())).collect();
    for (i, thread) in threads.into_iter().enumerate() {
        thread.join().unwrap().code(i as i32).says(&i.to_string());
    }
}

#[test]
fn the_documented_commands_work() {
    Program::new(&["uname", "-s", "-m"]).in_guest().code(0).says("Linux x86_64");
    assert_ne!(Program::sh("exec sleep 0.05").in_guest().end, End::TimedOut);
}
