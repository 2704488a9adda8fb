#!/usr/bin/env bash
# Filters on larger inputs: what they print is known, that every byte arrives through files and pipes is the point.
set -u
work=$(mktemp -d) && cd "$work" || exit 1
trap 'cd / && rm -rf "$work"' EXIT

awk 'BEGIN { x = 42; for (i = 0; i < 50000; i++) { x = (x * 1103 + 12345) % 65536; print i, x, "word" (x % 97) } }' >data
echo "== sums"
sha256sum <data
wc <data | tr -s ' '

echo "== sed, grep, awk"
sed -n '/word13$/p' data | tail -n 2
sed -E 's/([0-9]+) ([0-9]+)/\2:\1/; 5q' data
cp data edited; sed -i.bak 's/word/WORD/' edited; head -n 1 edited edited.bak
grep -c 'word7$' data; grep -n ' 4242 ' data | head -n 3; grep -v word data | wc -l; grep -q nothing data; echo $?
grep -rl word1 . | sort; grep -oE 'word9[0-5]' data | sort | uniq -c | tr -s ' '
awk '{ n[$3]++; s += $2 } END { for (w in n) if (n[w] > 600) print w, n[w]; print s }' data | sort
awk 'BEGIN { while (("echo from a command" | getline line) > 0) print line; print "to a command" | "cat"; close("cat"); system("echo system") }'
awk -F' ' '$2 > 65500 { print > "big.out" } END { print NR }' data; wc -l <big.out

echo "== sort, join, and the like"
sort -k3,3 -k2,2n data | sed -n '1p;$p'
sort -S 1M -T . -rnk2 data | head -n 2
sort --parallel=2 -k2n data | sha256sum
head -n 5 data | cut -d' ' -f1,3 | sort >left; sed -n '3,7p' data | cut -d' ' -f1,2 | sort >right
join left right; comm -12 <(cut -d' ' -f1 left) <(cut -d' ' -f1 right); paste -d, left right
nl left | head -n 2; tac left | head -n 1; rev left | head -n 1; fold -w 5 left | head -n 2; fmt -w 30 <<<"some words that are longer than one line of thirty"
expand -t4 <<<$'a\tb'; unexpand -a <<<"        x"; column -t left 2>/dev/null | head -n 1; tsort <<<"a b b c"; ptx -O <<<"one two" | head -n 1
diff left right; echo $?; diff -u <(seq 5) <(seq 2 6) | tail -n +3; cmp data edited; echo $?; cmp -l <(echo abc) <(echo abd)
seq 1 5 >old; seq 2 6 >new; diff -u old new >change; echo $?
dd if=data bs=7 2>/dev/null | dd obs=4096 2>/dev/null | sha256sum

echo "== compression"
for tool in gzip bzip2 xz; do
    command -v $tool >/dev/null || continue
    $tool -k data && $tool -dc data.* | cmp - data && echo "$tool"; rm -f data.*
done
xz -T2 -c data | xz -t && echo "threads"; gzip -c data | tail -c 4 | od -An -td4
(cat data; cat data) | gzip | (sleep 0.05; gunzip) | wc -c
echo "2^200; scale=20; 4*a(1)" | bc -l
echo done
