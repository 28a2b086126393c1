"""Namespaces that live as long as the program that made them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

_INIT = Path(__file__).with_name("init.py")


class NamespacesFailed(Exception):
    """They could not be made, or something in them could not be done; the text says why."""


def run(*command: str) -> str:
    """Run a command and return what it wrote."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise NamespacesFailed(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


class Namespaces:
    """Network, mount, process, name and IPC namespaces with a process 1.

    Parameters
    ----------
    log
        Where process 1 writes what goes wrong.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._process: subprocess.Popen[str] | None = None

    @property
    def exist(self) -> bool:
        """Whether they do."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """A process in the network and mount namespaces, for those who refer to namespaces by one."""
        assert self._process is not None
        return self._process.pid

    def make(self) -> None:
        """Make them; process 1 is ready afterwards."""
        kinds = ("--net", "--mount", "--pid", "--uts", "--ipc")
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                ["unshare", *kinds, "--fork", "--kill-child", sys.executable, "-I", str(_INIT)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,  # Ctrl-C is for whoever made them, not for what is in them
            )
        self._answer()

    def tell(self, verb: str, *arguments: object) -> Any:
        """Have process 1 do something and return its result."""
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps([verb, arguments]) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise NamespacesFailed(f"Process 1 ended: {self._log.read_text()}") from None
        return self._answer()

    def inside(self, *command: str) -> str:
        """Run a command of the machine in the network namespace."""
        return run("nsenter", "--target", str(self.pid), "--net", "--", *command)

    def end(self) -> None:
        """End all processes in them, and so the namespaces; no error where there are none."""
        process, self._process = self._process, None
        if process is None:
            return
        with process:  # closes the pipes, which process 1 takes for its end, and waits
            pass

    def _answer(self) -> Any:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise NamespacesFailed(f"Process 1 did not answer: {self._log.read_text()}")
        answer = json.loads(line)
        if "error" in answer:
            raise NamespacesFailed(f"{answer['error']} {self._log.read_text()}")
        return answer["result"]
