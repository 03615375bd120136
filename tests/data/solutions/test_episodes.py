"""Solutions that are episodes: drawn, verified, kept and scored."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest
import torch

import rewards
from data.environments import EnvironmentSettings
from data.solutions import read_solutions, sample, score, verify, write_solutions
from data.solutions.trajectory import confidence_of
from data.tasks import make_task
from trainers.models.tiny import TinySettings, build_tiny

TASK = make_task("peek", {"levels": [1], "train_size": 64, "dev_size": 0, "test_size": 24})
PEEK = EnvironmentSettings("peek")


@pytest.fixture(scope="module")
def policy():
    return build_tiny(TinySettings(warm_steps=30, warm_warmup=5, hidden=32), TASK, seed=0)


def draw(policy, rows=TASK.test, **options):
    return sample(*policy, rows, **{"max_new_tokens": 12, "environment": PEEK} | options)


@pytest.fixture(scope="module")
def drawn(policy):
    return verify(draw(policy, samples=4, batch_size=96), rewards.get("success"), TASK.test)


def test_right_is_what_the_environment_says(policy, drawn):
    tokenizer = policy[1]
    right = [one for one in drawn if one.verdict]
    assert 0 < len(right) < len(drawn)
    hidden = {row["id"]: row["hidden"] for row in TASK.test}
    for one in drawn:
        assert one.verdict == (one.played["success"] >= 1)
        assert len(one.mask) == len(one.completion_ids) == len(one.log_probs)
        last = [at for at in one.own if at > max([-1, *_theirs(one)])]
        written = tokenizer.decode([one.completion_ids[at] for at in last][:-1])
        if one.verdict:
            assert written == hidden[one.question_id]
        assert (one.finish == "length") <= (not one.verdict)
    assert any(_theirs(one) for one in right)  # some were looked up, and not guessed


def _theirs(one):
    return [at for at, own in enumerate(one.mask) if not own]


def test_log_probs_are_the_models_own_and_0_elsewhere(policy, drawn):
    model = policy[0]
    for one in drawn[:12]:
        with torch.no_grad():
            logits = model(torch.tensor([one.prompt_ids + one.completion_ids])).logits[0]
        log_p = logits[len(one.prompt_ids) - 1 : -1].log_softmax(-1)
        chosen = log_p.gather(-1, torch.tensor(one.completion_ids)[:, None])[:, 0]
        expected = [float(p) * own for p, own in zip(chosen, one.mask, strict=True)]
        assert one.log_probs == pytest.approx(expected, abs=1e-4)


def test_a_solution_does_not_depend_on_its_batch(policy, drawn):
    again = draw(policy, samples=4, batch_size=7)
    assert [(one.completion_ids, one.mask) for one in again] == [
        (one.completion_ids, one.mask) for one in drawn
    ]
    assert [one.completion_ids for one in draw(policy, samples=4, seed=1)] != [
        one.completion_ids for one in drawn
    ]


def test_greedy_takes_the_likeliest(policy):
    model = policy[0]
    for one in draw(policy, TASK.test[:6], greedy=True):
        with torch.no_grad():
            logits = model(torch.tensor([one.prompt_ids + one.completion_ids])).logits[0]
        likeliest = logits[len(one.prompt_ids) - 1 : -1].argmax(-1).tolist()
        assert one.own
        assert [one.completion_ids[at] for at in one.own] == [likeliest[at] for at in one.own]


def test_one_that_breaks_is_not_finished_and_instances_are_closed(policy, monkeypatch):
    """Whatever the reward says of its text, it is not learnt; an error closes the instances too."""
    closed = []
    make = type(PEEK.make())
    monkeypatch.setattr(make, "close", lambda self: closed.append(self), raising=False)
    empty = TASK.test[0] | {"prompt": ""}
    (one,) = draw(policy, [empty])  # peek says nothing first
    assert (one.finish, one.completion_ids, one.played["success"]) == ("length", [], 0.0)
    assert confidence_of(one, "prob") is None
    assert len(closed) == 1

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        draw(policy, TASK.test[:1], progress=stop)
    assert len(closed) == 2


def test_a_file_keeps_all_and_an_older_one_can_be_read(drawn, tmp_path):
    path = tmp_path / "s.parquet"
    write_solutions(path, drawn)
    assert read_solutions(path) == drawn
    table = pq.read_table(path).drop_columns(["mask", "played"])
    pq.write_table(table, path)
    old = read_solutions(path)
    assert {(tuple(one.mask), len(one.played)) for one in old} == {((), 0)}
    assert old[0].own == list(range(len(old[0].completion_ids)))


def test_confidence_is_of_the_models_tokens(policy, drawn):
    one = next(one for one in drawn if _theirs(one))
    (scored,) = score(*policy, [one], measures=["mean_log_prob"])
    own = [one.log_probs[at] for at in one.own]
    assert scored.confidence["mean_log_prob"] == pytest.approx(sum(own) / len(own), abs=1e-4)
    entropy = [one.entropy[at] for at in one.own]
    expected = torch.tensor(sum(own) / len(own)).exp()
    assert confidence_of(one, "prob") == pytest.approx(float(expected), abs=1e-4)
    assert len(entropy) < len(one.entropy)
