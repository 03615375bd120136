"""A real trainer whose completions are episodes: what the environment says is read, not learnt."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from datasets import Dataset

import rewards
from data.environments import EnvironmentSettings, Reply, environment
from data.environments.base import _ENVIRONMENTS
from data.tasks import make_task
from trainers import OnlineTrainer
from trainers.agents import EnvironmentRollout, _context
from trainers.filters import make_filter
from trainers.models.characters import character_tokenizer
from trainers.replay import ReplaySettings
from trainers.shapers import make_shaper

TASK = make_task("peek", {"levels": [2], "train_size": 4, "dev_size": 2, "test_size": 0})
TOKENIZER = character_tokenizer(TASK.alphabet)
# Of the four completions of each question: right, wrong, out of turns, and not an action.
SCRIPTS = (["a", "b", "RIGHT"], ["b", "11"], ["a"] * 5, ["?", "RIGHT"])


class Scripted:
    """In place of the engine: the i-th row of a group follows the i-th script."""

    def __init__(self, trainer: OnlineTrainer) -> None:
        self.trainer, self.limits = trainer, []

    def __call__(self, contexts: list[list[int]], *_: Any) -> tuple[list[list[int]], Any]:
        self.limits.append(self.trainer.generation_config.max_new_tokens)
        if all(len(one) == 2 for one in contexts):  # the first turn of all
            self.turn, self.at = 0, list(range(len(contexts)))
        else:
            self.turn += 1
            self.at = [at for at in self.at if len(SCRIPTS[at % 4]) > self.turn]
        written = []
        for at in self.at:
            text = SCRIPTS[at % 4][self.turn]
            text = text.replace("RIGHT", self.trainer.rows[at]["hidden"])
            written.append([*TOKENIZER(text)["input_ids"], TOKENIZER.eos_token_id])
        return written, None


@pytest.fixture
def build(make_model, grpo_config):
    def make(scripted: bool = True, environment: str = "peek", **kwargs: Any) -> OnlineTrainer:
        names = ("shapers", "replay", "filters", "on_rollout", "eval_dataset", "reward_funcs")
        parts = {name: kwargs.pop(name) for name in names if name in kwargs}
        parts.setdefault("reward_funcs", [rewards.get("success"), rewards.get("tool_calls")])
        trainer = OnlineTrainer(
            model=make_model(vocab_size=len(TOKENIZER)),
            processing_class=TOKENIZER,
            args=grpo_config(max_completion_length=20, shuffle_dataset=False, **kwargs),
            train_dataset=Dataset.from_list(TASK.train),
            rollout_func=EnvironmentRollout(EnvironmentSettings(environment)),
            **parts,
        )
        if scripted:
            trainer._generate_single_turn = Scripted(trainer)
        return trainer

    return make


def generate(trainer: OnlineTrainer) -> dict[str, Any]:
    trainer.model.train()
    rows = [dict(row) for row in trainer.train_dataset for _ in range(4)]
    return trainer._generate_and_score_completions(rows)


def own(output: dict[str, Any]) -> torch.Tensor:
    return output["completion_mask"].bool() & output["tool_mask"].bool()


@pytest.mark.filterwarnings("error:You are using 'rollout_func'")
def test_rewards_mask_and_metrics(build) -> None:
    trainer = build()
    output = generate(trainer)
    hidden = TASK.train[0]["hidden"]
    texts = [
        TOKENIZER.decode(ids[mask.bool()], skip_special_tokens=True)
        for ids, mask in zip(output["completion_ids"], output["completion_mask"], strict=True)
    ]
    first, second = hidden
    looks = f"a{first}"
    assert texts[:2] == [f"{looks}b{second}{hidden}", f"b{second}11"]
    assert texts[2:4] == [looks * 4 + "a", f"?-{hidden}"]
    assert own(output)[0].tolist()[:9] == [True, True, False] * 2 + [True] * 3
    assert trainer._rewards["success"].tolist() == [1.0, float(hidden == "11"), 0.0, 1.0] * 4
    # Turns that were legal actions, of the columns that playing adds.
    assert trainer._rewards["tool_calls"].tolist()[:4] == pytest.approx([0.3, 0.2, 0.5, 0.1])
    trainer._tallies.settle()
    logged = {name: values[-1] for name, values in trainer._metrics["train"].items()}
    assert logged["env/success"] == 0.5
    assert logged["env/turns"] == (3 + 2 + 5 + 2) / 4
    assert logged["env/invalid_share"] == pytest.approx(1 / 12)
    assert logged["env/calls_per_turn"] == pytest.approx(11 / 12)
    assert (logged["env/failed"], logged["env/truncated"]) == (0, 0)  # the fifth turn was the last
    assert 0 < logged["env/seconds_share"] < 1
    # One turn is asked for, and the trainer's own limit is left as found.
    assert set(trainer._generate_single_turn.limits) == {9}
    assert trainer.generation_config.max_new_tokens == 20
    assert "sampling_per_token_logps" not in output


def test_rewards_and_filters_read_what_the_model_wrote(build) -> None:
    """A box, or a character of no meaning, that the environment wrote is not the model's."""
    read: list[Any] = []

    def reads(completions: list[str], truncated: list[bool], **_: Any) -> list[float]:
        read.extend(zip(completions, truncated, strict=True))
        return [0.0] * len(completions)

    filters = [make_filter("void", how="number", tool_call=False)]
    trainer = build(reward_funcs=[reads, rewards.get("success")], filters=filters)
    seen: list[Any] = []
    original = trainer.filter_batch
    trainer.filter_batch = lambda batch: seen.append(original(batch)) or seen[-1]
    generate(trainer)
    hidden = TASK.train[0]["hidden"]
    assert read[:4] == [(hidden, False), ("11", False), ("a", False), (hidden, False)]
    assert seen[0].texts[:4] == [hidden, "11", "a", hidden]
    assert [one["content"] for one in seen[0].messages[0]] == ["a", "b", hidden]
    assert seen[0].truncated.tolist() == [False] * 16
    # Those that looked to the end, and were told digits.
    assert trainer._metrics["train"]["filter/void"] == [0.25]


