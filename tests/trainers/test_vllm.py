"""Generation by vLLM, with an engine in its place: its correction, signals, replay, curriculum.

The engine stands where TRL puts vLLM's (`trl.generation.VLLMGeneration`) and keeps its contract: it
samples from weights of its own, which are the trainer's only after `sync_weights`, one completion
for each prompt, and gives each token's log-prob as a list of one, NaN where vLLM had none.
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from trl.trainer import grpo_trainer

from rewards.confidence import token_certainty
from trainers.curriculum import Curriculum, CurriculumSettings
from trainers.named import UCASTrainer
from trainers.online import OnlineTrainer
from trainers.replay import ReplaySettings
from trainers.shapers.base import Shaper

UNKNOWN = 3  # every so many tokens, a log-prob is NaN


class Engine:
    """Samples with transformers from a copy of the policy whose weights are a little off."""

    def __init__(self, *, model: Any, accelerator: Any, processing_class: Any, **settings: Any):
        self.settings, self.model = settings, accelerator.unwrap_model(model)
        self.tokenizer = processing_class
        told = {"model_config": {"logprobs_mode": "processed_logprobs"}}
        self.vllm_client = SimpleNamespace(get_server_info=lambda: told)  # of vllm_mode=server
        self.own = type(self.model)(self.model.config).eval()  # a copy would keep the fused head
        self.max_completion_length = settings["max_completion_length"]
        self.synced, self.generated = 0, 0
        self.log_probs: list[list[list[float]]] = []

    @torch.no_grad()
    def sync_weights(self) -> None:
        """Take the trainer's weights, rounded as an engine in bfloat16 would."""
        self.synced += 1
        for mine, theirs in zip(self.own.parameters(), self.model.parameters(), strict=True):
            mine.copy_(theirs.to(torch.bfloat16))

    @torch.no_grad()
    def generate(self, prompts: Any, images: Any, num_generations: int, profiler: Any) -> Any:
        """As `VLLMGeneration.generate`; a completion ends with the end of sequence, if it does."""
        assert images is None
        self.generated += 1
        eos, temperature = self.tokenizer.eos_token_id, self.settings["temperature"]
        completions, self.log_probs = [], []
        with profiler:
            for prompt in prompts:
                ids, said = list(prompt), []
                while len(said) < self.max_completion_length:
                    logits = self.own(torch.tensor([ids])).logits[0, -1] / temperature
                    token = int(torch.multinomial(logits.softmax(-1), 1))
                    unknown = (len(ids) + len(self.log_probs)) % UNKNOWN == 0
                    said.append([math.nan if unknown else float(logits.log_softmax(-1)[token])])
                    ids.append(token)
                    if token == eos:
                        break
                completions.append(ids[len(prompt) :])
                self.log_probs.append(said)
        return prompts, completions, self.log_probs, [[[one] for one in row] for row in completions]


@pytest.fixture
def build(make_model, tokenizer, grpo_config, prompts, digit_reward, monkeypatch):
    monkeypatch.setattr(grpo_trainer, "VLLMGeneration", Engine)

    def make(kind: type = OnlineTrainer, **kwargs: Any) -> Any:
        names = ("shapers", "replay", "curriculum", "ucas", "accuracy_reward")
        parts = {name: kwargs.pop(name) for name in names if name in kwargs}
        columns = {"id": [f"q{n}" for n in range(len(prompts))]}
        data = prompts.add_column("id", columns["id"])
        return kind(
            model=make_model(),
            reward_funcs=digit_reward,
            args=grpo_config(use_vllm=True, **{"vllm_mode": "colocate"} | kwargs),
            train_dataset=data,
            processing_class=tokenizer,
            **parts,
        )

    return make


