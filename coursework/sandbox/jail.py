"""Isolate this process, then execute the worker: namespaces on Linux, limits everywhere.

`coursework.session` starts it as ``unshare ... python -I jail.py SPEC``, so it is the first process
of new user, mount, process and network namespaces. It builds a file system in which only Python,
system libraries, this folder and the assignment's folders can be read and only /tmp can be written.
Then it gives up every privilege, sets limits, and executes worker.py. Without namespaces
(``"namespaces": false``) it only sets the limits.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import sys

MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18
MNT_DETACH = 2
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 24, 38
# Flags that a remount in a user namespace must keep. statvfs and mount have the same numbers for
# nosuid 2, nodev 4, noexec 8, noatime 1024 and nodiratime 2048, and different ones for relatime.
KEPT, ST_RELATIME, MS_RELATIME = 2 | 4 | 8 | 1024 | 2048, 4096, 1 << 21


class Libc:
    """System calls that Python does not offer; a failing one raises OSError."""

    def __init__(self) -> None:
        self.libc = ctypes.CDLL(None, use_errno=True)

    def __call__(self, name: str, *arguments: object) -> None:
        encoded = [a.encode() if isinstance(a, str) else a for a in arguments]
        if getattr(self.libc, name)(*encoded):
            number = ctypes.get_errno()
            raise OSError(number, f"{name}: {os.strerror(number)}")

    def mount(self, source: str | None, target: str, kind: str | None, flags: int) -> None:
        """mount(2) without data."""
        self("mount", source, target, kind, ctypes.c_ulong(flags), None)

    def bind(self, source: str, target: str, *, read_only: bool) -> None:
        """Mount a file or folder at a second path."""
        if os.path.isdir(source):
            os.makedirs(target, exist_ok=True)
        else:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.close(os.open(target, os.O_CREAT))
        self.mount(source, target, None, MS_BIND | MS_REC)
        if read_only:
            flags = os.statvfs(target).f_flag
            kept = flags & KEPT | (MS_RELATIME if flags & ST_RELATIME else 0)
            self.mount(None, target, None, MS_REMOUNT | MS_BIND | MS_RDONLY | kept)


def enter_new_root(libc: Libc, root: str, visible: list[str]) -> None:
    """Enter a file system of the `visible` paths, read-only, with an empty /tmp, /proc and devices.

    It is mounted on `root`, an empty folder of the grader's. It could not be mounted on /tmp, which
    may contain Python: a mount hides everything below it.
    """
    libc.mount(None, "/", None, MS_REC | MS_PRIVATE)
    libc("mount", "tmpfs", root, "tmpfs", ctypes.c_ulong(2 | 4), "size=256m,mode=755")
    for path in visible:
        if os.path.islink(path):
            os.makedirs(os.path.dirname(root + path), exist_ok=True)
            os.symlink(os.readlink(path), root + path)
        elif os.path.exists(path):
            libc.bind(path, root + path, read_only=True)
    for device in ("null", "zero", "urandom", "random"):
        libc.bind(f"/dev/{device}", f"{root}/dev/{device}", read_only=False)
    for folder in ("old", "tmp/work", "dev/shm", "proc"):
        os.makedirs(f"{root}/{folder}")
    with contextlib.suppress(OSError):  # some containers forbid this, and few programs need it
        libc.mount("proc", f"{root}/proc", "proc", 2 | 4 | 8)
        for name, most in (("user/max_user_namespaces", 0), ("kernel/pid_max", 400)):
            with contextlib.suppress(OSError), open(f"{root}/proc/sys/{name}", "w") as setting:
                setting.write(str(most))  # no further namespaces, at most 400 processes
    os.chdir(root)
    libc("pivot_root", ".", "old")
    os.chdir("/tmp/work")
    libc("umount2", "/old", MNT_DETACH)
    os.rmdir("/old")


def drop_privileges(libc: Libc) -> None:
    """Give up all capabilities, also for the programs that this process executes."""
    libc("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    for capability in range(64):
        with contextlib.suppress(OSError):  # the kernel has fewer capabilities
            libc("prctl", PR_CAPBSET_DROP, capability, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    libc("capset", header, (ctypes.c_uint32 * 6)())


def set_limits(limits: dict[str, int]) -> None:
    """Set hard limits by their names in `resource`; skip those that the platform lacks."""
    for name, value in limits.items():
        with contextlib.suppress(ValueError, OSError, AttributeError):
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))


def main() -> None:
    """Isolate this process, then become the worker."""
    spec = json.loads(sys.argv[1])
    if spec["namespaces"]:
        libc = Libc()
        enter_new_root(libc, spec["folder"], spec["visible"])
        drop_privileges(libc)
    else:
        os.chdir(spec["folder"])
    set_limits(spec["limits"])
    worker = os.path.join(os.path.dirname(os.path.abspath(__file__)), "worker.py")
    command = [spec["python"], "-I", worker, sys.argv[1]]
    os.execve(spec["python"], command, spec["environment"])


if __name__ == "__main__":
    main()
