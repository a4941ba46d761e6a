"""Shuts the process in and becomes the worker: namespaces where Linux has them, limits everywhere.

Started by `coursework.session` as ``unshare ... python -I jail.py SPEC``, that is as the first
process of new user, mount, process and network namespaces. It builds a file system of its own in
which only Python and this folder can be read and only /tmp can be written, gives up every
privilege, sets limits, and executes worker.py. Without namespaces (``"namespaces": false``) only
the limits are set.
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
# Flags that a mount keeps in a new user namespace, as statvfs gives them and as mount takes them:
# nosuid 2, nodev 4, noexec 8, noatime 1024, nodiratime 2048 are alike; relatime is not.
KEPT, ST_RELATIME, MS_RELATIME = 2 | 4 | 8 | 1024 | 2048, 4096, 1 << 21


class Libc:
    """The few calls that Python has no name for; each raises OSError."""

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
        """Show a file or folder under another name."""
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
    """Make a file system of a few read-only folders, an empty /tmp, and nothing else.

    It is built over `root`, a folder of the grader's that nothing visible lies in: what it covers
    could not be shown any more. Python may lie in /tmp.
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
    with contextlib.suppress(OSError):  # some containers forbid it, and little needs it
        libc.mount("proc", f"{root}/proc", "proc", 2 | 4 | 8)
        for name, most in (("user/max_user_namespaces", 0), ("kernel/pid_max", 400)):
            with contextlib.suppress(OSError), open(f"{root}/proc/sys/{name}", "w") as setting:
                setting.write(str(most))  # no namespaces within, and no flood of processes
    os.chdir(root)
    libc("pivot_root", ".", "old")
    os.chdir("/tmp/work")
    libc("umount2", "/old", MNT_DETACH)
    os.rmdir("/old")


def drop_privileges(libc: Libc) -> None:
    """Give up all capabilities for good, here and in whatever is executed."""
    libc("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    for capability in range(64):
        with contextlib.suppress(OSError):  # the kernel has fewer
            libc("prctl", PR_CAPBSET_DROP, capability, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    libc("capset", header, (ctypes.c_uint32 * 6)())


def set_limits(limits: dict[str, int]) -> None:
    """Hard limits by their name in `resource`; one that the platform lacks is left out."""
    for name, value in limits.items():
        with contextlib.suppress(ValueError, OSError, AttributeError):
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))


def main() -> None:
    """Shut in, then become the worker."""
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
