"""Turns itself into a command: bound to the life of its parent, as another user where asked.

`launcher.py '{"parent": 12, "signal": 9, "uid": 65534, "gid": 65534, "search": true}' COMMAND…`

A script of its own, run in an isolated interpreter, since none of this is safe between fork and exec in a
process with threads. It imports nothing of Roost.

- `parent`, `signal`: the command gets the signal when the parent dies (prctl(2), PR_SET_PDEATHSIG; Linux).
- `uid`, `gid`: the user to become, without root's other groups.
- `search`: keeps CAP_DAC_READ_SEARCH (capabilities(7)) across that change, as an ambient capability, so
  that the command can walk through folders that its user may not enter. Otherwise root's 0700 folders would
  have to be opened to everybody. Where a container lacks it, CAP_DAC_OVERRIDE serves in its place. access(2),
  by which PostgreSQL looks at its own programs, heeds it under SECBIT_NO_SETUID_FIXUP alone.
"""

import ctypes
import json
import os
import sys

CAPABILITY_VERSION_3 = 0x20080522
PR_SET_PDEATHSIG, PR_SET_KEEPCAPS, PR_SET_SECUREBITS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 1, 8, 28, 47, 2
SECBIT_NO_SETUID_FIXUP = 1 << 2
CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE = 2, 1


def main() -> None:
    order, command = json.loads(sys.argv[1]), sys.argv[2:]
    if "uid" in order:
        become(order["uid"], order["gid"], keep_search=order["search"])
    if sys.platform == "linux":
        prctl(PR_SET_PDEATHSIG, order["signal"])
    if os.getppid() != order["parent"]:
        sys.exit("the process that asked for this command has ended")
    os.execv(command[0], command)


def become(uid: int, gid: int, *, keep_search: bool) -> None:
    if keep_search:
        prctl(PR_SET_KEEPCAPS, 1)
        # A container without CAP_SETPCAP refuses it: then the folders above the programs have to be open.
        prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    if keep_search and not any(keep(capability) for capability in (CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE)):
        sys.exit(
            f"user {uid} cannot enter the folders above the data directory or the programs, and the system "
            "grants neither CAP_DAC_READ_SEARCH nor CAP_DAC_OVERRIDE: use a data directory that all users "
            "can reach, or run as an ordinary user"
        )


def keep(capability: int) -> bool:
    bit = 1 << capability
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    # Effective, permitted, inheritable; then the same for capabilities from 32 on.
    sets = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)
    libc = ctypes.CDLL(None, use_errno=True)
    return libc.capset(header, sets) == 0 and prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability) == 0


def prctl(option: int, *arguments: int) -> int:
    padded = (*arguments, 0, 0, 0, 0)[:4]
    result: int = ctypes.CDLL(None, use_errno=True).prctl(option, *map(ctypes.c_ulong, padded))
    return result


if __name__ == "__main__":
    main()
