#!/usr/bin/env bash
# A walk through the file tools: names, attributes, links, times, copies, and what they report when it goes wrong.
set -u
umask 022
work=$(mktemp -d) && cd "$work" || exit 1
trap 'cd / && chmod -R u+rwx "$work" && rm -rf "$work"' EXIT
# Errors without the names of temporary directories.
complain() { "$@" 2>&1 >/dev/null | sed "s|$work|WORK|"; }

echo "== making and looking"
mkdir -p a/b/c && mkdir -m 750 private && touch a/one a/b/two 'name with space' $'new\nline' .hidden -- -dash
ls -A | sort
ls -1bA
ls -R a
stat -c '%n %F %a %h' a/one a private
complain mkdir a
complain ls nothing
complain cat a
complain rmdir a
complain mkdir no/such/parent
ls -l a/one | cut -c1-10
test -e a && test -d a && test -f a/one && test ! -s a/one && test ! -L a && echo tests
long=$(printf 'n%.0s' {1..255}); touch "$long" && echo "255 characters"; rm "$long"
complain touch "${long}x" | sed 's/n\{255\}/N/'

echo "== contents"
seq 1 1000 >numbers
head -n 3 numbers; tail -n 2 numbers; head -c 7 numbers; tail -c +3885 numbers; head -n -998 numbers
wc numbers | tr -s ' '
sha256sum numbers; md5sum numbers; cksum numbers; b2sum -l 128 numbers
sort -rn numbers | head -n 2; sort -k1.2 numbers | sed -n 5p; sort -u numbers numbers | wc -l
cut -c1 numbers | sort | uniq -c | tr -s ' '
tr -d '0-4\n' <numbers | wc -c
split -l 300 numbers part. && wc -l part.* | tr -s ' '
split -b 1K -d numbers bytes. && cat bytes.* | cmp - numbers && echo same
csplit -s numbers 100 500 && ls xx*
tee copy1 copy2 <numbers | cmp - numbers && cmp copy1 copy2 && echo tee
dd if=numbers of=middle bs=10 skip=5 count=3 2>/dev/null; cat middle; echo
dd if=/dev/zero of=numbers2 bs=1 seek=5000 count=1 conv=notrunc 2>/dev/null; stat -c %s numbers2
printf XYZ | dd of=copy1 bs=1 seek=3 conv=notrunc 2>/dev/null; head -n 4 copy1
truncate -s 10 copy2; cat copy2; truncate -s +5 copy2; od -An -c copy2; truncate -s 1G sparse; stat -c '%s %b' sparse
cp --sparse=always sparse sparse2 && stat -c %s sparse2 && rm sparse sparse2
fallocate -l 100000 reserved && stat -c %s reserved
od -An -tx1 -N 8 numbers; base64 <<<"some text"; base64 -d <<<c29tZSB0ZXh0Cg==; shuf -i 1-5 | sort | paste -sd+
cat /dev/null; head -c 4 /dev/zero | od -An -tx1; head -c 100 /dev/urandom | wc -c
complain dd if=/dev/zero of=/dev/full bs=1 count=1 | head -n 1

echo "== links"
ln numbers hard; stat -c %h numbers hard; ln -s numbers soft; readlink soft; cat soft | cmp - numbers && echo follows
ln -s nowhere dangling; complain cat dangling; test -L dangling && ! test -e dangling && echo dangles
ln -s loop2 loop1; ln -s loop1 loop2; complain cat loop1
ln -s a/b deep; ls deep; cd deep && pwd -L | sed "s|$work|WORK|" && pwd -P | sed "s|$work|WORK|"; cd "$work"
readlink -f deep/two | sed "s|$work|WORK|"; realpath --relative-to=a/b/c numbers
complain ln numbers hard; ln -f a/one hard; stat -c %h numbers
complain ln a directory-link | head -n 1
rm soft && test -e numbers && echo "the target stays"; unlink dangling; complain unlink a | sed 's/:.*:/:/'

