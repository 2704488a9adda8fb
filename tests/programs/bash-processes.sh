#!/usr/bin/env bash
# Processes as a shell script uses them: pipelines, background commands, signals and traps, named pipes, co-processes.
set -u
work=$(mktemp -d) && cd "$work" || exit 1
trap 'cd / && rm -rf "$work"' EXIT

echo "== pipelines"
seq 1 1000 | grep 7 | sort -rn | head -n 3 | paste -sd,
true | false | (exit 3) | true
echo "${PIPESTATUS[@]}"
set -o pipefail
false | true || echo "pipefail $?"
set +o pipefail
yes | head -n 1
yes 2>/dev/null | head -n 2 >/dev/null
echo "${PIPESTATUS[@]}"
seq 1 200000 | tac | tail -n 1
for i in {1..20}; do echo "$i" | cat | cat | cat; done | paste -sd' '
! true | false && echo "negated"

echo "== exit statuses"
(exit 300); echo $?
sh -c 'kill -TERM $$'; echo $?
bash -c 'kill -KILL $$'; echo $?
bash -c 'kill -SEGV $$' 2>/dev/null; echo $?
bash -c 'ulimit -c 0; kill -ABRT $$' 2>/dev/null; echo $?
./no-such-file 2>/dev/null; echo $?
touch plain; ./plain 2>/dev/null; echo $?
printf '#!/bin/sh\necho "script $*"\nexit 9\n' >runme; chmod +x runme; ./runme a b; echo $?
printf '#!/no/such/interpreter\n' >bad; chmod +x bad; ./bad 2>/dev/null; echo $?
printf 'echo no first line\n' >bare; chmod +x bare; ./bare; echo $?
printf '#!/usr/bin/env -S bash -eu\nfalse\necho unreached\n' >strict; chmod +x strict; ./strict; echo $?
printf '#! /bin/cat\nits own text\n' >self; chmod +x self; ./self

echo "== background"
(sleep 0.1; exit 5) & a=$!
(sleep 0.2; exit 6) & b=$!
wait $a; echo $?
wait $b; echo $?
# Not by `wait -n`: bash forgets one that has ended before it waits, and waits for the next.
for i in 3 1 2; do mkfifo gate$i; (read -r _ <gate$i; exit $i) & behind[i]=$!; done
for i in 1 2; do echo open >gate$i; wait ${behind[i]}; echo $?; done
echo open >gate3; wait; echo "all: $?"
wait 999999 2>/dev/null; echo $?
# Not before it is a sleep: until then it is a bash, which catches the signal (there is a trap) and forgets it when it executes.
sleep 100 & until grep -qx sleep /proc/$!/comm; do :; done
kill $!; wait $! 2>/dev/null; echo $?
{ echo one & wait; echo two; }
kill -0 $$ && echo "we live"
kill -0 $a 2>/dev/null || echo "it is gone"

echo "== traps"
trap 'echo "got USR1"' USR1
kill -USR1 $$
(trap 'echo "in the subshell"; exit 4' TERM; kill -TERM "$BASHPID"; sleep 5); echo $?
(trap '' INT; kill -INT "$BASHPID"; echo "ignored")
(trap 'echo leaving' EXIT; exit 2); echo $?
bash -c 'trap "echo err at \$LINENO" ERR; false; true'
bash -c 'set -e; trap "echo out" EXIT; false; echo unreached'; echo $?
bash -c 'trap "echo child" CHLD; set -m; sleep 0.05 & wait $!'
bash -c 'trap "echo interrupted wait; kill \$!; exit 7" USR1; (sleep 0.5; kill -USR1 $$) & sleep 30 & wait $!'; echo $?
pkill -f "no process of this name $$" 2>/dev/null; echo $?
timeout 0.2 sleep 10; echo $?
timeout -s KILL 0.2 sleep 10; echo $?
# Time enough for the trap.
timeout -k 0.1 3 bash -c 'trap "" TERM; while :; do sleep 0.05; done'; echo $?
trap - USR1
nohup sh -c 'kill -HUP $$; echo survived' 2>/dev/null

echo "== named pipes, co-processes, descriptors"
mkfifo pipe
(for i in 1 2 3; do echo "line $i"; done >pipe) &
cat pipe
wait
exec 7<>pipe
echo buffered >&7
read -r -u 7 line
exec 7>&-
echo "$line"
coproc doubler { while read -r n; do echo $((n * 2)); done; }
doubler_pid=$doubler_PID
for n in 4 5 6; do
    echo $n >&"${doubler[1]}"
    read -r answer <&"${doubler[0]}"
    echo "$answer"
done
eval "exec ${doubler[1]}>&-"
wait "$doubler_pid"
exec {fd}<"$0"
read -r -u "$fd" line
echo "$line"
exec {fd}<&-
ls /dev/fd/0 /dev/stdin >/dev/null && echo "descriptors by name"
echo "through /dev/stdin" | cat /dev/stdin
echo "through /proc" | cat /proc/self/fd/0

echo "== locks"
: >counter
for i in 1 2 3 4; do
    (
        for _ in 1 2 3 4 5; do
            flock 9
            n=$(cat counter)
            echo $((${n:-0} + 1)) >counter
            flock -u 9
        done
    ) 9>lock &
done
wait
cat counter
flock -n lock true && echo "free"
(flock 9; flock -n lock true || echo "held: $?") 9>lock

echo "== limits and environment"
(ulimit -n 20; ulimit -n; ulimit -Hn)
(ulimit -f 1; head -c 100000 /dev/zero >big 2>/dev/null; echo $?; stat -c %s big)
(ulimit -t 1; bash -c 'while :; do :; done' 2>/dev/null; echo $?)
(ulimit -n 4; exec 3</dev/null; (: 4</dev/null) 2>/dev/null; echo $?)
env -i A=1 B=2 sh -c 'env | grep -v -e PWD -e SHLVL -e ^_ | sort'
A=3 bash -c 'echo $A'
x=$(printf '%0100000d' 0) bash -c 'echo ${#x}'
bash -c 'echo $#' bash $(seq 1 5000)
nice -n 5 nice
setsid sh -c 'ps -o sid= -p $$ | tr -d " " | grep -q "^$$\$" && echo "session leader"'
(cd / && exec -a other bash -c 'echo "$0"')
sh -c 'echo $PPID' | grep -q "^$$\$" && echo "a child of ours"
echo done
