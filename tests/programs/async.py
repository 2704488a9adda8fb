"""asyncio: timers, unix sockets, subprocesses, signals, threads, and many tasks on one epoll loop."""
import asyncio
import os
import signal
import socket
import tempfile


async def serve(reader, writer):
    while line := await reader.readline():
        writer.write(line.upper())
        await writer.drain()
    writer.close()


async def client(path, who):
    reader, writer = await asyncio.open_unix_connection(path)
    answers = []
    for n in range(20):
        writer.write(f"client {who} message {n}\n".encode())
        answers.append(await reader.readline())
    writer.close()
    await writer.wait_closed()
    return all(a == f"CLIENT {who} MESSAGE {n}\n".encode() for n, a in enumerate(answers))


async def sleeper(n, log):
    await asyncio.sleep(0.05 * n)
    log.append(n)


async def main():
    log = []
    await asyncio.gather(*(sleeper(n, log) for n in [3, 1, 4, 2, 0]))
    print(log)
    try:
        await asyncio.wait_for(asyncio.sleep(10), 0.05)
    except asyncio.TimeoutError:
        print("timed out")

    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "socket")
        server = await asyncio.start_unix_server(serve, path)
        async with server:
            print(all(await asyncio.gather(*(client(path, who) for who in range(20)))))
        missing = os.path.join(directory, "nobody")
        try:
            await asyncio.open_unix_connection(missing)
        except OSError as error:
            print(type(error).__name__)

    process = await asyncio.create_subprocess_exec("cat", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate(b"x" * 500000)
    print(len(out), process.returncode)
    runs = [await asyncio.create_subprocess_shell(f"sleep 0.{n}; exit {n}") for n in range(5)]
    print(await asyncio.gather(*(run.wait() for run in runs)))

    got = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, got.set)
    os.kill(os.getpid(), signal.SIGUSR1)
    await asyncio.wait_for(got.wait(), 10)
    print("signal")
    print(await asyncio.to_thread(sum, range(1000)))
    print(sum(await asyncio.gather(*(asyncio.to_thread(pow, n, 2) for n in range(50)))))

    left, right = socket.socketpair()
    left.setblocking(False)
    right.setblocking(False)
    loop = asyncio.get_running_loop()
    sent = loop.create_task(loop.sock_sendall(left, b"y" * 2000000))
    total = 0
    while total < 2000000:
        total += len(await loop.sock_recv(right, 65536))
    await sent
    print(total)
    read, write = os.pipe()
    seen = loop.create_future()
    loop.add_reader(read, lambda: seen.set_result(os.read(read, 10)) if not seen.done() else None)
    loop.call_later(0.05, os.write, write, b"pipe")
    print(await asyncio.wait_for(seen, 10))
    loop.remove_reader(read)

    lock, running = asyncio.Semaphore(3), 0
    most = 0

    async def task():
        nonlocal running, most
        async with lock:
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.001)
            running -= 1

    await asyncio.gather(*(task() for _ in range(200)))
    print(most)


asyncio.run(main())
print("done")
