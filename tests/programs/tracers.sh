#!/usr/bin/env bash
# Those who trace: strace, gdb, and the leak check of gcc's address sanitizer.
# Expressions are for gdb, not for the shell.
# shellcheck disable=SC2016
set -eu
work=$(mktemp -d) && cd "$work"
trap 'cd / && rm -rf "$work"' EXIT

echo "-- strace"
# Numbers of processes and addresses differ: what is left are calls, signals and ends.
strace -f -o log -e trace=openat,write,dup2,execve,exit_group,getppid,kill sh -c '
    trap "echo caught" USR1
    (echo child >file; exit 3)
    kill -USR1 $$
    exec /bin/echo executed'
grep -o 'execve("[^"]*"\|"file".*= [0-9]*$\|write([^)]*)  *= [0-9]*\|exit_group([0-9]*)\|exited with [0-9]*\|--- SIG[A-Z0-9]*' log
bash -c 'strace -o log sh -c "kill -KILL \$\$"; echo "status $?"' 2>/dev/null
tail -n 1 log
strace -c -o log true && grep -c execve log
sleep 60 &
sleeper=$!
strace -qq -p $sleeper -o log &
tracer=$!
until grep -q 'TracerPid:.[1-9]' /proc/$sleeper/status; do sleep 0.1; done
kill -INT $tracer
wait $tracer || echo "let go"
grep -c 'TracerPid:.0$' /proc/$sleeper/status
kill $sleeper
wait $sleeper || echo "status $?"

echo "-- gdb"
cat >sum.c <<'EOF'
#include <pthread.h>
static int total;
int twice(int x) { return 2 * x; }
static void *work(void *arg) { total += twice(21); return arg; }
int main(void) {
    pthread_t thread;
    for (int i = 0; i < 3; i++)
        total += twice(i);
    pthread_create(&thread, 0, work, 0);
    pthread_join(thread, 0);
    return total;
}
EOF
gcc -g -O0 -pthread -o sum sum.c
debug() {
    local commands=()
    while [ "$1" != -- ]; do commands+=(-ex "$1") && shift; done
    gdb -batch -nx -q -ex 'set confirm off' "${commands[@]}" --args "${@:2}" 2>&1 </dev/null |
        sed -e 's/0x[0-9a-f]*/ADDR/g; s/(LWP [0-9]*)/(LWP N)/g; s/process [0-9]*/process N/; s/program: .*/program/; /libthread_db/d; /^\[/{/Inferior/!d}; /^$/d'
}
debug 'break twice if x == 2' run backtrace 'print x + 40' finish 'set var total = 0' 'break work' continue \
    delete continue -- ./sum
debug 'break main' run stepi 'print $eflags & 0x100' 'set can-use-hw-watchpoints 0' 'watch total' continue continue \
    'delete 2' continue -- ./sum
debug 'catch syscall exit_group' run 'print $rax == -38' 'print $orig_rax' continue -- /bin/true
debug 'handle SIGUSR1 stop print' run 'print $_siginfo.si_signo' 'signal 0' -- sh -c 'kill -USR1 $$; echo went on'
debug 'break main' run 'call twice(4)' 'print (long)getppid() > 0' kill -- ./sum
debug 'set breakpoint pending on' 'break twice' 'set follow-fork-mode child' run 'print x' kill -- sh -c 'exec 2>/dev/null; ./sum; true'

echo "-- sanitizer"
printf '#include <stdlib.h>\nchar *volatile kept; int main(void) { kept = malloc(5); return 0; }\n' >clean.c
printf '#include <stdlib.h>\nchar *volatile lost; int main(void) { lost = malloc(77); lost = 0; return 0; }\n' >leak.c
for name in clean leak; do
    gcc -g -fsanitize=address -o $name $name.c
    ./$name 2>log || echo "$name: status $?"
    grep -o 'detected.*\|Direct leak.*from\|in main\|SUMMARY.*' log || echo "$name: nothing to say"
done
echo "done"
