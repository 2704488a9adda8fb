#!/usr/bin/env bash
# Archives there and back: names, modes, links, times and holes must survive.
set -eu
umask 022
work=$(mktemp -d) && cd "$work"
trap 'cd / && rm -rf "$work"' EXIT

mkdir -p tree/{a,b}/{c,d} tree/empty
for f in tree/{a,b}/{c,d}/{1..20}; do echo "$f" | sha256sum >"$f"; done
head -c 3000000 /dev/zero | tr '\0' x >tree/large
truncate -s 20M tree/sparse && echo end >>tree/sparse
ln tree/a/c/1 tree/hard && ln -s a/c/1 tree/soft && ln -s /nowhere tree/dangling && mkfifo tree/fifo
chmod 700 tree/a && chmod 4755 tree/b/c/1 && chmod 400 tree/b/c/2 && touch 'tree/a name' tree/$'tab\t'
find tree -exec touch -h -d '2003-04-05 06:07:08' {} +
list() { (cd "$1" && find . \( -type f -o -type l -o -type p \) -printf '%P %y %m %l %n %s %T@\n' -o -printf '%P %y %m %T@\n' | sort); }
list tree >before
sha256sum <before

for how in '' --xz --gzip --bzip2; do
    # shellcheck disable=SC2086 # one option, or none
    tar $how --sparse -cf "archive$how" tree
    tar -tf "archive$how" | sort | sha256sum
    mkdir "out$how"
    # shellcheck disable=SC2086
    tar $how -xpf "archive$how" -C "out$how"
    list "out$how/tree" | diff before - && echo "${how:-plain} kept everything"
    diff -r --no-dereference tree/b "out$how/tree/b" 2>/dev/null && cmp tree/sparse "out$how/tree/sparse" && echo "contents too"
done
tar --sort=name --owner=0 --group=0 --numeric-owner -cf - tree/a tree/large | sha256sum
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -cf - tree/a | xz -T1 -6 | sha256sum
tar -cf - tree | (mkdir piped && cd piped && tar -xpf -) && list piped/tree | diff before - && echo "through a pipe"
tar -df archive tree && echo "compared"
tar -rf archive before && tar -tf archive | tail -n 1
tar -xOf archive before | cmp - before && tar --wildcards -xf archive -C piped 'tree/a/*/1' && echo "extracted by pattern"
tar -cf incremental -g snapshot tree && touch tree/new && tar -cf incremental2 -g snapshot tree && tar -tf incremental2 | grep -v '/$'
tar -cf excluded --exclude='*/c' tree && tar -tf excluded | grep -c /c/ || echo "excluded"
(tar -xf /dev/null && tar -xf before) 2>/dev/null || echo "refused with $?"
if command -v cpio >/dev/null; then
    (cd tree && find a b hard soft | sort | cpio -o -H newc --quiet --reproducible 2>/dev/null) >cpio.out
    mkdir cpio && (cd cpio && cpio -idm --quiet <../cpio.out) && diff -r tree/a cpio/a && echo cpio
fi
echo done
