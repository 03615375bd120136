"""Ctrl-C and SIGTERM end a run at the end of its step, with a checkpoint.

The signal handler only notes the signal. At the end of every step the processes agree, by one
all-reduce, on whether any of them was signalled; then all save and stop together. After the last
step they agree again, before and after the final evaluation. A signal ends that evaluation at once
where there is one process; several finish it, as none may leave while another waits. The command's
exit status is 128 + signal: 130 after Ctrl-C, 143 after SIGTERM.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

SIGNALS = (signal.SIGINT, signal.SIGTERM)
# torchrun passes a Ctrl-C on to workers that the terminal has already told, so two within this
# time are one. A person who presses it again means "now".
SAME_PRESS_SECONDS = 2.0


class _Stopped(BaseException):
    """Ends what may be left off; no `except Exception` of a reward or a library swallows it."""


class Interrupt(TrainerCallback):
    """Note signals while active (a context manager); save and stop at the end of the step.

    Attributes:
        signal: the signal that all processes agreed on, 0 while there is none.
    """

    def __init__(self) -> None:
        self.signal = 0
        self._seen = 0
        self._when = 0.0
        self._at_once = False
        self._previous: dict[int, Any] = {}

    @property
    def exit_code(self) -> int:
        """The command's exit status: 128 + signal, or 0."""
        return 128 + self.signal if self.signal else 0

    def __enter__(self) -> Interrupt:
        """Install the handlers. Only Python's main thread may; elsewhere nothing is caught."""
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Put the former handlers back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def settle(self, device: torch.device) -> None:
        """Agree on a signal seen outside the steps; every process must call this."""
        if not self.signal:  # which is the same on all of them
            self.signal = agree(self._seen, device)

    @contextmanager
    def at_once(self, *, alone: bool) -> Iterator[None]:
        """Where a signal ends the block at once, if this is the only process; then `settle`."""
        self._at_once = alone
        try:
            yield
        except _Stopped:
            pass
        finally:
            self._at_once = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if number == signal.SIGINT and self._seen and now - self._when > SAME_PRESS_SECONDS:
            raise KeyboardInterrupt
        if not self._seen:
            self._seen, self._when = number, now
            name = signal.Signals(number).name
            # os.write: a handler may run in the middle of any other writing.
            what = "stopping" if self._at_once else "saving and stopping at the end of this step"
            os.write(2, f"\n{name}: {what}.\n".encode())
            if self._at_once:
                raise _Stopped

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Agree with the other processes; if any was signalled, save and stop."""
        self.signal = agree(self._seen, args.device)
        if self.signal:
            control.should_save = True
            control.should_training_stop = True

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Stopped inside an epoch: this is not the epoch's end, and nothing of it is due."""
        if self.signal and state.epoch != int(state.epoch):
            control.should_log = control.should_evaluate = control.should_save = False


def agree(number: int, device: torch.device) -> int:
    """The greatest `number` of all processes; every process must call this."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return number
    value = torch.tensor(number, device=device)
    torch.distributed.all_reduce(value, op=torch.distributed.ReduceOp.MAX)
    return int(value)