echo "== copying, moving, removing"
touch -d '2001-02-03 04:05:06' a/one; chmod 640 a/one; ln -s ../one a/b/link; mkfifo a/fifo
cp -a a a-copy; find a-copy -printf '%P %y %m %l %TY-%Tm-%Td\n' | grep -v ' 755 ' | sort | sed 's/20[2-9].*/now/'
cp -r a-copy/b b-copy; cp -l numbers linked; stat -c %h linked
cp -p a/one preserved; stat -c '%a %y' preserved
cp -u a/one preserved; cp -b numbers preserved; ls preserved*
complain cp a x; complain cp numbers no/such/; complain cp numbers numbers
mv preserved moved; mv moved a/; test -f a/moved && ! test -e preserved && echo moved
mkdir full empty; touch full/x; complain mv -T empty full; mv empty full/ && ls full; complain mv full full/inside | sed 's/^mv: //'
mv -n numbers a/moved; test -e numbers && echo "not over another"
mv -T a-copy renamed && ls renamed; mv -f a/moved numbers3; cmp -s numbers3 numbers || echo differ
rm -r renamed b-copy full; complain rm a; rm -f nothing; complain rm nothing
install -D -m 711 numbers install/in/here && stat -c %a install/in/here
chmod 000 private && chmod u+rwx private && rmdir private && echo removed
touch here; (exec 3<here; rm here; echo "still open" >/dev/null; stat -Lc '%h' /proc/self/fd/3)
rm -- -dash 'name with space' $'new\nline'; ls -A | wc -l

echo "== modes and times"
for mode in 4755 u+s,g+s o+t a-x,u=rwX 0644; do chmod "$mode" numbers; stat -c '%a %A' numbers; done
umask 077; touch closed; mkdir closed-dir; stat -c %a closed closed-dir; umask 022
mkdir setgid && chmod 2775 setgid && mkdir setgid/below && stat -c %a setgid/below
touch -d @0 numbers; stat -c '%X %Y' numbers; touch -a -d @1000000000.123456789 numbers; stat -c '%.9X %.9Y' numbers
touch -r numbers other; stat -c %Y other; touch -c nothing; test -e nothing || echo "not made"
touch -h -d @5 loop1; stat -c %Y loop1
date -u -d @1234567890 +%FT%TZ; date -u -r numbers +%s
test a -ef a/. && test numbers -ot other || echo "times compared"
sleep 0.05; before=$(stat -c %.9Y other); echo x >>other; [ "$before" != "$(stat -c %.9Y other)" ] && echo "a write changes the time"

echo "== finding"
mkdir -p t/{x,y}/{1,2}; for f in t/{x,y}/{1,2}/{f.c,f.h}; do echo "$f" >"$f"; done
find t -name '*.c' | sort; find t -type d | wc -l; find t -type f -newer numbers -path '*x*' | sort
find t -name '*.h' -print0 | sort -z | xargs -0 cat; find t -name '*.h' -exec grep -l y {} + | sort; find t -empty -type f | wc -l
find t -depth -name 2 -exec rm -r {} \; ; find t | wc -l; find t -name '*.c' -delete -print | sort; find t -maxdepth 1 -mindepth 1 | sort
seq 1 10 | xargs -n 3 echo; seq 1 20 | xargs -P 4 -I{} sh -c 'echo {}' | sort -n | paste -sd,; echo "a b" | xargs false; echo $?
find / -maxdepth 1 -name etc -o -maxdepth 1 -name usr | sort; du -s --apparent-size -B1 t/x/1/f.h | cut -f1
head -c 100000 /dev/zero >du; du -k --apparent-size du | cut -f1

echo "== the rest"
basename /a/b.c .c; dirname /a/b/c; pathchk -p ok; complain pathchk -p 'not?ok'; expr 6 \* 7; seq -w 8 2 12; seq 5 -2 1; factor 1001
id -u | grep -qx "$(id -ru)" && echo "the same user"; test "$(whoami)" = "$(id -un)" && echo "of that name"
nproc | grep -qE '^[1-9]' && echo "some CPUs"; tty; printenv TZ; echo $?; arch; uname -s -m
yes y | head -n 100000 | wc -l; numfmt --to=iec 1048576; timeout 5 true; echo $?; sync; env true; echo $?
sleep 0.01; stat -f -c '%l' . ; df . >/dev/null && echo df; test -w . -a -r . -a -x . && echo accessible; mktemp -u XXX | wc -c
ls --color=never -d /proc/self/fd >/dev/null && ls /dev/null /dev/tty /dev/zero
echo done
