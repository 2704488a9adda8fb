"""Files as Python uses them: tempfile, mmap, scandir, locks, descriptors, copies with attributes."""
import ctypes
import errno
import fcntl
import hashlib
import mmap
import os
import pathlib
import shutil
import stat
import struct
import tempfile
import zipfile


def fails(function, *args):
    try:
        function(*args)
        return "no error"
    except OSError as error:
        return errno.errorcode[error.errno]


os.umask(0o022)
with tempfile.TemporaryDirectory() as name:
    os.chdir(name)
    top = pathlib.Path(name)

    print("== tempfile")
    with tempfile.TemporaryFile() as unnamed:
        unnamed.write(b"x" * 10000)
        unnamed.seek(5000)
        print(len(unnamed.read()), os.fstat(unnamed.fileno()).st_nlink)
    with tempfile.NamedTemporaryFile(dir=name) as named:
        print(oct(os.stat(named.name).st_mode), os.path.exists(named.name))
    print(os.path.exists(named.name))
    with tempfile.SpooledTemporaryFile(max_size=10) as spooled:
        spooled.write(b"y" * 100)
        spooled.seek(0)
        print(len(spooled.read()))

    print("== descriptors")
    fd = os.open("file", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o640)
    print(os.write(fd, b"0123456789"), os.lseek(fd, -3, os.SEEK_END), os.read(fd, 10))
    print(os.pwrite(fd, b"AB", 4), os.pread(fd, 4, 3), os.pwritev(fd, [b"c", b"de"], 20))
    parts = [bytearray(3), bytearray(4)]
    print(os.preadv(fd, parts, 0), parts)
    os.ftruncate(fd, 22)
    print(os.fstat(fd).st_size, os.read(fd, 100), os.get_inheritable(fd))
    other = os.dup(fd)
    os.lseek(other, 1, os.SEEK_SET)
    print(os.read(fd, 2), fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE)
    print(os.posix_fallocate(fd, 0, 1 << 20), os.fstat(fd).st_size)
    print(os.copy_file_range(fd, os.open("copy", os.O_WRONLY | os.O_CREAT), 1000, 0))
    os.close(fd)
    print(fails(os.close, fd), os.read(other, 0))
    hole = os.open("hole", os.O_RDWR | os.O_CREAT)
    os.pwrite(hole, b"end", 1 << 20)
    print(os.lseek(hole, 0, os.SEEK_DATA) <= 1 << 20, os.lseek(hole, 1 << 20, os.SEEK_HOLE) - (1 << 20) >= 3)

    print("== errors")
    for function, *args in [
        (os.open, "nothing", os.O_RDONLY), (os.open, "file", os.O_CREAT | os.O_EXCL), (os.mkdir, "file"),
        (os.rmdir, "file"), (os.unlink, "."), (os.listdir, "file"), (os.open, "file/x", 0), (os.rename, "nothing", "x"),
        (os.link, "file", "file"), (os.readlink, "file"), (os.open, ".", os.O_WRONLY), (os.open, "x" * 300, 0),
        (os.truncate, "file", -1), (os.lseek, hole, -1, 0), (os.pread, 999, 1, 0), (os.open, "file", os.O_DIRECTORY),
    ]:
        print(function.__name__, fails(function, *args))

    print("== trees")
    for n in range(5):
        (top / "tree" / f"d{n}" / "e").mkdir(parents=True)
        (top / "tree" / f"d{n}" / "f").write_text(f"text {n}\n" * 100)
        os.utime(top / "tree" / f"d{n}" / "f", ns=(10**18 + n, 10**18 + 123456789))
    os.symlink("d0/f", "tree/link")
    os.chmod("tree/d1/f", 0o4711)
    shutil.copytree("tree", "twin", symlinks=True)
    for path in sorted(pathlib.Path("twin").rglob("*")):
        info = path.lstat()
        print(path, stat.filemode(info.st_mode), info.st_mtime_ns if info.st_size and path.is_file() and not path.is_symlink() else "")
    with os.scandir("twin") as entries:
        print(sorted((e.name, e.is_dir(), e.is_symlink(), e.inode() == e.stat(follow_symlinks=False).st_ino) for e in entries))
    shutil.move("twin", "moved")
    print(sum(len(files) for _, _, files in os.walk("moved")))
    shutil.make_archive("packed", "xztar", "moved")
    shutil.unpack_archive("packed.tar.xz", "unpacked")
    with zipfile.ZipFile("packed.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write("moved/d0/f")
    print(zipfile.ZipFile("packed.zip").read("moved/d0/f") == open("unpacked/d0/f", "rb").read())
    shutil.rmtree("moved")
    print(os.path.exists("moved"))
    directory = os.open("tree", os.O_RDONLY | os.O_DIRECTORY)
    print(sorted(os.listdir(directory)), os.stat("d0/f", dir_fd=directory).st_size)
    os.rename("d0", "renamed", src_dir_fd=directory, dst_dir_fd=directory)
    os.fchdir(directory)
    print(os.getcwd() == os.path.join(os.path.realpath(name), "tree"), os.path.isdir("renamed"))
    os.chdir(name)

    print("== mmap")
    with open("mapped", "w+b") as file:
        file.truncate(3 * mmap.PAGESIZE)
        with mmap.mmap(file.fileno(), 0) as shared:
            shared[4090:4100] = b"0123456789"
            shared.flush()
            file.seek(4090)
            print(file.read(10), shared.find(b"789"))
            if os.fork() == 0:
                shared[0:5] = b"child"
                os._exit(0)
            os.wait()
            print(shared[0:5])
            shared.resize(5 * mmap.PAGESIZE)
            print(len(shared), os.fstat(file.fileno()).st_size // mmap.PAGESIZE)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as private:
            private[0:5] = b"ELSE!"
            file.seek(0)
            print(private[0:5], file.read(5))
    anonymous = mmap.mmap(-1, 1 << 24)
    anonymous[1 << 23] = 7
    if os.fork() == 0:
        anonymous[0] = 9
        os._exit(0)
    os.wait()
    print(anonymous[0], anonymous[1 << 23], len(anonymous))
    blob = bytes(range(256)) * (1 << 14)
    print(hashlib.sha256(blob).hexdigest())

    print("== locks")
    with open("lock", "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with open("lock", "w") as mine:
            print(fails(fcntl.flock, mine, fcntl.LOCK_EX | fcntl.LOCK_NB))
        fcntl.lockf(held, fcntl.LOCK_EX, 10, 0)
        child = os.fork()
        if child == 0:
            mine = os.open("lock", os.O_RDWR)
            lock = fcntl.fcntl(mine, fcntl.F_GETLK, struct.pack("hhqqi", fcntl.F_WRLCK, 0, 5, 100, 0))
            kind, _, start, length, pid = struct.unpack("hhqqi", lock)
            right = pid == os.getppid() and (kind, start, length) == (fcntl.F_WRLCK, 0, 10)
            try:
                fcntl.lockf(mine, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 10)
                fcntl.lockf(mine, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 9)
            except OSError as error:
                os._exit(error.errno if right else 1)
            os._exit(2)
        print(errno.errorcode[os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])])

    print("== others")
    memory = os.memfd_create("memory", os.MFD_ALLOW_SEALING)
    os.write(memory, b"in memory")
    fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
    print(fails(os.write, memory, b"more"), os.pread(memory, 99, 0))
    read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    print(fails(os.read, read, 1), fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 1 << 17), os.write(write, b"z" * (1 << 20)))
    event = os.eventfd(3)
    os.eventfd_write(event, 4)
    print(os.eventfd_read(event))
    print(os.getrandom(16) != os.getrandom(16), os.sysconf("SC_PAGE_SIZE"), os.ctermid())
    print(ctypes.CDLL(None).abs(-5))
    os.chdir("/")
print(os.path.exists(name))
print("done")
