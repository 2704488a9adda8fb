#!/bin/sh
# A stand-in for the workloads' program, for tests of the harness: small, and it can misbehave on demand.
case $1 in
    list)
        echo '[{"name":"spin","group":"micro","summary":"count","sizes":["quick"]},
               {"name":"two","group":"fork-exec","summary":"two phases","sizes":["quick","full"]},
               {"name":"crash","group":"bad"},{"name":"hang","group":"bad"},{"name":"mute","group":"bad"},
               {"name":"wrong","group":"bad"},{"name":"absent","group":"bad2","needs":["no-such-program-at-all"]},
               {"name":"kernel-build","group":"kernel-build","sizes":["quick","full"]}]'
        exit ;;
    run) ;;
    *) exit 2 ;;
esac
slow=${UMLAB_TEST_DELAY:-0}
case $2 in
    spin)
        i=0
        while [ $i -lt 3000 ]; do i=$((i + 1)); done
        echo '{"metric":"turn","value":12.5,"unit":"ns","n":3000}'
        echo '{"check":"turns","value":"3000"}' ;;
    two | kernel-build)
        echo '{"begin":"first"}'
        i=0
        while [ $i -lt 2000 ]; do i=$((i + 1)); done
        echo '{"end":"first"}'
        echo '{"begin":"second"}'
        sleep "0.0$((2 + slow))"
        echo '{"end":"second"}'
        echo '{"check":"what","value":"ever"}' ;;
    crash) echo 'about to crash' >&2; kill -SEGV $$ ;;
    hang) sleep 1000 ;;
    mute) exit 0 ;;
    wrong) echo "{\"check\":\"id\",\"value\":\"$(cat /proc/sys/kernel/hostname)\"}" ;;
esac
echo '{"done":true}'
