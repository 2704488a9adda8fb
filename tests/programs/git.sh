#!/usr/bin/env bash
# A repository's life with fixed names and dates, so that every object has the same name on both sides.
set -eu
work=$(mktemp -d) && cd "$work"
trap 'cd / && rm -rf "$work"' EXIT
export HOME=$work GIT_CONFIG_NOSYSTEM=1 GIT_PAGER=cat
export GIT_AUTHOR_NAME=A GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=C GIT_COMMITTER_EMAIL=c@example.org
stamp=1000000000
commit() {
    stamp=$((stamp + 60))
    GIT_AUTHOR_DATE="$stamp +0000" GIT_COMMITTER_DATE="$stamp +0000" git commit -q "$@"
}

git init -q -b main project
cd project
mkdir -p src/deep docs
for i in {1..60}; do seq "$i" $((i * 20)) >"src/deep/f$i.txt"; done
echo readme >docs/README && ln -s docs/README link && printf '#!/bin/sh\n' >run && chmod +x run
git add . && commit -m "Everything"
git log --format='%H %an %ae %at %s'
git ls-tree -r HEAD | sha256sum

sed -i 's/^5$/five/' src/deep/*.txt && git rm -q docs/README link && git mv run walk
git status --short | sort | sha256sum
git diff --stat | tail -n 1
git commit -q --dry-run >/dev/null && git add -A && commit -m "Changes"
git checkout -q -b topic HEAD~1 && echo topic >topic && git add topic && commit -m "Topic"
git checkout -q main && GIT_AUTHOR_DATE="$stamp +0000" GIT_COMMITTER_DATE="$stamp +0000" git merge -q --no-edit topic
git log --graph --format='%h %s'
git tag v1 && GIT_COMMITTER_DATE="$stamp +0000" git tag -a -m annotated v2 && git show-ref | sort
echo changed >>topic && git stash -q 2>/dev/null && git stash list | wc -l && git stash pop -q && git diff --name-only
git checkout -q -- topic && git bisect start HEAD HEAD~2 >/dev/null 2>&1 && git bisect reset >/dev/null 2>&1
git rev-parse HEAD HEAD^1 HEAD^2 && git blame -s src/deep/f1.txt | sed -n 5p && git grep -c five | sort | tail -n 1

git clone -q . ../local && git clone -q "file://$PWD" ../transport && git clone -q --bare --depth 1 "file://$PWD" ../shallow.git 2>/dev/null
cd ../transport && git fsck --strict --no-progress 2>&1 | sort && git rev-parse HEAD
git checkout -q -b more && echo more >more && git add more && commit -m "More" && git push -q origin more
cd ../project && git rev-parse more
git gc -q --prune=now && git count-objects -v | grep -E 'count|in-pack|packs|garbage' && git fsck --no-progress
git repack -q -a -d -f --depth=5 --window=5 && git verify-pack .git/objects/pack/*.idx && git archive --format=tar HEAD src | sha256sum
git worktree add -q ../tree topic 2>/dev/null && ls ../tree && git worktree remove ../tree
git format-patch -1 -o .. refs/heads/topic >/dev/null && git checkout -q --orphan fresh && git reset -q --hard && git apply --check ../0001-Topic.patch && echo "the patch applies"
git bundle create -q ../all.bundle main && git bundle verify -q ../all.bundle && git clone -q -b main ../all.bundle ../from-bundle && git -C ../from-bundle rev-parse HEAD
mkdir ../hooked && cd ../hooked && git init -q && printf '#!/bin/sh\nexit 1\n' >.git/hooks/pre-commit && chmod +x .git/hooks/pre-commit
echo x >x && git add x && (commit -m "Refused" || echo "the hook said $?")
echo done
