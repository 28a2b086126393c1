"""``python -m cernvmagent``: the agent as a service of the machine."""

from __future__ import annotations

import signal
import sys

from cernvmagent.agent import Agent
from cernvmagent.channel import Channel, open_port


def main() -> None:
    """Follow the controller until the machine is shut down."""

    def log(sentence: str) -> None:
        sys.stderr.write(f"cernvmagent: {sentence}\n")
        sys.stderr.flush()

    agent = Agent(Channel(open_port), log=log)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: agent.end())
    agent.run()


if __name__ == "__main__":
    main()
