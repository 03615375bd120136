"""Episodes against environments of every kind, with turns from a script."""

from __future__ import annotations

import sys
import threading
import time

import pytest

from data.environments import Reply, make_environment
from data.environments.play import Limits, Turn, play
from data.environments.pool import Pool
from data.environments.wording import Wording
from data.tools.results import ResultLimits
from rewards.errors import ConfigError
from trainers.models.characters import character_tokenizer

TOKENIZER = character_tokenizer("0123456789ab-?xyz\n")
EOS = TOKENIZER.eos_token_id
WIDE = Limits(max_turns=8, max_turn_tokens=9, max_tokens=30)
ROW = {"prompt": "2?", "hidden": "47", "id": "peek-47"}


def ids(text: str) -> list[int]:
    """Token ids of a text in which `.` stands for the end of a turn."""
    return [EOS if one == "." else TOKENIZER.convert_tokens_to_ids(one) for one in text]


def text(tokens: list[int]) -> str:
    return "".join(TOKENIZER.convert_ids_to_tokens(tokens)).replace("<eos>", ".")


def scripted(*scripts: list[str]):
    """Turns of each episode, with made-up log-probs."""
    left = [list(turns) for turns in scripts]

    def generate(episodes, contexts, most):
        asked.append((list(episodes), [text(one) for one in contexts], most))
        written = [ids(left[at].pop(0)) if at >= 0 else [EOS] for at in episodes]
        return [Turn(one, [-0.5] * len(one)) for one in written]

    asked: list = []
    generate.asked = asked
    return generate


def pool(make=lambda: make_environment("peek"), **limits) -> Pool:
    return Pool(make, "environment 'test'", ResultLimits(**limits))


def run(*scripts, make=None, limits=WIDE, rows=None, **guard):
    wording = Wording(TOKENIZER, [EOS])
    rows = rows or [ROW] * len(scripts)
    made = pool(make, **guard) if make else pool(**guard)
    return play(scripted(*scripts), rows, made, wording, limits)


class Says:
    """Answers every turn with the same thing."""

    def __init__(self, reply, reward=0.0, opening=""):
        self.reply, self.reward, self.opening = reply, reward, opening

    def reset(self, row):
        return self.opening

    def act(self, text):
        return self.reply() if callable(self.reply) else self.reply


def test_two_turns_and_an_answer():
    (one,) = run(["a.", "b.", "47."])
    assert text(one.prompt_ids) == "2?"
    assert text(one.completion_ids) == "a.4b.747."
    assert one.env_mask == [1, 1, 0, 1, 1, 0, 1, 1, 1]
    assert one.log_probs == [-0.5, -0.5, 0, -0.5, -0.5, 0, -0.5, -0.5, -0.5]
    assert (one.success, one.turns, one.num_tool_calls, one.invalid_actions) == (1.0, 3, 3, 0)
    assert (one.done, one.truncated, one.failed) == (True, False, None)


def test_episodes_that_are_over_leave_the_batch():
    generate = scripted(["12."], ["a.", "x.", "47."])
    played = play(generate, [ROW, ROW], pool(), Wording(TOKENIZER, [EOS]), WIDE)
    assert [at for at, _, _ in generate.asked] == [[0, 1], [1], [1]]
    assert generate.asked[2][1] == ["2?a.4x.-"]
    assert [one.success for one in played] == [0.0, 1.0]
    assert (played[1].turns, played[1].num_tool_calls, played[1].invalid_actions) == (3, 2, 1)


def test_a_rank_without_episodes_goes_on_writing_for_nobody():
    generate, left = scripted(["47."]), iter([3, 2, 0])
    play(generate, [ROW], pool(), Wording(TOKENIZER, [EOS]), WIDE, needed=lambda _: next(left))
    assert [at for at, _, _ in generate.asked] == [[0, -1, -1], [-1, -1]]


@pytest.mark.parametrize(
    ("limits", "script", "completion"),
    [
        (Limits(2, 9, 30), ["a.", "b."], "a.4b."),  # no third turn: what was said is left out
        (Limits(8, 9, 3), ["a."], "a."),  # the digit fits and a turn behind it does not
        (Limits(8, 9, 4), ["a.", "b."], "a.4b"),  # the turn is cut
        (Limits(8, 9, 30, max_context=5), ["a."], "a."),
        (Limits(8, 9, 30, max_context=4), ["a4?.."], "a4"),  # the turn is cut
        (Limits(8, 9, 30, max_context=2), [], ""),  # the prompt leaves no room
    ],
)
def test_a_limit_truncates(limits, script, completion):
    (one,) = run(script, limits=limits)
    assert text(one.completion_ids) == completion
    assert len(one.env_mask) == len(one.log_probs) == len(completion)
    assert (one.truncated, one.done, one.success) == (True, False, 0.0)


def test_no_context_is_exceeded_and_no_turn_cut_for_another():
    """The second has four tokens left, and waits until those with room for a turn are over."""
    rows = [ROW, ROW | {"prompt": "2" * 10 + "?"}]
    generate, limits = scripted(["b.", "47."], ["47."]), Limits(8, 9, 30, max_context=15)
    played = play(generate, rows, pool(), Wording(TOKENIZER, [EOS]), limits)
    assert [(at, most) for at, _, most in generate.asked] == [([0], 9), ([0], 9), ([1], 4)]
    assert [one.success for one in played] == [1.0, 1.0]


