"""`rlconf train` that kills itself, for `kill_harness.py`.

The variable RLCONF_KILL holds RANK|TEXT|COUNT|SECONDS: the process of that rank sends itself
SIGKILL so many seconds after it has opened a file whose path contains TEXT for the COUNT-th time.
Nothing of the training is changed: Python tells an audit hook of every file that is opened.
"""

import os
import signal
import sys
import threading
from typing import Any


def kill_at(rank: int, text: str, count: int, seconds: float) -> None:
    """Arrange this process's end, if it is the one of that rank."""
    if int(os.environ.get("RANK", "0")) != rank:
        return
    left = [count]

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event != "open" or text not in str(args[0]):
            return
        left[0] -= 1
        if left[0] == 0:
            threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL)).start()

    sys.addaudithook(hook)


if __name__ == "__main__":
    if os.environ.get("RLCONF_KILL"):
        rank, text, count, seconds = os.environ["RLCONF_KILL"].split("|")
        kill_at(int(rank), text, int(count), float(seconds))
    from rlconf.cli import main

    sys.exit(main(["train", *sys.argv[1:]]))
