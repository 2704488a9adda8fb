"""The sqlite3 module: transactions, several connections and threads on one database, and backups."""
import os
import sqlite3
import tempfile
import threading

with tempfile.TemporaryDirectory() as directory:
    path = os.path.join(directory, "data.db")
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE word (id INTEGER PRIMARY KEY, text TEXT UNIQUE, n INTEGER)")
        db.executemany("INSERT INTO word (text, n) VALUES (?, ?)", ((f"word {n * 7919 % 10007}", n) for n in range(10000)))
    print(db.execute("SELECT count(*), sum(n), min(text), max(text) FROM word").fetchone())
    try:
        with db:
            db.execute("DELETE FROM word")
            db.execute("INSERT INTO word (id, text) VALUES (1, 'a'), (1, 'b')")
    except sqlite3.IntegrityError as error:
        print(error)
    print(db.execute("SELECT count(*) FROM word").fetchone())

    other = sqlite3.connect(path, timeout=0.1, isolation_level=None)
    db.isolation_level = None
    db.execute("BEGIN IMMEDIATE")
    try:
        other.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        print(error)
    db.execute("COMMIT")
    print(other.execute("PRAGMA journal_mode = wal").fetchone())

    def write(who):
        mine = sqlite3.connect(path, timeout=60)
        for n in range(50):
            with mine:
                mine.execute("INSERT INTO word (text, n) VALUES (?, ?)", (f"{who}/{n}", -1))
        mine.close()

    threads = [threading.Thread(target=write, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    children = []
    for who in range(10, 13):
        pid = os.fork()
        if pid == 0:
            write(who)
            os._exit(0)
        children.append(pid)
    print([os.waitpid(pid, 0)[1] for pid in children])
    print(db.execute("SELECT count(*), count(DISTINCT text) FROM word WHERE n = -1").fetchone())
    print(sorted(os.listdir(directory)))
    copy = sqlite3.connect(os.path.join(directory, "copy.db"))
    db.backup(copy)
    print(copy.execute("PRAGMA integrity_check").fetchone(), copy.execute("SELECT count(*) FROM word").fetchone())
    db.close()
    other.close()
    print(sorted(os.listdir(directory)))
    memory = sqlite3.connect(":memory:")
    memory.executescript("CREATE TABLE t (x); INSERT INTO t VALUES (1), (2), (3);")
    memory.create_function("twice", 1, lambda x: x * 2)
    print(memory.execute("SELECT sum(twice(x)) FROM t").fetchone(), sum(1 for _ in memory.iterdump()))
print("done")
