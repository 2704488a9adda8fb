#!/usr/bin/env bash
# Job control without a terminal: process groups, stopping and continuing, and what `jobs` tells.
set -u -m
shopt -u huponexit

echo "== jobs"
sleep 100 &
first=$!
sleep 200 | sleep 300 &
second=$!
jobs | sed 's/  *&$//; s/  */ /g'
echo "$(jobs -p | wc -l) jobs"
kill %1
wait "$first" 2>/dev/null
echo "ended with $?"
kill %2
wait "$second" 2>/dev/null
echo "ended with $?"
kill -0 "$first" 2>/dev/null || echo gone

echo "== groups"
sh -c 'ps -o pgid= -p $$ | tr -d " " | grep -q "^$$\$" && echo "a job is a group leader"' &
wait $!
sh -c 'sleep 50 & sleep 60 & wait' &
group=$!
sleep 0.2
kill -TERM -- -"$group"
wait "$group" 2>/dev/null
echo "the group ended with $?"
# Its orphans are gone when init has taken note of them.
for _ in {1..100}; do kill -0 -- -"$group" 2>/dev/null || break; sleep 0.1; done
kill -0 -- -"$group" 2>/dev/null || echo "nobody is left in it"

echo "== stop and continue"
# Waits until a process has stopped: on a busy machine that takes a while. (A shell with job control
# leaves its loops when a job stops, so another one does it.)
stopped() {
    timeout 20 sh -c 'until [ "$(ps -o state= -p "$0" | cut -c1)" = T ]; do sleep 0.02; done' "$1" || echo "not stopped"
}
ready=$(mktemp)
bash -c 'trap "echo continued; exit 11" CONT; echo yes > "$0"; while :; do sleep 0.02; done' "$ready" &
job=$!
until [ -s "$ready" ]; do sleep 0.02; done
rm "$ready"
kill -STOP "$job"
stopped "$job"
jobs | grep -c Stopped
kill -CONT "$job"
# The shell's wait may still report the stop.
while wait "$job"; status=$?; [ "$status" = 147 ]; do :; done
echo "ended with $status"
bash -c 'kill -TSTP $$; echo resumed' &
stopped $!
jobs | grep -c Stopped
fg %% >/dev/null
echo "foreground: $?"
(sleep 1; exit 8) &
fg >/dev/null
echo "foreground: $?"
sleep 100 &
disown %%
jobs | wc -l
kill $!
echo done
