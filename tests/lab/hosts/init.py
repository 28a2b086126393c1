"""Process 1 of namespaces: mounts, starts, signals and buries what it is told to.

Run by `tests.lab.hosts.namespaces.Namespaces`; needs the standard library only. A JSON value a line comes
in on standard input, one goes out on standard output. When the input ends, so does this process, and the
kernel then kills all others in its namespaces.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time


def mount(*arguments: str) -> None:
    """Do one mount."""
    subprocess.run(["mount", *arguments], check=True)


def prepare(binds: list[list[str]]) -> None:
    """Give this host /proc, /sys and /run of its own, and folders in the place of the machine's."""
    mount("-t", "proc", "proc", "/proc")
    # The machine's control groups are below; they are no business of a host.
    subprocess.run(["umount", "--recursive", "--lazy", "/sys"], check=True)
    mount("-t", "sysfs", "sysfs", "/sys")
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    # /var/lock is a link to it; without it libvirt opens neither a console nor a channel.
    os.mkdir("/run/lock")  # noqa: PTH102
    for source, target in binds:
        os.makedirs(target, exist_ok=True)  # noqa: PTH103 - imports are paid by each host
        mount("--bind", source, target)


def spawn(command: list[str], log: str) -> int:
    """Start a program and return its process id in these namespaces."""
    with open(log, "ab") as out:  # noqa: PTH123
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )
    return process.pid


def send(pid: int, number: int) -> None:
    """Signal a process; where that is deadly, return when it is dead."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
        while number == signal.SIGKILL and alive(pid):
            time.sleep(0.005)


def alive(pid: int) -> bool:
    """Say whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def bury(*_: object) -> None:
    """Take leave of the dead: also of those that others left to process 1."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


VERBS = {"prepare": prepare, "spawn": spawn, "send": send, "alive": alive}


def main() -> None:
    """Do what comes in."""
    print(json.dumps({"result": None}), flush=True)
    for line in sys.stdin:
        verb, arguments = json.loads(line)
        try:
            answer = {"result": VERBS[verb](*arguments)}
        except (OSError, subprocess.SubprocessError) as error:
            answer = {"error": str(error)}
        signal.signal(signal.SIGCHLD, bury)  # not before: `subprocess.run` waits for its own
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