@pytest.mark.parametrize("parts", [{}, {"shapers": ["ucas"]}, {"loss_type": "dr_grpo"}])
def test_what_the_environment_says_is_outside_loss_and_signals(build, parts) -> None:
    """Its tokens get no gradient: with other log-probs there, nothing changes."""
    kwargs = {**parts, "shapers": [make_shaper(name) for name in parts.get("shapers", ())]}
    trainer = build(**kwargs)
    seen: list[Any] = []
    trainer.on_rollout.append(lambda rollout: seen.append(rollout.tokens))
    output = generate(trainer)
    theirs = output["completion_mask"].bool() & ~own(output)
    assert theirs.any()
    assert (seen[0].mask == own(output)).all()
    if output["advantages"].dim() == 2:  # shaped
        assert output["advantages"][theirs].abs().max() == 0
        assert output["advantages"][own(output)].abs().max() > 0
    original = type(trainer)._get_per_token_logps_and_entropies
    gradients = []

    def watched(self: Any, *args: Any, **kwargs: Any) -> Any:
        logps, *rest = original(self, *args, **kwargs)
        logps.retain_grad()
        gradients.append(logps)
        return (logps, *rest)

    trainer._get_per_token_logps_and_entropies = watched.__get__(trainer)
    trainer.current_gradient_accumulation_steps = 1
    trainer._compute_loss(trainer.model, output).backward()
    (logps,) = gradients
    assert logps.grad[theirs].abs().max() == 0
    assert logps.grad[own(output)].abs().max() > 0


