"""Threads: locks, conditions, queues, pools, thread-local values, timers, and processes started from threads."""
import concurrent.futures
import os
import queue
import signal
import subprocess
import sys
import threading
import time

sys.setswitchinterval(0.001)

print("== locks")
count = 0
lock = threading.Lock()


def add(times):
    global count
    for _ in range(times):
        with lock:
            count += 1


workers = [threading.Thread(target=add, args=(5000,)) for _ in range(8)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
print(count)

print("== conditions and barriers")
turn = 0
changed = threading.Condition()
order = []


def take_turns(me, of):
    global turn
    for _ in range(20):
        with changed:
            changed.wait_for(lambda: turn % of == me)
            order.append(me)
            turn += 1
            changed.notify_all()


workers = [threading.Thread(target=take_turns, args=(n, 4)) for n in range(4)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
print(order == [0, 1, 2, 3] * 20)
barrier = threading.Barrier(5)
passed = []
workers = [threading.Thread(target=lambda: passed.append(barrier.wait())) for _ in range(5)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
print(sorted(passed))

print("== queues")
jobs, results = queue.Queue(maxsize=3), queue.Queue()


def serve():
    while (job := jobs.get()) is not None:
        results.put(job * job)


workers = [threading.Thread(target=serve) for _ in range(4)]
for worker in workers:
    worker.start()
for job in range(500):
    jobs.put(job)
for _ in workers:
    jobs.put(None)
for worker in workers:
    worker.join()
print(sum(results.get() for _ in range(500)))
try:
    results.get(timeout=0.05)
except queue.Empty:
    print("empty")

print("== pools")
with concurrent.futures.ThreadPoolExecutor(6) as pool:
    print(list(pool.map(lambda n: n**3, range(10))))
    futures = [pool.submit(subprocess.run, ["sh", "-c", f"echo {n}; exit {n}"], capture_output=True) for n in range(12)]
    print([(f.result().stdout, f.result().returncode) for f in futures])
    hold = threading.Event()
    slow = pool.submit(hold.wait)
    done, waiting = concurrent.futures.wait([slow], timeout=0.01)
    print(len(done), len(waiting))
    hold.set()

print("== local values and timers")
local = threading.local()
local.value = "main"


def own():
    seen.append(hasattr(local, "value"))
    local.value = "other"


seen = []
worker = threading.Thread(target=own)
worker.start()
worker.join()
print(seen, local.value)
event = threading.Event()
timer = threading.Timer(0.05, event.set)
timer.start()
print(event.wait(10))
start = time.monotonic()
print(threading.Event().wait(0.1), time.monotonic() - start >= 0.1)
print(lock.acquire(), lock.acquire(timeout=0.05))

print("== threads and pipes, signals, fork")
read, write = os.pipe()
received = []


def reader():
    with os.fdopen(read, "rb") as pipe:
        for line in pipe:
            received.append(line)


worker = threading.Thread(target=reader)
worker.start()
with os.fdopen(write, "wb") as pipe:
    for n in range(1000):
        pipe.write(b"line %d\n" % n)
worker.join()
print(len(received), received[-1])
caught = []
signal.signal(signal.SIGUSR1, lambda number, frame: caught.append(threading.current_thread() is threading.main_thread()))
worker = threading.Thread(target=lambda: (time.sleep(0.05), os.kill(os.getpid(), signal.SIGUSR1)))
worker.start()
time.sleep(0.3)
worker.join()
print(caught)
sleepers = [threading.Thread(target=time.sleep, args=(100,), daemon=True) for _ in range(50)]
for sleeper in sleepers:
    sleeper.start()
print(len(os.listdir("/proc/self/task")) >= 51, len({t.native_id for t in sleepers}))
child = os.fork()
if child == 0:
    os._exit(len(os.listdir("/proc/self/task")))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(threading.active_count())
for _ in range(300):
    worker = threading.Thread(target=lambda: None)
    worker.start()
    worker.join()
print("done", flush=True)
