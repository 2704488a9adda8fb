#!/bin/sh
# A stand-in for the workloads' program, for tests of the harness: small, and it can misbehave, in a guest only, so that
# the host's result is there to be checked against.
delay=0 # of slow-in-guest in a guest, in seconds
case $1 in
    list)
        echo '[{"name":"spin","group":"micro","summary":"count","sizes":["quick"]},
               {"name":"two","group":"fork-exec","summary":"two phases","sizes":["quick","full"]},
               {"name":"crash-in-guest","group":"bad"},{"name":"hang-in-guest","group":"bad"},
               {"name":"hang-on-host","group":"bad"},{"name":"slow-in-guest","group":"bad"},{"name":"wrong","group":"bad"},
               {"name":"begun","group":"begun","sizes":["quick","make"],"prepared":{"quick":"make"}},
               {"name":"kernel-build","group":"kernel-build","sizes":["quick"]},
               {"name":"absent","group":"bad2","needs":["no-such-program-at-all"]}]'
        exit ;;
    run) ;;
    *) exit 2 ;;
esac
in_guest() { [ "$(cat /proc/sys/kernel/hostname)" = umlab ]; }
case $2 in
    begun) # run begun --size SIZE --jobs N --param KEY=DIR
        case "$4 $8" in
            "make out="*)
                echo made >>"${8#out=}/thing" ;;
            "quick prepared="*)
                echo '{"begin":"work"}'
                echo '{"end":"work"}'
                echo "{\"check\":\"begins with\",\"value\":\"$(cat "${8#prepared=}/thing")\"}" ;;
            *) echo "nothing to begin with" >&2; exit 1 ;;
        esac ;;
    spin)
        i=0
        while [ $i -lt 3000 ]; do i=$((i + 1)); done
        echo '{"metric":"turn","value":12.5,"unit":"ns","n":3000}'
        echo '{"check":"turns","value":"3000"}' ;;
    two)
        echo '{"begin":"first"}'
        i=0
        while [ $i -lt 2000 ]; do i=$((i + 1)); done
        echo '{"end":"first"}'
        echo '{"begin":"second"}'
        sleep 0.02
        echo '{"end":"second"}'
        echo '{"check":"what","value":"ever"}' ;;
    slow-in-guest)
        echo '{"begin":"work"}'
        sleep 0.1
        if in_guest; then sleep $delay; fi
        echo '{"end":"work"}' ;;
    crash-in-guest) if in_guest; then echo 'about to crash' >&2; kill -SEGV $$; fi ;;
    hang-in-guest) if in_guest; then sleep 1000; fi ;;
    hang-on-host) sleep 86399; : ;;
    wrong) echo "{\"check\":\"id\",\"value\":\"$(cat /proc/sys/kernel/hostname)\"}" ;;
esac
echo '{"done":true}'
