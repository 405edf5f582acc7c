"""Removes from a process what a decoder does not need: files, the network, other processes, and
ways to regain them.

A file that takes over a decoder is then in a process that can read the libraries and its media, and
send an answer. All of this is done by the kernel. It needs no privilege, cannot be undone, and
costs no measurable time. Parts that a kernel does not support are left out, and `Confinement` lists
them.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_LIBC = ctypes.CDLL(None, use_errno=True)
_NO_NEW_PRIVILEGES, _SET_SECCOMP, _DROP_FROM_BOUND = 38, 22, 24
_LAST_CAPABILITY = 63

# Landlock: the same numbers on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_FOLDER, _TRUNCATE = 1, 1 << 1, 1 << 2, 1 << 3, 1 << 14
_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
# Rights in a program's own folder: all but to run what it wrote, and to make devices or use them.
_OWN_FOLDER = 0xFFFF & ~(_EXECUTE | 1 << 6 | 1 << 11 | 1 << 15)
# number of bits for rights on files, by version; later versions have 16
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
_CONNECT_AND_BIND = 3
_SIGNALS_AND_SOCKETS = 3

# What a decoder must read besides its libraries: properties of the machine, and the time zone.
_READABLE = ("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/fonts", "/etc/localtime", "/sys",
             "/proc/cpuinfo", "/proc/meminfo", "/proc/self", "/dev/zero",
             "/dev/urandom")  # fmt: skip
_WRITABLE = "/dev/null"  # some libraries open it during their import

_AUDIT_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
# System calls that fail with EPERM, as (x86_64, aarch64); None if the architecture lacks the call.
_REFUSED: dict[str, tuple[int | None, int | None]] = {
    "socket": (41, 198), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201),
    "accept": (43, 202), "accept4": (288, 242), "fork": (57, None), "vfork": (58, None),
    "execve": (59, 221), "execveat": (322, 281), "ptrace": (101, 117),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "tkill": (200, 130),
    "pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424),
    "kcmp": (312, 272), "mount": (165, 40), "umount2": (166, 39), "unshare": (272, 97),
    "setns": (308, 268), "pivot_root": (155, 41), "chroot": (161, 51), "bpf": (321, 280),
    "perf_event_open": (298, 241), "reboot": (169, 142), "kexec_load": (246, 104),
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "userfaultfd": (323, 282), "open_by_handle_at": (304, 265), "name_to_handle_at": (303, 264),
    "setsid": (112, 157), "chmod": (90, None), "fchmodat": (268, 53), "chown": (92, None),
    "fchownat": (260, 54), "mknod": (133, None), "mknodat": (259, 33),
    "process_madvise": (440, 440), "move_pages": (279, 239), "migrate_pages": (256, 238),
    "msgget": (68, 186), "shmget": (29, 194), "semget": (64, 190), "mq_open": (240, 180),
}  # fmt: skip
# Calls that programs need which start others. None of them gives back what `confine` takes: a
# socket may be made for this machine alone, and `bind` and `listen` only seem to succeed;
# LibreOffice ends if it cannot wait for its copies.
_OF_PROGRAMS = frozenset(
    {"fork", "vfork", "execve", "chmod", "fchmodat", "socket", "bind", "listen"}
)
_SET_GROUP = (109, 154)  # a process that leaves its group could outlive the others
_CLONE, _CLONE3, _KILL, _TGKILL, _PRLIMIT = (56, 220), (435, 435), (62, 129), (234, 131), (302, 261)
_CLONE_THREAD = 0x00010000
_X32 = 0x40000000  # x86_64's second set of numbers for the same system calls

# Instructions of a seccomp filter: load, compare, return.
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL_PROCESS, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT, _SECOND_ARGUMENT = 0, 4, 16, 24
_AF_UNIX, _NOT_A_STREAM = 1, 0b1110  # bits that the other types of sockets have


@dataclass(frozen=True)
class Confinement:
    """The protections that confine a decoder.

    Args:
        landlock: Version of the kernel's Landlock that is active. Only libraries and the media are
            readable; writing, executing and (from version 4) connecting are forbidden. 0 if the
            kernel lacks it.
        seccomp: Whether system calls for processes, the network and rare parts of the kernel are
            refused.
        capabilities: Whether the process has no capabilities, root or not, and can gain none.
    """

    landlock: int
    seccomp: bool
    capabilities: bool

    @property
    def missing(self) -> list[str]:
        """Describes what this kernel does not support, for a person."""
        absent = {
            "Landlock": not self.landlock,
            "seccomp": not self.seccomp,
            "no_new_privs": not self.capabilities,
        }
        return [name for name, is_absent in absent.items() if is_absent]

    def as_dict(self) -> dict[str, Any]:
        """The protections, and what is missing."""
        return vars(self) | {"missing": self.missing}


def confine(readable: Iterable[str]) -> Confinement:
    """Confines this process permanently.

    Args:
        readable: Files and folders that it may read, besides its libraries.
    """
    capabilities = _drop_capabilities()
    allowed = dict.fromkeys({*_READABLE, *libraries(), *readable}, _READ_FILE)
    return Confinement(_restrict_files(allowed), _restrict_calls(), capabilities)


def confine_program(programs: Iterable[str], readable: Iterable[str], own: str) -> Confinement:
    """Confines this process, and the programs that it becomes and starts, permanently.

    Unlike with `confine`, programs may run, and write in a folder of their own; they have no
    network either.

    Args:
        programs: Files and folders with what may run, besides the system's.
        readable: Files and folders that may be read.
        own: The folder that may be written.
    """
    capabilities = _drop_capabilities()
    system = ("/usr", "/bin", "/lib", "/lib64")
    allowed = dict.fromkeys({*_READABLE, *readable}, _READ_FILE)
    allowed |= dict.fromkeys({*system, *programs}, _READ_FILE | _EXECUTE) | {own: _OWN_FOLDER}
    return Confinement(_restrict_files(allowed), _restrict_calls(programs=True), capabilities)


def available() -> Confinement:
    """The protections that `confine` would activate on this machine; changes nothing."""
    seccomp = platform.machine() in _AUDIT_ARCHITECTURE and os.path.exists(
        "/proc/sys/kernel/seccomp"
    )
    return Confinement(_landlock_version(), seccomp, _LIBC.prctl(39, 0, 0, 0, 0) >= 0)


def libraries() -> list[str]:
    """Folders from which this process may still import: Python's own, installed packages, and this
    package."""
    installed = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    own = Path(__file__).resolve().parents[1]  # internvl_ops, without its neighbours
    return [sys.prefix, sys.base_prefix, *installed, str(own)]


def _drop_capabilities() -> bool:
    confined = _LIBC.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) == 0
    for capability in range(_LAST_CAPABILITY + 1):
        _LIBC.prctl(_DROP_FROM_BOUND, capability, 0, 0, 0)
    header = struct.pack("II", 0x20080522, 0)  # version 3, this process
    _LIBC.capset(ctypes.c_char_p(header), ctypes.c_char_p(bytes(24)))
    return confined


# ---------------------------------------------------------------- files


def _landlock_version() -> int:
    return max(0, _LIBC.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), 1))


def _restrict_files(allowed: Mapping[str, int]) -> int:
    """Takes all rights on files but the allowed ones, by path. Returns the version of Landlock, 0
    without it."""
    version = _landlock_version()
    if not version:
        return 0
    files = (1 << _FILE_RIGHTS.get(version, 16)) - 1
    fields = [files, _CONNECT_AND_BIND if version >= 4 else 0, _SIGNALS_AND_SOCKETS]
    known_fields = 1 + (version >= 4) + (version >= 6)
    attributes = struct.pack(f"{known_fields}Q", *fields[:known_fields])
    ruleset = _LIBC.syscall(
        _CREATE_RULESET, ctypes.c_char_p(attributes), ctypes.c_size_t(len(attributes)), 0
    )
    if ruleset < 0:
        return 0
    try:
        for path, rights in allowed.items():
            _allow_file(ruleset, path, rights & files)
        _allow_file(ruleset, _WRITABLE, _READ_FILE | _WRITE_FILE)
        return version if _LIBC.syscall(_RESTRICT_SELF, ruleset, 0) == 0 else 0
    finally:
        os.close(ruleset)


def _allow_file(ruleset: int, path: str, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # the path does not exist on this machine
    try:
        rights = rights | _READ_FOLDER if os.path.isdir(path) else rights & _ON_FILES
        rule = struct.pack("=Qi", rights, descriptor)
        _LIBC.syscall(_ADD_RULE, ruleset, 1, ctypes.c_char_p(rule), 0)
    finally:
        os.close(descriptor)


# ---------------------------------------------------------------- system calls


def _restrict_calls(*, programs: bool = False) -> bool:
    architecture = _AUDIT_ARCHITECTURE.get(platform.machine())
    if architecture is None:
        return False
    program = _filter(
        architecture, list(_AUDIT_ARCHITECTURE).index(platform.machine()), os.getpid(), programs
    )
    instructions = ctypes.create_string_buffer(program, len(program))
    described = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(instructions))
    return bool(_LIBC.prctl(_SET_SECCOMP, 2, ctypes.c_char_p(described), 0, 0) == 0)


def _filter(architecture: int, column: int, own: int, programs: bool) -> bytes:
    """A filter program for the kernel: refuses listed calls, new processes, and all that acts on
    other processes.

    With `programs`, new processes are allowed.
    """
    refuse = (_RETURN, 0, 0, _ERROR | errno.EPERM)
    allow = (_RETURN, 0, 0, _ALLOW)
    steps: list[tuple[int, int, int, int]] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, _NUMBER),
        # glibc then uses clone instead, whose arguments a filter can inspect.
        (_EQUAL, 0, 1, _CLONE3[column]),
        (_RETURN, 0, 0, _ERROR | errno.ENOSYS),
    ]
    if column == 0:
        steps += [(_AT_LEAST, 0, 1, _X32), refuse]
    refused = [
        numbers[column]
        for name, numbers in _REFUSED.items()
        if not (programs and name in _OF_PROGRAMS)
    ]
    for number in [*refused, *[_SET_GROUP[column]] * programs]:
        if number is not None:
            steps += [(_EQUAL, 0, 1, number), refuse]
    if programs:
        for name in ("bind", "listen"):
            steps += [(_EQUAL, 0, 1, _REFUSED[name][column] or 0), (_RETURN, 0, 0, _ERROR | 0)]
        steps += [(_EQUAL, 0, 6, _REFUSED["socket"][column] or 0), (_LOAD, 0, 0, _FIRST_ARGUMENT)]
        steps += [
            (_EQUAL, 0, 2, _AF_UNIX),
            (_LOAD, 0, 0, _SECOND_ARGUMENT),
            (_ANY_BIT, 0, 1, _NOT_A_STREAM),
        ]
        steps += [refuse, allow]
    else:
        steps += [
            (_EQUAL, 0, 4, _CLONE[column]),
            (_LOAD, 0, 0, _FIRST_ARGUMENT),
            (_ANY_BIT, 1, 0, _CLONE_THREAD),
        ]
        steps += [refuse, allow]
    # A process refers to itself by its number, or by 0 in the call that sets limits.
    for number, itself in ((_KILL[column], own), (_TGKILL[column], own), (_PRLIMIT[column], 0)):
        steps += [(_EQUAL, 0, 5, number), (_LOAD, 0, 0, _FIRST_ARGUMENT)]
        steps += [(_EQUAL, 2, 0, own), (_EQUAL, 1, 0, itself), refuse, allow]
    steps.append(allow)
    return b"".join(struct.pack("HBBI", *step) for step in steps)