def test_an_empty_prompt_needs_words_of_the_environment():
    empty = [ROW | {"prompt": ""}]
    (one,) = run(["x."], make=lambda: Says(Reply("", done=True), 1.0, opening="xy"), rows=empty)
    assert (text(one.prompt_ids), one.success) == ("xy", 1.0)
    (one,) = run(["x."], rows=empty)
    assert one.failed == "the prompt has no tokens, and reset added none"


def test_a_turn_that_ends_at_the_limit_counts():
    (one,) = run(["47."], limits=Limits(8, 9, 3))
    assert (one.success, one.done, one.truncated) == (1.0, True, False)


def test_a_turn_cut_by_its_own_limit_is_acted_on():
    (one,) = run(["a", "47."], limits=Limits(8, 1, 30))
    assert text(one.completion_ids) == "a447."
    assert one.success == 1.0


def test_the_environment_may_speak_first():
    (one,) = run(["x."], make=lambda: Says(Reply("", done=True), 0.5, opening="xyz"))
    assert text(one.prompt_ids) == "2?xyz"
    assert one.success == 0.5


def test_no_trace_of_the_episode_before():
    shared = pool()
    for _ in range(2):
        generate = scripted(["a.", "b.", "47."])
        (one,) = play(generate, [ROW], shared, Wording(TOKENIZER, [EOS]), WIDE)
        assert (one.success, one.turns) == (1.0, 3)


def broken():
    raise RuntimeError("no " + "power " * 1000)


def leaves():
    raise SystemExit(3)


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (Says(broken), "RuntimeError: no power"),
        (Says(leaves), "SystemExit"),
        (Says("go on"), "act returned str; expected a Reply"),
        (Says(Reply(None)), "the observation is NoneType; expected text"),
        (Says(Reply("x"), float("nan")), "the reward is 'nan'; expected a finite number"),
        (Says(Reply("x"), "much"), "the reward is 'much'"),
        (Says(Reply("q")), "the tokenizer cannot read 'q'"),
        (Says(Reply("x"), opening=None), "reset returned NoneType; expected text"),
    ],
)
def test_an_environment_that_breaks_fails_the_episode(made, told):
    one, other = run(["x."], ["x."], make=lambda: made, limits=Limits(1, 9, 30))
    assert told in (one.failed or "")
    assert len(one.failed) < 600
    assert (one.success, one.over) == (0.0, True)
    assert other.failed == one.failed  # and the next one goes on all the same


def test_one_that_cannot_be_made_fails_the_episode():
    (one,) = run(["x."], make=broken)
    assert "RuntimeError" in one.failed


def test_one_that_hangs_is_left_and_replaced():
    made = []

    def make():
        made.append(Says(lambda: time.sleep(1.5)) if not made else make_environment("peek"))
        return made[-1]

    shared = pool(make, timeout=0.05)
    wording = Wording(TOKENIZER, [EOS])
    began = time.monotonic()
    (one,) = play(scripted(["a."]), [ROW], shared, wording, WIDE)
    assert time.monotonic() - began < 1
    assert "longer than 0.05 s" in one.failed
    (one,) = play(scripted(["47."]), [ROW], shared, wording, WIDE)
    assert (one.failed, one.success, len(made)) == (None, 1.0, 2)


def test_those_behind_one_that_hangs_are_answered():
    made = []

    def make():
        hangs = len(made) == 1
        made.append(Says(lambda: time.sleep(1.5)) if hangs else make_environment("peek"))
        return made[-1]

    played = run(["47."], ["a."], ["47."], ["11."], make=make, timeout=0.05)
    assert [one.success for one in played] == [1.0, 0.0, 1.0, 0.0]
    assert [one.failed is None for one in played] == [True, False, True, True]
    assert played[1].seconds >= 0.05 > played[2].seconds


def test_what_is_said_is_clean_and_bounded():
    odd = "x\x1b[31my\x00z" + "a" * 10_000_000
    wide = Limits(2, 9, 400)
    (one,) = run(["x.", "x."], make=lambda: Says(Reply("x\x1b[31my\x00z")), limits=wide)
    assert text(one.completion_ids) == "x.xyzx."
    (one,) = run(["x."], make=lambda: Says(Reply(odd)), limits=wide, max_characters=100)
    # The mark of what was left out has letters that this tokenizer does not know.
    assert "the tokenizer cannot read" in one.failed
    assert len(one.failed) < 200


def test_a_run_stops_where_too_many_calls_never_end():
    release = threading.Event()
    shared = pool(lambda: Says(release.wait), timeout=0.01)

    def go_on():
        for _ in range(100):  # on a busy machine a reset may be late, and end
            play(scripted(["a."]), [ROW], shared, Wording(TOKENIZER, [EOS]), WIDE)

    try:
        with pytest.raises(ConfigError, match=r"'test' is not called: 8 earlier .*timeout"):
            go_on()
    finally:
        release.set()


def test_closing_is_guarded_and_spares_one_whose_call_still_runs():
    release, closed = threading.Event(), []

    def made(reply):
        one = Says(reply)
        one.close = lambda: closed.append(reply) or sys.exit(1)
        return one

    kinds = iter([release.wait, broken])
    shared = pool(lambda: made(next(kinds)), timeout=0.5)
    play(scripted(["a."], ["a."]), [ROW, ROW], shared, Wording(TOKENIZER, [EOS]), WIDE)
    assert closed == [broken]
    shared.close()
    release.set()
    assert closed == [broken]


def test_closing_ends_the_use_of_each_instance():
    closed = []
    made = Says(Reply("", done=True))
    made.close = lambda: closed.append(1)
    shared = pool(lambda: made)
    play(scripted(["x."]), [ROW], shared, Wording(TOKENIZER, [EOS]), WIDE)
    shared.close()
    assert closed == [1]
