"""The progress bar: one moving line in a terminal, ten plain lines elsewhere."""

from __future__ import annotations

import io
from types import SimpleNamespace

from rich.console import Console

from rlconf.console import Reporter
from rlconf.runs.progress import TrainingProgress, is_tenth


def run(reporter: Reporter, steps: int) -> None:
    """Drive the callback as the trainer does: log at every step."""
    bar = TrainingProgress(reporter)
    state = SimpleNamespace(global_step=0, max_steps=steps)
    bar.on_train_begin(None, state, None)
    for step in range(1, steps + 1):
        state.global_step = step
        bar.on_step_end(None, state, None)
        bar.on_log(None, state, None, logs={"reward": step / steps, "accuracy": 0.25, "loss": 9.0})
    bar.on_log(None, state, None, logs={"train_runtime": 1.0})
    bar.on_train_end(None, state, None)


def written_to(*, terminal: bool, speaks: bool = True, steps: int = 200) -> str:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=100, highlight=False)
    run(Reporter(speaks=speaks, console=console), steps)
    return stream.getvalue()


def test_ten_plain_lines_where_nobody_watches():
    lines = written_to(terminal=False).splitlines()
    assert len(lines) == 10
    assert lines[0].startswith("step 20/200  reward 0.100  accuracy 0.250")
    assert lines[-1].startswith("step 200/200  reward 1.000")


def test_a_bar_in_a_terminal_shows_reward_and_accuracy():
    text = written_to(terminal=True, steps=3)
    assert "3/3" in text
    assert "reward 1.000  accuracy 0.250" in text


def test_other_processes_show_nothing():
    assert written_to(terminal=False, speaks=False) == ""
    assert written_to(terminal=True, speaks=False) == ""


def test_a_short_run_has_a_line_a_step():
    assert [step for step in range(1, 4) if is_tenth(step, 3)] == [1, 2, 3]


def test_log_file_holds_what_was_said_and_library_warnings(tmp_path):
    import logging

    reporter = Reporter(console=Console(file=io.StringIO()))
    with reporter.logged_to(tmp_path / "log.txt"):
        reporter.say("reward [0, 1]")
        logging.getLogger("transformers.trainer").warning("from transformers")
        logging.getLogger("elsewhere").warning("from a library")
    reporter.say("afterwards")

    text = (tmp_path / "log.txt").read_text()
    assert "reward [0, 1]" in text  # brackets are text, no markup
    assert text.count("from transformers") == 1
    assert text.count("from a library") == 1
    assert "afterwards" not in text
