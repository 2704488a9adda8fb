"""The subprocess module: pipes, groups, sessions, signals, limits, and what a child inherits."""
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time

PIPE = subprocess.PIPE


def run(*args, **options):
    done = subprocess.run(args, stdout=PIPE, stderr=PIPE, **options)
    return done.returncode, done.stdout, done.stderr


print("== statuses")
print(run("true"), run("false"), run("sh", "-c", "exit 77"), run("sh", "-c", "kill -9 $$"))
for missing in ["/no/such/program", "/etc/passwd", "/"]:
    try:
        subprocess.run([missing])
    except OSError as error:
        print(type(error).__name__, error.errno)
try:
    subprocess.run(["true"], cwd="/no/such/directory")
except OSError as error:
    print(type(error).__name__, error.filename)
try:
    subprocess.run(["sleep", "10"], timeout=0.1)
except subprocess.TimeoutExpired as error:
    print("timed out:", error.timeout <= 0.1)
try:
    subprocess.check_call(["false"])
except subprocess.CalledProcessError as error:
    print("failed with", error.returncode)

print("== streams")
print(run("tr", "a-z", "A-Z", input=b"some text"))
print(run("sh", "-c", "echo out; echo err >&2"))
print(subprocess.run("echo $0 $((6 * 7)) | cat", shell=True, stdout=PIPE).stdout)
print(subprocess.check_output(["sh", "-c", "echo both; echo ways >&2"], stderr=subprocess.STDOUT))
big = os.urandom(1 << 20)
print(run("cat", input=big)[1] == big)
print(len(run("sh", "-c", "head -c 300000 /dev/zero; head -c 400000 /dev/zero >&2")[2]))
first = subprocess.Popen(["seq", "100000"], stdout=PIPE)
second = subprocess.Popen(["grep", "99"], stdin=first.stdout, stdout=PIPE)
third = subprocess.Popen(["wc", "-l"], stdin=second.stdout, stdout=PIPE)
first.stdout.close()
second.stdout.close()
print(third.communicate()[0], first.wait(), second.wait())
with tempfile.TemporaryFile() as file:
    subprocess.run(["echo", "into a file"], stdout=file)
    file.seek(0)
    print(file.read())
print(run("wc", "-c", stdin=subprocess.DEVNULL))
talk = subprocess.Popen(["cat"], stdin=PIPE, stdout=PIPE, text=True, bufsize=1)
for n in range(5):
    talk.stdin.write(f"line {n}\n")
    print(talk.stdout.readline(), end="")
talk.stdin.close()
print(talk.wait())

print("== what is inherited")
print(run(sys.executable, "-c", "import os; print(sorted(os.listdir('/proc/self/fd'))[:3], os.getcwd())", cwd="/usr")[1])
print(run("env", env={"ONLY": "this"})[1])
read, write = os.pipe()
print(run("sh", "-c", f"echo passed >&{write}", pass_fds=[write])[0], os.read(read, 100))
print(run("sh", "-c", f"echo closed >&{write}")[0] != 0)
print(run("sh", "-c", "umask", umask=0o077)[1], run("nice", preexec_fn=lambda: os.nice(3))[1])
print(run("sh", "-c", "ulimit -n", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)))[1])
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
print(run("sh", "-c", "kill -USR1 $$; echo ignored")[1])
signal.signal(signal.SIGUSR1, signal.SIG_DFL)
print(run("sh", "-c", "kill -USR1 $$; echo ignored")[0])

print("== groups and signals")
leader = subprocess.Popen(["sh", "-c", "sleep 100 & sleep 100 & echo ready; wait"], stdout=PIPE, start_new_session=True)
leader.stdout.readline()
print(os.getpgid(leader.pid) == leader.pid == os.getsid(leader.pid))
os.killpg(leader.pid, signal.SIGTERM)
print(leader.wait(), leader.stdout.read())
child = subprocess.Popen(["sleep", "100"])
child.send_signal(signal.SIGSTOP)
print(os.WIFSTOPPED(os.waitpid(child.pid, os.WUNTRACED)[1]))
child.send_signal(signal.SIGCONT)
print(os.WIFCONTINUED(os.waitpid(child.pid, os.WCONTINUED)[1]))
print(child.poll())
child.terminate()
print(child.wait())
try:
    child.send_signal(0) or os.kill(child.pid, 0)
except ProcessLookupError:
    print("gone")

print("== the low level")
for status in [0, 5, 255]:
    pid = os.fork()
    if pid == 0:
        os._exit(status)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 6"], os.environ, setpgroup=0)
info = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
print(info.si_status, info.si_code == os.CLD_EXITED, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
pid = os.fork()
if pid == 0:
    os.execvp("sh", ["sh", "-c", "exit 8"])
pidfd = os.pidfd_open(pid)
print(os.waitid(os.P_PIDFD, pidfd, os.WEXITED).si_status)
pid, status, usage = os.wait4(os.posix_spawn("/bin/true", ["true"], {}), 0)
print(status, usage.ru_maxrss > 0)
try:
    os.wait()
except ChildProcessError:
    print("no children")
# An orphan's output arrives although its parent has ended.
orphan = subprocess.Popen(["sh", "-c", "(sleep 0.2; echo orphan) & exit 0"], stdout=PIPE)
print(orphan.wait(), orphan.stdout.read())
start = time.monotonic()
many = [subprocess.Popen(["sh", "-c", f"sleep 0.{n % 3}; exit {n}"]) for n in range(40)]
print(sum(p.wait() for p in many), time.monotonic() - start < 60)
print("done")