def generate(trainer: OnlineTrainer) -> dict[str, torch.Tensor]:
    trainer.model.train()
    rows = [trainer.train_dataset[i // 4] for i in range(trainer.args.generation_batch_size)]
    return trainer._generate_and_score_completions(rows)


def spy() -> tuple[Shaper, list[Any]]:
    """A shaper that changes nothing and keeps the signals it was given."""
    seen: list[Any] = []

    def keep(batch: Any, given: Any, settings: Any) -> torch.Tensor:
        seen.append(given)
        return batch.advantages[:, None].expand(batch.mask.shape).clone()

    return Shaper("spy", keep, ("certainty", "chosen_logit"), None), seen


def forwards(trainer: OnlineTrainer) -> list[int]:
    """Rows of each forward of the policy's backbone from here on."""
    counted: list[int] = []
    trainer.model.model.register_forward_hook(
        lambda _, args, kwargs, output: counted.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    return counted


def test_the_engine_is_made_as_trl_makes_vllm_s(build) -> None:
    """What the stand-in takes is what the installed TRL gives the real one."""
    import inspect

    from trl.generation.vllm_generation import VLLMGeneration

    engine = build(temperature=0.7, vllm_mode="colocate").vllm_generation
    real = inspect.signature(VLLMGeneration.__init__).parameters
    assert set(engine.settings) <= set(real)
    assert (engine.settings["temperature"], engine.settings["logprobs"]) == (0.7, 0)
    assert list(inspect.signature(Engine.generate).parameters) == list(
        inspect.signature(VLLMGeneration.generate).parameters
    )


def test_each_token_is_corrected_by_its_ratio_and_by_nothing_where_vllm_knew_none(build) -> None:
    trainer = build(vllm_importance_sampling_mode="token_truncate")
    output = generate(trainer)
    mask = output["completion_mask"].bool()
    given = [torch.tensor(one).squeeze(-1) for one in trainer.vllm_generation.log_probs]
    sampled = torch.nn.utils.rnn.pad_sequence(given, batch_first=True)
    known = mask & ~sampled.isnan()
    assert 0 < int(known.sum()) < int(mask.sum())
    ratio = (trainer.score_tokens(output) - sampled).exp()
    found = output["importance_sampling_ratio"]
    torch.testing.assert_close(found[known], ratio[known], rtol=1e-4, atol=1e-6)
    assert (found[known] != 1).any()
    assert (found[mask & sampled.isnan()] == 1).all()


@pytest.mark.parametrize("corrects", [True, False])
def test_signals_ride_on_the_forward_that_the_correction_needs(build, corrects: bool) -> None:
    shaper, seen = spy()
    trainer = build(shapers=[shaper], vllm_importance_sampling_correction=corrects)
    counted = forwards(trainer)
    output = generate(trainer)
    assert counted == [16]  # one: the correction's, or, without it, the signals' own
    assert ("old_per_token_logps" in output) is corrects
    (given,) = seen
    ids = torch.cat([output["prompt_ids"], output["completion_ids"]], dim=1)
    attention = torch.cat([output["prompt_mask"], output["completion_mask"]], dim=1)
    width = output["completion_ids"].size(1)
    with torch.no_grad():  # the trainer's weights, not the engine's
        logits = trainer.model(ids, attention_mask=attention).logits[:, -width - 1 : -1]
    mask = output["completion_mask"].bool()
    certainty = token_certainty(logits)
    torch.testing.assert_close(given.certainty[mask], certainty[mask], rtol=1e-4, atol=1e-5)


def test_replay_keeps_the_trainer_s_log_probs_and_no_nan(build) -> None:
    trainer = build(
        replay=ReplaySettings(min_groups=1, warm_up=0), vllm_importance_sampling_correction=False
    )
    output = generate(trainer)
    stored = list(trainer.replay.replay.trajectories)
    assert stored
    scored = trainer.score_tokens(output)
    good = (output["advantages"] > 0).nonzero().flatten().tolist()
    for row, one in zip(good, stored, strict=True):
        expected = scored[row][output["completion_mask"][row].bool()]
        torch.testing.assert_close(one.old_log_probs, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("engine", "mode"), [("colocate", "term"), ("server", "mixed")])
def test_a_run_with_everything_on_learns_without_nan(build, engine: str, mode: str) -> None:
    trainer = build(
        UCASTrainer,
        replay=ReplaySettings(min_groups=1, warm_up=0, mode=mode),
        curriculum=Curriculum(CurriculumSettings(mode="online", metric="digit")),
        max_steps=3,
        vllm_mode=engine,
    )
    before = [one.detach().clone() for one in trainer.model.parameters()]
    trainer.train()
    engine = trainer.vllm_generation
    assert (engine.synced, engine.generated) == (3, 3)
    after = list(trainer.model.parameters())
    assert all(one.isfinite().all() for one in after)
    assert any(not one.equal(two) for one, two in zip(before, after, strict=True))
    logged = [row for row in trainer.state.log_history if "reward" in row]
    assert [row for row in logged if any(map(math.isnan, numbers(row)))] == []
    assert all(row["sampling/importance_sampling_ratio/mean"] > 0 for row in logged)


def numbers(row: dict[str, Any]) -> list[float]:
    return [float(value) for value in row.values() if isinstance(value, int | float)]


@pytest.mark.gpu
def test_vllm_itself(tmp_path, monkeypatch) -> None:
    """Three steps of SmolLM2 with vLLM beside the trainer, and the signals of UCAS."""
    pytest.importorskip("vllm", reason="vllm is not installed")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    from trainers.models.smollm2 import missing

    if text := missing():
        pytest.skip(text)
    from rlconf.cli import main
    from rlconf.records.metrics_file import read_metrics

    monkeypatch.chdir(tmp_path)
    command = ["experiment=smollm2", "debug=fast", "evaluate.before=false", "evaluate.after=false"]
    engine = ["peft=none", "shaper=[ucas]", "trainer.use_vllm=true", "trainer.vllm_mode=colocate"]
    assert main(["train", *command, *engine, "run.dir=run"]) == 0
    rows = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert len(rows) == 3
    assert all(abs(row["sampling/importance_sampling_ratio/mean"] - 1) < 0.5 for row in rows)
