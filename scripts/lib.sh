# shellcheck shell=bash
# What the scripts of this folder share. Source it first: it also sets the strict mode they all rely on.
set -euo pipefail
export LC_ALL=C # one decimal point, one sort order, one language in every message we look at

# shellcheck disable=SC2034 # used by those who source this
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
me=${0##*/}

# Where rustup puts cargo, for those whose PATH does not lead there.
command -v cargo >/dev/null || PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin

# rust-toolchain.toml names a version. Where it is installed by another name ("stable") and cannot be fetched by its own, that one is used.
find_toolchain() {
    local wanted name
    command -v rustup >/dev/null && ! (cd "$root" && cargo --version >/dev/null 2>&1) || return 0
    wanted=$(sed -n 's/^channel = "\(.*\)"/\1/p' "$root/rust-toolchain.toml")
    for name in $(rustup toolchain list | cut -d ' ' -f 1); do
        if [[ $(rustup run "$name" rustc --version 2>/dev/null) = "rustc $wanted "* ]]; then
            export RUSTUP_TOOLCHAIN=$name
            return
        fi
    done
}
find_toolchain

say() { printf '%s: %s\n' "$me" "$*" >&2; }
die() {
    say "$*"
    exit 1
}

# Print a script's own head comment (the lines after its first one) as its help text.
usage() { sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$0"; }

# What must not outlive the script: directories to remove and one running process group to end.
scratch_dirs=()
running=
clean_up() {
    local dir
    if [ -n "$running" ]; then
        kill -TERM -- "-$running" 2>/dev/null || true
        for _ in 1 2 3 4 5 6 7 8 9 10; do
            kill -0 -- "-$running" 2>/dev/null || break
            sleep 0.1
        done
        kill -KILL -- "-$running" 2>/dev/null || true
        wait "$running" 2>/dev/null || true
        running=
    fi
    for dir in "${scratch_dirs[@]}"; do
        rm -rf "$dir"
    done
}
# Call once by scripts that start long commands or make scratch directories.
clean_up_at_end() {
    trap clean_up EXIT
    trap 'say interrupted; exit 130' INT
    trap 'say terminated; exit 143' TERM HUP
}

# Make a directory that is removed at the end, in memory where the machine offers that, and leave its name in $scratch.
make_scratch() {
    local base=${TMPDIR:-/tmp}
    if [ -w /dev/shm ] && [ "$(stat -f -c %T /dev/shm)" = tmpfs ]; then
        base=/dev/shm
    fi
    scratch=$(mktemp -d "$base/umlab.XXXXXXXX")
    scratch_dirs+=("$scratch")
}

# Install Debian packages as root, saying so; ends with one message when that is not possible.
install_packages() {
    local command="apt-get install --no-install-recommends $*"
    [ "$(id -u)" = 0 ] || die "missing: $*; install as root: $command"
    command -v apt-get >/dev/null || die "missing: $*; this machine has no apt-get to install them with"
    say "installing Debian packages: $*"
    export DEBIAN_FRONTEND=noninteractive
    if ! apt-get install -qq -y --no-install-recommends "$@" >&2; then
        say "trying again with fresh package lists"
        apt-get update -qq >&2 || true
        apt-get install -qq -y --no-install-recommends "$@" >&2 || die "missing: $*; '$command' fails (see above)"
    fi
}
