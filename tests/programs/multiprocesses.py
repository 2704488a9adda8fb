"""The multiprocessing module: pools, queues, shared memory, semaphores, managers, by fork and by spawn."""
import multiprocessing as mp
import os
import time
from multiprocessing import shared_memory


def square(n):
    return n * n


def put_all(queue, numbers):
    for n in numbers:
        queue.put(n)


def deposit(total, times):
    for _ in range(times):
        with total.get_lock():
            total.value += 1


def talk(connection):
    while (message := connection.recv()) != "end":
        connection.send(message[::-1])
    connection.close()


def fill(name, start):
    block = shared_memory.SharedMemory(name)
    block.buf[start:start + 100] = bytes([start % 251]) * 100
    block.close()


def limited(semaphore, inside, most):
    with semaphore:
        with inside.get_lock():
            inside.value += 1
            most.value = max(most.value, inside.value)
        time.sleep(0.01)
        with inside.get_lock():
            inside.value -= 1


def fail():
    raise SystemExit(3)


def check(context):
    with context.Pool(3) as pool:
        print(pool.map(square, range(20)), pool.apply_async(square, (12,)).get(60), sum(pool.imap_unordered(square, range(100), 7)))
    queue = context.Queue()
    writers = [context.Process(target=put_all, args=(queue, range(n * 100, n * 100 + 100))) for n in range(4)]
    for writer in writers:
        writer.start()
    print(sum(queue.get(timeout=60) for _ in range(400)))
    for writer in writers:
        writer.join()
    here, there = context.Pipe()
    child = context.Process(target=talk, args=(there,))
    child.start()
    for message in ["abc", "x" * 100000, [1, 2, 3]]:
        here.send(message)
        print(len(here.recv()))
    here.send("end")
    child.join()
    print(child.exitcode)
    child = context.Process(target=fail)
    child.start()
    child.join()
    print(child.exitcode)
    child = context.Process(target=time.sleep, args=(100,))
    child.start()
    child.terminate()
    child.join()
    print(child.exitcode)


if __name__ == "__main__":
    for method in ["fork", "spawn"]:
        print("==", method)
        check(mp.get_context(method))
    print("== shared state")
    context = mp.get_context("fork")
    total = context.Value("i", 0)
    workers = [context.Process(target=deposit, args=(total, 500)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print(total.value)
    block = shared_memory.SharedMemory(create=True, size=1000)
    workers = [context.Process(target=fill, args=(block.name, n * 100)) for n in range(10)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print(sum(block.buf[:1000]))
    block.close()
    block.unlink()
    inside, most = context.Value("i", 0), context.Value("i", 0)
    semaphore = context.Semaphore(2)
    workers = [context.Process(target=limited, args=(semaphore, inside, most)) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print(most.value <= 2, inside.value, semaphore.acquire(timeout=0.05))
    with context.Manager() as manager:
        names = manager.dict()
        names["one"] = 1
        print(dict(names))
    print(os.waitstatus_to_exitcode(os.system("exit 4")), mp.active_children())
    print("done")
