//! The list of checks. The program that runs in guests has a function for each.

/// What a model promises of a check's subject.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Promise {
    /// Every model has to get it right.
    Always,
    /// Guests cannot read the core's memory.
    CoreUnreadable,
    /// Guests cannot change the core's memory.
    CoreUnwritable,
    /// Guests make no calls of the host.
    NoHostCalls,
    /// Guests can change nothing that they have not mapped, whatever it is for.
    NothingBeside,
}

/// One check.
#[derive(Debug)]
pub struct Check {
    /// AREA/NAME, as on the command line.
    pub name: &'static str,
    /// What is right, in a line.
    pub about: &'static str,
    pub promise: Promise,
}

const fn always(name: &'static str, about: &'static str) -> Check {
    Check { name, about, promise: Promise::Always }
}

/// All of them, in the order in which they are run.
pub const CHECKS: &[Check] = &[
    always("traps/syscall", "system calls trap, and give the kernel's answer"),
    always("traps/int80", "int 0x80 traps, and is answered by the kernel or not at all"),
    always("traps/sysenter", "sysenter ends the program or does nothing"),
    always("traps/vsyscall", "calls of the vsyscall page are the kernel's"),
    always("traps/vdso", "clocks that are read without a trap agree with the kernel's"),
    always("traps/page-faults", "reads, writes and jumps to where they may not go are told with address and kind"),
    always("traps/bus", "an access beyond the end of a mapped file is SIGBUS"),
    always("traps/divide", "divisions by zero and with too large a quotient"),
    always("traps/floating-point", "unmasked exceptions of the x87 and of SSE"),
    always("traps/undefined", "an undefined instruction"),
    always("traps/breakpoint", "int3 and int1"),
    always("traps/step", "single steps, also over a system call"),
    always("traps/alignment", "unaligned accesses where the program asked to be told of them"),
    always("traps/privileged", "instructions and selectors that user code may not use"),
    always("traps/non-canonical", "addresses that there are not, and a kernel's own"),
    always("traps/timestamps", "rdtsc works, or not, as the thread has asked"),
    always("traps/hostile-state", "calls and faults with strange flags, stacks and floating-point state"),
    always("state/syscall", "a system call keeps all registers but rax, rcx and r11"),
    always("state/sleeping-syscall", "so does one that sleeps"),
    always("state/int80", "int 0x80 keeps all registers but rax"),
    always("state/demand-fault", "the first touch of a page keeps all registers"),
    always("state/copy-fault", "a write to a page that a fork's child shares keeps all registers"),
    always("state/segv", "a fault with a handler that goes on behind it keeps all registers"),
    always("state/mended-fault", "a fault with a handler that mends it keeps all registers"),
    always("state/breakpoint", "a breakpoint with a handler keeps all registers"),
    always("state/step", "single steps with a handler keep all registers"),
    always("state/divide", "a division by zero with a handler keeps all registers"),
    always("state/undefined", "an undefined instruction with a handler keeps all registers"),
    always("state/alignment", "an unaligned access with a handler keeps all registers"),
    always("state/signal-frame", "a handler finds the registers in its frame, and what it changes there holds"),
    always("state/signalled", "code that spins keeps all registers when signals come"),
    always("state/fork", "parent and child of a fork keep all registers"),
    always("state/threads", "threads that are interrupted and switched keep all registers"),
    always("state/processes", "processes that are interrupted and switched keep all registers"),
    always("state/yielding", "threads that hand over the CPU keep all registers"),
    always("state/identification", "the identification flag belongs to a thread"),
    always("state/moves", "a thread that is moved between CPUs while it computes keeps all registers"),
    always("state/own-moves", "a thread that moves itself keeps all registers, and is where it wants to be"),
    always("edges/absent", "an access that reaches into a page that is not there faults there, and changes nothing"),
    always("edges/read-only", "a store that reaches into a read-only page faults there, and changes nothing"),
    always("edges/demand", "an access on two fresh pages"),
    always("edges/copied", "a store on two pages that a fork's child shares"),
    always("edges/string", "a string instruction goes as far as it may"),
    always("edges/fetch", "an instruction on two pages, of which one may not be executed"),
    always("edges/stack", "the stack grows, page by page and in leaps"),
    always("mappings/unmapped", "what was unmapped cannot be used"),
    always("mappings/protected", "rights hold at once when they are taken away and given back"),
    always("mappings/replaced", "what was replaced, moved or given up is gone"),
    always("mappings/code", "code that is written anew is run, and data is not"),
    always("mappings/at-random", "changes at random: every page is what it should be"),
    always("mappings/in-processes", "the same in several processes at once"),
    always("mappings/in-threads", "the same in several threads at once"),
    always("mappings/seen-by-threads", "what one thread changes holds for another one when the call returns"),
    always("mappings/copies", "parent and child of a fork see their own writes alone"),
    always("mappings/shared", "what is shared between processes is seen by all"),
    always("mappings/fresh", "fresh memory is zero, whoever had it before"),
    always("interrupts/timer", "code that spins gets the signals of a timer"),
    always("interrupts/signal", "code that spins gets the signals of another process"),
    always("interrupts/killed", "code that spins is killed"),
    always("interrupts/slices", "several processes that compute on one CPU all get on"),
    always("interrupts/sleeper", "one that sleeps wakes in time while others compute"),
    always("interrupts/computation", "interruptions at any instruction change no result"),
    always("spaces/in-turn", "a thousand processes, one after the other, with memory of their own"),
    always("spaces/at-once", "a thousand processes at once, each with its own memory at one address"),
    always("spaces/programs", "a hundred programs, each in a new process"),
    always("spaces/replaced", "a hundred programs in one process"),
    always("processes/statuses", "processes end with the status that they or a signal gave"),
    always("processes/fatal-traps", "traps that nobody handles end a process, by the right signal"),
    always("processes/vfork", "the parent of a vfork sleeps until its child ends, and shares its memory"),
    always("processes/exec", "a new program has its arguments, its environment and the process's number"),
    always("processes/exec-empties", "a new program finds nothing of the old one's memory"),
    always("processes/tree", "processes with children with children, all at once"),
    always("processes/orphans", "processes outlive their parents"),
    always("processes/under-load", "programs start while others compute"),
    always("threads/memory", "threads count together"),
    always("threads/local-storage", "each thread has its own thread-local memory"),
    always("threads/handing-over", "threads wake each other in turn"),
    always("threads/rendezvous", "threads on all CPUs wait for each other without a trap"),
    always("threads/cpu-number", "the C library tells the number of the CPU"),
    always("threads/exit-group", "the end of a process ends its threads, which compute"),
    always("threads/exec", "a new program of one thread ends the others, which compute"),
    always("threads/fork", "a fork while another thread writes gives a copy that stays"),
    Check {
        name: "isolation/core-read",
        about: "what the kernel and other processes have cannot be read past the kernel",
        promise: Promise::CoreUnreadable,
    },
    Check {
        name: "isolation/core-write",
        about: "what the kernel and other processes have cannot be changed past the kernel",
        promise: Promise::CoreUnwritable,
    },
    Check {
        name: "isolation/writable",
        about: "no memory is writable that the program has not mapped",
        promise: Promise::NothingBeside,
    },
    Check {
        name: "isolation/scribbled",
        about: "who writes where the program has mapped nothing harms that program alone",
        promise: Promise::CoreUnwritable,
    },
    Check {
        name: "isolation/host-call",
        about: "jumps to system calls in the model's own code reach no other kernel",
        promise: Promise::NoHostCalls,
    },
    always("lost/process", "a host process that is killed ends its guest process, and no other"),
    always("lost/kernel", "when the guest kernel is killed, all of the guest ends"),
];

/// The checks that the words name: a check, or an area for all of its checks. All, without any.
///
/// # Errors
/// A word that names nothing.
pub fn named(words: &[String]) -> Result<Vec<&'static Check>, String> {
    let names = |word: &String, check: &Check| {
        check.name == word || check.name.strip_prefix(word.as_str()).is_some_and(|rest| rest.starts_with('/'))
    };
    if let Some(word) = words.iter().find(|word| !CHECKS.iter().any(|check| names(word, check))) {
        return Err(word.clone());
    }
    let wanted = |check: &&Check| words.is_empty() || words.iter().any(|word| names(word, check));
    Ok(CHECKS.iter().filter(wanted).collect())
}
