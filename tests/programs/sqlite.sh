#!/usr/bin/env bash
# A database on disk: locks, journals in both forms, and several writers at once.
set -eu
work=$(mktemp -d) && cd "$work"
trap 'cd / && rm -rf "$work"' EXIT

sqlite3 first.db <<'SQL'
CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, price REAL);
CREATE INDEX by_name ON item (name);
BEGIN;
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
INSERT INTO item (name, price) SELECT 'item ' || (i * 7919 % 20011), i * 1.5 FROM n;
COMMIT;
SELECT count(*), min(name), max(price), sum(price) FROM item;
BEGIN; DELETE FROM item; SELECT count(*) FROM item; ROLLBACK;
SELECT count(*) FROM item;
DELETE FROM item WHERE id % 3 = 0;
VACUUM;
PRAGMA integrity_check;
PRAGMA page_count;
SQL
sha256sum first.db
ls

for mode in delete wal truncate memory; do
    sqlite3 "$mode.db" "PRAGMA journal_mode = $mode; CREATE TABLE t (who, n);"
    for who in 1 2 3; do
        sqlite3 -cmd '.timeout 100000' "$mode.db" \
            "$(for n in {1..20}; do echo "INSERT INTO t VALUES ($who, $n);"; done)" &
    done
    wait
    sqlite3 "$mode.db" "SELECT who, count(*), sum(n) FROM t GROUP BY who; PRAGMA integrity_check;"
done
ls ./*.db*

sqlite3 first.db .dump >dump.sql && sqlite3 restored.db <dump.sql && sqlite3 restored.db 'SELECT count(*), sum(id) FROM item'
sqlite3 first.db '.backup copied.db' && sqlite3 copied.db 'PRAGMA quick_check'
printf 'a,b\n1,x\n2,y\n' >in.csv && sqlite3 csv.db -cmd '.mode csv' '.import in.csv t' 'SELECT * FROM t'
sqlite3 first.db 'SELECT nothing' 2>/dev/null || echo "refused with $?"
head -c 3000 first.db >broken.db && (sqlite3 broken.db 'SELECT count(*) FROM item' 2>/dev/null || echo "broken: $?")
chmod 400 first.db && sqlite3 'file:first.db?mode=ro' 'SELECT count(*) FROM item'
echo done
