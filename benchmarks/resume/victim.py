"""`rlconf` that kills itself, for `kill_harness.py`.

The variable RLCONF_KILL holds RANK|TEXT|COUNT|SECONDS: the process of that rank sends itself
SIGKILL so many seconds after it has opened a file whose path contains TEXT for the COUNT-th time.
Nothing of the training is changed: Python tells an audit hook of every file that is opened.
"""

import os
import signal
import sys
import threading
from typing import Any


def arrange(kill: str) -> None:
    """Arrange this process's end, if `kill` names one and this is the process of that rank."""
    if not kill:
        return
    rank, text, count, seconds = kill.split("|")
    if int(os.environ.get("RANK", "0")) != int(rank):
        return
    left = [int(count)]

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event != "open" or text not in str(args[0]):
            return
        left[0] -= 1
        if left[0] == 0:
            threading.Timer(float(seconds), os.kill, (os.getpid(), signal.SIGKILL)).start()

    sys.addaudithook(hook)


if __name__ == "__main__":
    arrange(os.environ.get("RLCONF_KILL", ""))
    from rlconf.cli import main

    sys.exit(main(sys.argv[1:]))
