# Alarms that come while the process sleeps, computes, or makes calls all the time, with neighbours that hand the CPU to and fro: none is lost.
import os
import random
import signal
import time

PATIENCE = 60
came = 0


def on_alarm(*_):
    global came
    came += 1


def neighbours():
    """Two processes that wake each other until the one that made them is gone."""
    first = os.getpid()
    read, write = os.pipe()
    if os.fork() == 0:
        while os.getppid() == first:
            os.write(write, b"x")
        os._exit(0)
    if os.fork() == 0:
        os.close(write)
        while os.read(read, 1):
            pass
        os._exit(0)
    os.close(read)
    os.close(write)


def asleep(delay):
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    signal.setitimer(signal.ITIMER_REAL, delay)
    got = signal.sigtimedwait([signal.SIGALRM], PATIENCE)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
    return got is not None


def busy(call):
    def wait(delay):
        before, end = came, time.monotonic() + PATIENCE
        signal.setitimer(signal.ITIMER_REAL, delay)
        while came == before and time.monotonic() < end:
            call()
        return came > before

    return wait


random.seed(1)
signal.signal(signal.SIGALRM, on_alarm)
neighbours()
for name, wait in [("asleep", asleep), ("computing", busy(lambda: None)), ("calling", busy(os.getppid))]:
    print(name, sum(wait(random.choice([0.0001, 0.0005, 0.002, 0.01])) for _ in range(100)))
print("done")
