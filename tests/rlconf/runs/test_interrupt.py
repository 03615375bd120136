"""Signals: noted, agreed on, acted on at the end of the step. Two processes: tests/e2e."""

from __future__ import annotations

import os
import signal
from types import SimpleNamespace

import pytest
import torch

from rlconf.runs import interrupt
from rlconf.runs.interrupt import Interrupt


def end_step(callback: Interrupt) -> SimpleNamespace:
    control = SimpleNamespace(should_log=False, should_save=False, should_training_stop=False)
    callback.on_step_end(SimpleNamespace(device=torch.device("cpu")), None, control)
    return control


def test_nothing_happens_without_a_signal():
    with Interrupt() as callback:
        control = end_step(callback)
    assert vars(control) == {
        "should_log": False,
        "should_save": False,
        "should_training_stop": False,
    }
    assert callback.exit_code == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_step_with_save_and_stop(number, code, capfd):
    with Interrupt() as callback:
        os.kill(os.getpid(), number)
        control = end_step(callback)
    assert not control.should_log  # the numbers since the last log call are in the checkpoint
    assert control.should_save
    assert control.should_training_stop
    assert callback.exit_code == code
    assert "saving and stopping at the end of this step" in capfd.readouterr().err


def test_a_signal_passed_on_by_the_launcher_is_no_second_press():
    with Interrupt() as callback:
        for number in (signal.SIGINT, signal.SIGINT, signal.SIGTERM, signal.SIGTERM):
            os.kill(os.getpid(), number)
        end_step(callback)
    assert callback.exit_code == 130


def test_ctrl_c_again_later_stops_at_once(monkeypatch):
    monkeypatch.setattr(interrupt, "SAME_PRESS_SECONDS", -1.0)
    with Interrupt():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_former_handlers_come_back():
    before = [signal.getsignal(number) for number in interrupt.SIGNALS]
    with Interrupt() as callback:
        assert signal.getsignal(signal.SIGTERM) == callback._note
    assert [signal.getsignal(number) for number in interrupt.SIGNALS] == before


def test_a_signal_after_the_last_step_is_settled():
    with Interrupt() as callback:
        end_step(callback)
        os.kill(os.getpid(), signal.SIGTERM)
        assert callback.exit_code == 0
        callback.settle(torch.device("cpu"))
    assert callback.exit_code == 143


@pytest.mark.parametrize("alone", [True, False])
def test_a_lone_process_leaves_the_evaluation_at_once(alone, capfd):
    finished = False
    with Interrupt() as callback:
        with callback.at_once(alone=alone):
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            except Exception:  # what a reward or a library may do
                pytest.fail("swallowed")
            finished = True
        callback.settle(torch.device("cpu"))
    assert finished is not alone
    assert callback.exit_code == 143
    assert ("SIGTERM: stopping." in capfd.readouterr().err) is alone