def test_the_replay_keeps_rows_of_all_groups_with_their_masks(build) -> None:
    """TRL's own replay trainer kept those of the first group only."""
    trainer = build(replay=ReplaySettings(min_groups=1, warm_up=0))
    output = generate(trainer)
    good = (output["advantages"] > 0).nonzero().flatten().tolist()
    stored = list(trainer.replay.replay.trajectories)
    assert {row // 4 for row in good} == {0, 1, 2, 3}
    assert len(stored) == len(good)
    log_probs = trainer.score_tokens(output)
    for row, one in zip(good, stored, strict=True):
        there = output["completion_mask"][row].bool()
        assert one.completion_ids.tolist() == output["completion_ids"][row][there].tolist()
        assert one.mask.tolist() == own(output)[row][there].tolist()
        assert not one.mask.all()
        expected = log_probs[row][there][one.mask.bool()]
        torch.testing.assert_close(one.old_log_probs[one.mask.bool()], expected, atol=1e-6, rtol=0)
        assert one.reward == pytest.approx(
            trainer._rewards["success"][row].item() + trainer._rewards["tool_calls"][row].item()
        )


def test_it_trains_and_evaluates_with_the_real_engine(build) -> None:
    trainer = build(
        scripted=False,
        shapers=[make_shaper("ucas")],
        replay=ReplaySettings(min_groups=1, warm_up=0),
        num_iterations=2,
        eval_dataset=Dataset.from_list(TASK.dev),
        per_device_eval_batch_size=8,
        eval_strategy="steps",
        eval_steps=3,
    )
    seen: list[Any] = []
    trainer.on_rollout.append(seen.append)
    trainer.train()
    assert not trainer.rollout_func._pool._instances  # closed
    logs = trainer.state.log_history
    assert sum("env/turns" in row for row in logs) >= 2
    assert any("eval_env/success" in row for row in logs)
    columns = seen[0].columns
    assert {"turns", "invalid_actions", "ended"} <= columns.keys()
    assert set(columns["ended"]) <= {"done", "truncated"}
    # Of random words, some are no action.
    assert sum(columns["invalid_actions"]) > 0


@pytest.fixture
def moody() -> Any:
    @environment("moody", needs=("hidden",))
    class Moody:
        """Works for one question and breaks for all others."""

        def reset(self, row: Any) -> str:
            self.reward, self.works = 0.0, row["hidden"] == TASK.train[0]["hidden"]
            return ""

        def act(self, text: str) -> Reply:
            if not self.works:
                raise OSError("the house is closed")
            self.reward = 1.0
            return Reply("", done=True)

    yield "moody"
    _ENVIRONMENTS.remove("moody")


def test_one_that_breaks_is_told_once_and_the_run_goes_on(build, moody, caplog) -> None:
    trainer = build(environment=moody)
    trainer._generate_single_turn = lambda contexts, *_: ([[5, 2]] * len(contexts), None)
    generate(trainer)
    generate(trainer)
    assert trainer._rewards["success"].tolist() == [1.0] * 4 + [0.0] * 12
    trainer._tallies.settle()
    assert trainer._metrics["train"]["env/failed"] == [0.75, 0.75]
    told = [record.getMessage() for record in caplog.records if "broke" in record.getMessage()]
    assert len(told) == 1
    assert "broke in 12 of 16 episodes" in told[0]
    assert "OSError: the house is closed" in told[0]


def test_episodes_without_a_token_of_the_model_do_not_end_the_run(
    build, moody, monkeypatch
) -> None:
    """They hold one masked token: TRL reads the last one of each completion."""

    def shut(self: Any, row: Any) -> str:
        raise OSError("the house is closed")

    monkeypatch.setattr(type(EnvironmentSettings(moody).make()), "reset", shut)
    trainer = build(
        environment=moody,
        shapers=[make_shaper("ucas")],
        filters=[make_filter(name) for name in ("repetitive", "unreadable", "overlong")],
        replay=ReplaySettings(min_groups=1, warm_up=0),
        max_steps=2,
    )
    trainer.train()
    output = generate(trainer)
    assert output["completion_ids"].tolist() == [[TOKENIZER.eos_token_id]] * 16
    assert not own(output).any()
    trainer._tallies.settle()
    assert trainer._metrics["train"]["env/failed"] == [1.0]
    assert not trainer.replay.replay.trajectories


def test_an_engine_that_writes_nothing(build) -> None:
    trainer = build()
    trainer._generate_single_turn = lambda contexts, *_: ([[]] * len(contexts), None)
    output = generate(trainer)
    assert not own(output).any()
    trainer._tallies.settle()
    assert trainer._metrics["train"]["env/truncated"] == [1.0]


def test_log_probs_of_an_engine_that_gives_them_stand_at_the_models_tokens(build) -> None:
    trainer = build()
    scripted, asked = trainer._generate_single_turn, []
    trainer.use_vllm = True
    engine = SimpleNamespace(model_config=SimpleNamespace(max_model_len=30))
    trainer.vllm_generation = SimpleNamespace(
        max_completion_length=20, llm=SimpleNamespace(llm_engine=engine)
    )
    assert _context(trainer) == 30

    def write(contexts: Any, images: Any, fields: Any, generations: int) -> Any:
        asked.append((generations, trainer.vllm_generation.max_completion_length))
        ids, _ = scripted(contexts)
        return ids, [[-0.25] * len(one) for one in ids]

    trainer._generate_single_turn = write
    trainer.rows = [dict(row) for row in trainer.train_dataset for _ in range(4)]
    output = trainer.rollout_func([], trainer)
    for log_probs, mask in zip(output["logprobs"], output["env_mask"], strict=True):
        assert log_probs == [-0.25 * own for own in mask]
    assert set(asked) == {(1, 9)}
    assert trainer.vllm_generation.max_completion_length == 20
