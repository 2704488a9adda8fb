#!/usr/bin/env bash
# The shell's own language: mostly user code, with subshells, here-documents and redirections in between.
set -u
shopt -s extglob
work=$(mktemp -d) && cd "$work" || exit 1
trap 'cd / && rm -rf "$work"' EXIT

echo "== functions and recursion"
factorial() { if (($1 < 2)); then echo 1; else echo $(($1 * $(factorial $(($1 - 1))))); fi; }
factorial 15
scoped() { local v=inner; inner_sees; }
inner_sees() { echo "dynamic scope: $v"; }
v=outer
scoped
echo "$v"
returns() { return 37; }
returns || echo "status $?"

echo "== arrays"
list=(one "two words" three)
list+=(four)
unset 'list[0]'
printf '[%s]' "${list[@]}" && echo " ${#list[@]} ${!list[*]}"
echo "${list[@]:1:2}" "${list[-1]}"
declare -A map=([a]=1 [b]=2 ["c d"]=3)
for key in "${!map[@]}"; do echo "$key=${map[$key]}"; done | sort
declare -n ref=list
ref+=(five)
echo "${list[*]}"
mapfile -t lines < <(seq 1 5)
echo "${lines[@]^^} ${#lines[@]}"

echo "== expansions"
path=/usr/local/lib/libfoo.so.1.2
echo "${path##*/} ${path%/*} ${path%%.*} ${path/local/share} ${path//\//:} ${path:5:5}"
echo "${unset_one-default} ${unset_two:=assigned} ${unset_two:+alternative} ${#path}"
echo {a..e}{1..3} {01..10..3}
text="MiXed"
echo "${text,,} ${text^^} ${text~~}" "${text@Q}"
(: "${nothing_here?is not set}") 2>/dev/null || echo "refused with $?"

echo "== arithmetic and conditions"
echo $((7 / 2)) $((-7 % 3)) $((2 ** 40)) $((0xff & ~0x0f)) $((1 ? 2 : 3)) $((36#zz))
[[ abc123 =~ ^([a-z]+)([0-9]+)$ ]] && echo "${BASH_REMATCH[1]} ${BASH_REMATCH[2]}"
case foo.tar.xz in *.gz) echo gz ;; *.@(xz|bz2)) echo "xz or bz2" ;; *) echo other ;; esac
[ 3 -lt 10 ] && [[ 3 > 10 ]] && echo "numbers and strings"

echo "== here-documents and redirections"
cat <<END | tr a-z A-Z
expanded: $((1 + 1)) ${list[1]}
END
cat <<'END'
kept: $((1 + 1)) `date`
END
cat <<-END
	without its tabs
	END
cat <<<"a here-string of $(echo one line)"
big=$(seq 1 20000)
wc -l <<<"$big"
exec 3>three 4>&1
echo to three >&3
echo to four >&4
exec 3>&- 4>&-
cat three
{ echo out; echo err >&2; } 2>&1 >/dev/null
{ echo out; echo err >&2; } >both 2>&1
cat both
exec 5<>both
read -r -u 5 first
echo more >&5
exec 5>&-
echo "$first"
cat both
set -C
(echo again >three) 2>/dev/null || echo "noclobber"
echo forced >|three
set +C
echo closed >&- 2>/dev/null || echo "a closed stream"

echo "== subshells and substitution"
x=1
(x=2; echo "in: $x")
echo "out: $x"
echo "nested: $(echo "$(echo "$(echo deep)")")"
diff <(seq 1 3) <(seq 1 4)
tee >(wc -c >count) <<<"12345" >/dev/null
for _ in {1..100}; do [ -s count ] && break; sleep 0.05; done
cat count
{ x=3; } && echo "group: $x"
eval 'y=$((x * 2))' && echo "$y"
printf '%05d|%-6s|%6.2f|%x|%q|%b\n' 42 ab 3.14159 255 "a b" 'tab\there'
printf -v stored '%s-' a b c
echo "$stored"

echo "== reading"
while IFS=: read -r name _ uid _; do echo "$name $uid"; done <<<$'root:x:0:0\nbin:x:2:2'
printf 'a\0b\0c\0' | while IFS= read -r -d '' item; do echo "item $item"; done
read -r -n 3 three <<<"abcdef"
echo "$three"
mkfifo quiet
exec 9<>quiet
read -r -t 0.1 nothing <&9 || echo "timed out: $(($? > 128))"
exec 9>&-
rm quiet
OPTIND=1
set -- -a -b value --long rest
while getopts ab: option; do echo "option $option ${OPTARG-}"; done 2>/dev/null
shift $((OPTIND - 1))
echo "$# left: $*"

echo "== globs"
mkdir -p d/e && touch d/{1,2,3}.txt d/e/4.txt .hidden
shopt -s nullglob globstar
echo ./*/*.txt ./**/*.txt no*match .h*
echo d/!(2).txt
shopt -s dotglob
echo *
pushd d >/dev/null && echo "${PWD#"$work"/}" && popd >/dev/null && [ "$PWD" = "$work" ] && echo back
umask 027
touch masked && stat -c %a masked
set -- a b c
echo "$@" "$#" "$0" | sed "s|$0|script|"
echo done
