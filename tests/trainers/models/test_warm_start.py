from dataclasses import replace

import pytest
import torch

from data.tasks import make_task
from rewards.errors import ConfigError
from trainers.models.tiny import TinySettings, build_tiny, tiny_tokenizer
from trainers.models.warm_start import IGNORED, collate, pad_right, play_turns, warm_start

TASK = make_task("sort", {"levels": [2], "train_size": 40, "dev_size": 0, "test_size": 8})


def fresh(**settings):
    return build_tiny(TinySettings(warm_steps=0, hidden=32, **settings), TASK, seed=0)


def test_collate_by_hand():
    _, tokenizer = fresh()
    pairs = [({"prompt": "12>"}, "21"), ({"prompt": "7>"}, "7")]
    input_ids, labels = collate(tokenizer, pairs)
    # Digit d is 3 + d, ">" is 13, end of sequence 2, padding 0 on the right.
    assert input_ids.tolist() == [[4, 5, 13, 5, 4, 2], [10, 13, 10, 2, 0, 0]]
    none = IGNORED
    assert labels.tolist() == [[none, none, none, 5, 4, 2], [none, none, 10, 2, none, none]]


def test_the_first_loss_is_that_of_a_uniform_guess_and_it_falls():
    model, tokenizer = fresh()
    losses = warm_start(model, tokenizer, TASK, steps=60, batch=32, learning_rate=5e-3, seed=0)
    # Untrained: ln 14 = 2.64. Best without knowing the order: ln 2 for the first of two digits,
    # 0 for the second and the end, so ln(2) / 3 = 0.231 per token.
    assert losses[0] == pytest.approx(2.64, abs=0.15)
    assert len(losses) == 60
    assert sum(losses[-5:]) / 5 < 1.9


def test_the_same_seed_trains_the_same_weights():
    def trained(seed):
        model, tokenizer = fresh()
        warm_start(model, tokenizer, TASK, steps=3, batch=4, learning_rate=5e-3, seed=seed)
        return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])

    assert torch.equal(trained(1), trained(1))
    assert not torch.equal(trained(1), trained(2))


def test_no_steps_change_nothing():
    model, tokenizer = fresh()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert warm_start(model, tokenizer, TASK, steps=0, batch=4, learning_rate=1.0) == []
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("mode", [True, False])
def test_the_mode_is_left_as_found_and_no_gradient_stays(mode):
    model, tokenizer = fresh()
    model.train(mode)
    warm_start(model, tokenizer, TASK, steps=1, batch=4, learning_rate=1e-3)
    assert model.training is mode
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_task_without_demonstrations_is_refused():
    model, tokenizer = fresh()
    with pytest.raises(ConfigError, match=r"no `demonstrate`.*warm_steps=0"):
        warm_start(
            model, tokenizer, replace(TASK, demonstrate=None), steps=1, batch=1, learning_rate=1.0
        )


@pytest.mark.slow
def test_the_default_warm_start_teaches_the_form_and_nothing_about_the_answer():
    from data.solutions import accuracy, sample, verify
    from rewards import get

    task = make_task("sort", {}, seed=0)
    policy = build_tiny(TinySettings(), task, seed=0)
    drawn = sample(*policy, task.test, samples=8, max_new_tokens=7, batch_size=512)
    well_formed = [sorted(one.text) == sorted(one.gold) for one in drawn]
    assert sum(well_formed) / len(drawn) > 0.7
    verified = verify(drawn, get("exact"))
    # A random order of k digits is right once in k! times: for k = 3, 4, 5, 6 the mean is
    # (1/6 + 1/24 + 1/120 + 1/720) / 4 = 0.0545.
    assert 0.03 < accuracy(verified).value < 0.08
    for level, chance in ((3, 1 / 6), (4, 1 / 24), (5, 1 / 120), (6, 1 / 720)):
        measured = accuracy(one for one in verified if one.level == level)
        assert measured.value < 2 * chance + 0.01


def test_what_an_environment_says_is_read_and_not_learnt():
    peek = make_task("peek", {"levels": [1, 2], "train_size": 8, "dev_size": 0, "test_size": 0})
    tokenizer = tiny_tokenizer(peek)
    rows = [{"prompt": "2?", "hidden": "47"}, {"prompt": "1?", "hidden": "5"}]
    played = peek.played_in
    pool = played.pool()
    examples = play_turns(tokenizer, rows, [["b", "?", "12"], "5"], played, pool)
    input_ids, labels = pad_right(tokenizer.pad_token_id, examples)
    assert tokenizer.decode(input_ids[0]) == "2?b<eos>7?<eos>-12<eos>"
    learnt = [tokenizer.decode(row[row != IGNORED]) for row in labels]
    assert learnt == ["b<eos>?<eos>12<eos>", "5<eos>"]
    model, _ = build_tiny(TinySettings(warm_steps=0, hidden=32), peek, seed=0)
    losses = warm_start(model, tokenizer, peek, steps=3, batch=8, learning_rate=1e-3)
    assert len(losses) == 3
