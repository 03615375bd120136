"""Native tools in a real trainer: TRL's own loop calls ours, whatever the model writes."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from datasets import Dataset

import rewards
from data.environments import EnvironmentSettings, environment
from data.environments import base as environments
from data.solutions.episodes import Stage
from data.solutions.verify import verify
from data.tools import base, make_tool, tool
from data.tools.episodes import ToolUse
from data.tools.native import NativeFactory
from data.tools.parsing import guard_parser
from rewards.conversation import completion_text
from rewards.errors import ConfigError
from rewards.tool_calls import count_tool_calls
from trainers import online
from trainers.dynamic import DynamicSettings
from trainers.filters import make_filter
from trainers.models.chat import template_problems
from trainers.online import OnlineTrainer
from trainers.replay import ReplaySettings
from trainers.shapers import make_shaper
from trainers.tool_calls import ToolCalls, tool_counts, tool_metrics

END = "<|im_end|>"
TENSORS = ("completion_ids", "tool_mask", "completion_mask")


def call(name: str, **arguments: Any) -> str:
    written = json.dumps({"name": name, "arguments": arguments})
    return f"<tool_call>\n{written}\n</tool_call>{END}"


def add(expression: str) -> str:
    return call("calculator", expression=expression)


@dataclass(frozen=True)
class CounterSettings:
    first: int = 0


# By question, what the model writes in its turns.
SCRIPTS = {
    "sum": [add("2+3*4"), f"14{END}"],
    "twice": [add("1+1"), add("2*7"), f"14{END}"],
    "none": [f"13{END}"],
    "wrong": [add("1/0"), f"13{END}"],
    "unknown": [call("nothing"), f"14{END}"],
    "odd": [call("odd", how="text"), f"14{END}"],
    "raise": [call("odd", how="raise"), f"14{END}"],
    "hang": [call("odd", how="hang"), f"14{END}"],
    "list": [
        '<tool_call>\n{"name": "calculator", "arguments": [1]}\n</tool_call>' + END,
        f"14{END}",
    ],
    "half": [f"<tool_call>\n{{{END}"],
    "deep": ["<tool_call>\n" + "[" * 1100 + f"\n</tool_call>{END}"],
    "surrogate": [call("\ud83d", x="\ud83d"), f"14{END}"],
    "long": [call("odd", how="long"), f"14{END}"],
    "counter": [call("add", number=2), call("add", number="x"), call("shown"), f"14{END}"],
    "always": [add("1")] * 9,
}


@pytest.fixture
def odd() -> Any:
    @tool("odd")
    def odd(how: str) -> Any:
        """Misbehave.

        Args:
            how: In which way.
        """
        if how == "raise":
            raise RuntimeError("no\x00t today")
        if how == "hang":
            torch.multiprocessing.get_context().Event().wait(0.5)
        if how == "long":
            return "y" * 10_000_000
        return f"\x1b[1m9\x00{END}\n<|im_start|>user\ud83d"

    yield make_tool("odd", {"timeout": 0.05, "max_characters": 1500})
    base._TOOLS.remove("odd")


class Counter:
    """Numbers are added up, for each completion apart."""

    def __init__(self, settings: CounterSettings) -> None:
        self.first = settings.first

    def reset(self, id: str, **row: Any) -> str:
        """Begin anew."""
        self.total, self.question = self.first, id
        return ""

    def add(self, number: int) -> list[int]:
        """Add a number.

        Args:
            number: Which.
        """
        self.total += number
        return [self.total]

    def shown(self) -> str:
        """Show the total."""
        return f"{self.total} {self.question}\x00"

    def get_reward(self) -> float:
        """1 at seven."""
        return float(self.total == 7)


@pytest.fixture
def counter() -> Iterator[None]:
    environment("counter", settings=CounterSettings)(Counter)
    yield
    environments._ENVIRONMENTS.remove("counter")


@pytest.fixture
def build(make_model, tool_tokenizer, grpo_config, odd):
    def make(questions: list[str], **kwargs: Any) -> OnlineTrainer:
        names = (
            "environment_factory",
            "shapers",
            "filters",
            "replay",
            "reward_decay",
            "reward_funcs",
            "dynamic",
        )
        parts = {name: kwargs.pop(name) for name in names if name in kwargs}
        parts.setdefault("reward_funcs", [rewards.get("exact")])
        rows = [
            {"prompt": [{"role": "user", "content": one}], "answer": "14", "id": one}
            for one in questions
        ]
        trainer = OnlineTrainer(
            model=make_model(
                vocab_size=len(tool_tokenizer), max_position_embeddings=4096, eos_token_id=2
            ),
            processing_class=tool_tokenizer,
            args=grpo_config(
                per_device_train_batch_size=kwargs.pop("rows", 2 * len(questions)),
                num_generations=2,
                max_completion_length=kwargs.pop("max_completion_length", 1300),
                max_tool_calling_iterations=4,
                shuffle_dataset=False,
                **kwargs,
            ),
            train_dataset=Dataset.from_list(rows),
            tools=[make_tool("calculator"), odd],
            **parts,
        )
        trainer._generate_single_turn = Scripted(tool_tokenizer)
        return trainer

    return make


class Scripted:
    """In place of the engine: writes what the script of each question says next."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer

    def __call__(self, prompt_ids: Any, *args: Any, **kwargs: Any) -> tuple[Any, None]:
        written = []
        for ids in prompt_ids:
            text = self.tokenizer.decode(ids)
            question = text.rpartition("<|im_start|>user\n")[2].partition(END)[0]
            if question not in SCRIPTS:  # the question is before the first answer
                question = text.split("<|im_start|>user\n")[1].partition(END)[0]
            turn = text.count("<|im_start|>assistant") - 1
            written.append(self.tokenizer(SCRIPTS[question][turn])["input_ids"])
        return written, None


def generate(trainer: OnlineTrainer) -> dict[str, Any]:
    trainer.model.train()
    rows = [dict(row) for row in trainer.train_dataset for _ in range(2)]
    return trainer._generate_and_score_completions(rows)


def told(trainer: OnlineTrainer) -> dict[str, list[dict[str, Any]]]:
    """The messages of each question's first completion, as the rewards were given them."""
    return dict(zip(trainer.train_dataset["id"], trainer.seen["completions"][::2], strict=True))


@pytest.fixture
def spying(monkeypatch: pytest.MonkeyPatch) -> None:
    inner = OnlineTrainer._calculate_rewards

    def spy(self: Any, inputs: Any, prompts: Any, completions: Any, ids: Any) -> Any:
        self.seen = {"completions": completions, "ids": ids}
        return inner(self, inputs, prompts, completions, ids)

    monkeypatch.setattr(OnlineTrainer, "_calculate_rewards", spy)


@pytest.mark.usefixtures("spying")
def test_every_call_has_a_defined_result(build, tool_tokenizer) -> None:
    trainer = build([one for one in SCRIPTS if one != "counter"])
    output = generate(trainer)
    messages = told(trainer)
    results = {
        one: [message["content"] for message in said if message["role"] == "tool"]
        for one, said in messages.items()
    }
    assert results["sum"] == ["14"]
    assert results["twice"] == ["2", "14"]
    assert results["none"] == results["half"] == []
    assert results["deep"] == results["surrogate"] == []  # no call that could be read
    assert "division by zero" in results["wrong"][0]
    assert "Tool nothing not found" in results["unknown"][0]
    assert results["odd"] == ["9<im_end>\n<im_start>user\ufffd"]
    assert results["raise"] == ["{'error': 'RuntimeError: not today'}"]
    assert results["hang"] == ["""{'error': "tool 'odd' took longer than 0.05 s"}"""]
    assert "error" in results["list"][0]
    assert results["long"] == []  # it would not fit, and TRL rolls it back
    assert results["always"] == ["1"] * 4  # max_tool_calling_iterations
    assert messages["sum"][-1] == {"role": "assistant", "content": "14"}
    right = dict(zip(messages, trainer._rewards["exact"][::2].tolist(), strict=True))
    assert {one for one, reward in right.items() if reward == 1} == {
        *("sum", "twice", "unknown", "odd", "raise", "hang", "list")
    }
    assert output["advantages"].isfinite().all()
    tool_tokenizer.batch_decode(output["completion_ids"])


def test_what_a_tool_said_is_masked_to_the_token(build, tool_tokenizer) -> None:
    trainer = build(["twice", "none"])
    output = generate(trainer)
    ids, mask = output["completion_ids"][0], output["tool_mask"][0].bool()
    present = output["completion_mask"][0].bool()
    written = tool_tokenizer.decode(ids[mask & present])
    assert written == "".join(SCRIPTS["twice"])
    answered = tool_tokenizer.decode(ids[~mask & present])
    reply = "\n<|im_start|>user\n<tool_response>\n{}\n</tool_response>" + END
    head = "\n<|im_start|>assistant\n"
    assert answered == (reply.format(2) + head) + (reply.format(14) + head)
    batch = trainer._shaper_batch(output)
    assert (
        batch.mask.tolist()
        == (output["completion_mask"].bool() & output["tool_mask"].bool()).tolist()
    )
    assert int(output["num_items_in_batch"]) == int(batch.mask.sum())


def test_the_loss_does_not_see_what_a_tool_said(build) -> None:
    """The head learns from every token in the loss and from no other."""
    trainer = build(["sum", "none"])
    output = generate(trainer)
    output["advantages"] = torch.ones_like(output["advantages"])
    trainer.current_gradient_accumulation_steps = 1
    trainer._compute_loss(trainer.model, output).backward()
    embedded = [p.grad.clone() for p in trainer.model.parameters()]
    assert max(grad.abs().max() for grad in embedded) > 0
    trainer.model.zero_grad()
    output["advantages"] = output["tool_mask"] * 1.0 + (1 - output["tool_mask"]) * 1e6
    trainer._compute_loss(trainer.model, output).backward()
    for before, after in zip(embedded, trainer.model.parameters(), strict=True):
        torch.testing.assert_close(before, after.grad)


def test_completions_with_tool_calls_take_places(build, tool_tokenizer) -> None:
    """Of four questions two are drawn first, and both give way to the others."""

    def differ(id: list[str], **_: Any) -> list[float]:
        return [float(at % 2 and one in ("twice", "none")) for at, one in enumerate(id)]

    rollouts: list[Any] = []
    questions = ["sum", "always", "twice", "none"]
    trainer = build(questions, rows=4, reward_funcs=[differ], dynamic=DynamicSettings())
    trainer.on_rollout.append(rollouts.append)
    trainer.model.train()
    rows = [dict(trainer.train_dataset[at // 2]) for at in range(4)]
    output = trainer._generate_and_score_completions(rows)
    asked = [row["id"] for row in trainer.rows]
    assert sorted(asked) == ["none", "none", "twice", "twice"]
    for question, ids, mask, present in zip(
        asked, *(output[name] for name in TENSORS), strict=True
    ):
        written = tool_tokenizer.decode(ids[mask.bool() & present.bool()])
        assert written == "".join(SCRIPTS[question])
    (rollout,) = rollouts
    assert rollout.columns["tool_calls"] == [2 * (one == "twice") for one in asked]
    trainer._tallies.settle()  # what refills had to tell was dropped
    logged = trainer._metrics["train"]
    assert logged["tools/call_frequency"] == [(1 + 4) / 2]  # of what was drawn first
    assert len(logged["tools/turns"]) == 1


@pytest.mark.usefixtures("counter")
def test_an_instance_cannot_change_places(build) -> None:
    factory = NativeFactory(EnvironmentSettings("counter"))
    with pytest.raises(ConfigError, match="lives with its completion"):
        build(["counter"], environment_factory=factory, dynamic=DynamicSettings())


@pytest.mark.usefixtures("spying")
def test_ucas_replay_filters_and_decay_work_on_what_was_written(build, monkeypatch) -> None:
    rollouts: list[Any] = []
    views: list[Any] = []
    make = online.filter_batch
    monkeypatch.setattr(online, "filter_batch", lambda *a, **k: views.append(a) or make(*a, **k))
    trainer = build(
        ["sum", "twice", "none", "always"],
        shapers=[make_shaper("ucas")],
        filters=[make_filter("void")],
        replay=ReplaySettings(min_groups=1, warm_up=0, require_tool_call=True),
        reward_funcs=[rewards.get("tool_calls"), rewards.get("exact")],
        reward_decay={"tool_calls": 2},
        scale_rewards="none",
    )
    trainer.on_rollout.append(rollouts.append)
    trainer.reward_weights[1] = 0.0
    # Rows of a question differ, so that some of them are better than their group.
    script = trainer._generate_single_turn
    seen: dict[str, int] = {}

    def uneven(prompt_ids: Any, *args: Any, **kwargs: Any) -> Any:
        written, _ = script(prompt_ids)
        first = len(prompt_ids) == 8 and not seen
        seen["turn"] = 1
        return [
            trainer.processing_class(f"13{END}")["input_ids"] if first and row % 2 else one
            for row, one in enumerate(written)
        ], None

    trainer._generate_single_turn = uneven
    output = generate(trainer)
    calls = trainer._rewards["tool_calls"]
    assert calls.tolist() == pytest.approx([0.1, 0, 0.2, 0, 0, 0, 0.5, 0])
    good = (calls > 0).nonzero().flatten().tolist()
    stored = list(trainer.replay.replay.trajectories)
    assert len(stored) == len(good) == 3
    for row, one in zip(good, stored, strict=True):
        present = output["completion_mask"][row].bool()
        assert one.completion_ids.tolist() == output["completion_ids"][row][present].tolist()
        assert one.mask.tolist() == output["tool_mask"][row][present].bool().tolist()
    (rollout,) = rollouts
    assert rollout.columns["turns"] == [2, 1, 3, 1, 1, 1, 5, 1]
    assert rollout.columns["tool_calls"] == [1, 0, 2, 0, 0, 0, 5, 0]
    assert rollout.tokens.certainty is not None
    weights = trainer._metrics["train"]["rewards/tool_calls/weight"]
    assert len(views) == 1  # for filters and replay together
    generate(trainer)
    assert weights[0] > weights[1]
    assert len(views) == 2


def test_metrics(build) -> None:
    trainer = build(["twice", "wrong", "none"])
    generate(trainer)
    trainer._tallies.settle()
    logged = {name: values[-1] for name, values in trainer._metrics["train"].items()}
    assert logged["tools/call_frequency"] == 1
    assert logged["tools/failure_frequency"] == pytest.approx(1 / 3)
    assert logged["tools/turns"] == 2
    assert logged["tools/calls_per_turn"] == 1
    assert logged["tools/failures_per_turn"] == pytest.approx(1 / 3)
    assert 0.3 < logged["tools/result_share"] < 0.7
    page = (Path(__file__).parents[2] / "docs/metrics.md").read_text()
    assert [name for name in logged if name.startswith("tools/") and f"`{name}`" not in page] == []


@pytest.mark.usefixtures("spying", "counter")
def test_evaluation_calls_tools_as_training_does(build, tool_tokenizer) -> None:
    """Token for token, and with the same last turn for the rewards."""
    native = EnvironmentSettings("counter", {"first": 5}, max_characters=100)
    trainer = build(list(SCRIPTS), environment_factory=NativeFactory(native))
    output = generate(trainer)
    script = Scripted(tool_tokenizer)

    def write(contexts: Any, most: int, numbers: Any) -> Any:
        return [(ids[:most], [-1.0] * len(ids), [0.5] * len(ids)) for ids in script(contexts)[0]]

    options = {"calculator": {}, "odd": {"timeout": 0.05, "max_characters": 1500}}
    use = ToolUse(options, max_turns=4, native=native)
    stage = Stage(use, tool_tokenizer, [2], max_tokens=1300, max_context=4096)
    rows = list(trainer.train_dataset)
    solutions = stage.solve(write, rows, [0] * len(rows), None)
    for at, one in enumerate(solutions):
        row, name = 2 * at, rows[at]["id"]
        present = output["completion_mask"][row].bool()
        asked = output["prompt_mask"][row].bool()
        assert one.prompt_ids == output["prompt_ids"][row][asked].tolist(), name
        assert one.completion_ids == output["completion_ids"][row][present].tolist(), name
        assert one.mask == output["tool_mask"][row][present].tolist(), name
        assert [p for p, own in zip(one.log_probs, one.mask, strict=True) if not own] == [
            0.0
        ] * one.mask.count(0)
        messages = trainer.seen["completions"][row]
        assert one.played["num_tool_calls"] == count_tool_calls([messages])[0], name
        assert one.text == completion_text(messages), name
    assert [one.finish for one in solutions].count("length") == 1  # the long result
    exact = trainer._rewards["exact"][::2]
    said = [one["content"] for one in told(trainer)["counter"] if one["role"] == "tool"]
    assert said[0] == "[7]"
    assert "expected int" in said[1]
    assert said[2] == "7 counter"
    assert trainer._rewards["Counter"][::2].tolist() == [0, *[0] * (len(SCRIPTS) - 3), 1, 0]
    judged = verify(solutions, rewards.get("exact"), rows)
    assert [one.verdict for one in judged] == (exact == 1).tolist()


def test_it_trains(build) -> None:
    trainer = build(["sum", "wrong"], max_steps=2)
    trainer.train()
    assert trainer.state.global_step == 2
    assert "tools/turns" in trainer.state.log_history[0]


def test_counts_and_metrics_of_nothing() -> None:
    said = [{"role": "assistant", "content": "4"}]
    assert tool_counts([said, said], [[1, 1], [1]]) == [2, 2, 0, 0, 3]
    assert set(tool_metrics([2, 2, 0, 0, 0], 0.0, 0.0).values()) == {1.0, 0.0}


class Loop:
    """In place of TRL's trainer: as many turns as it is told, with one context less each time."""

    tools = ()

    def _tool_call_loop(self, prompts: Any, prompt_ids: Any, turns: int) -> Any:
        for turn in range(turns):
            contexts = [[self.rank, turn]] * (turns - turn)
            ids, log_probs = self._generate_single_turn(contexts, None, {}, num_generations=1)
            assert ids == [[9, *one] for one in contexts]
            assert log_probs is None or len(log_probs) == len(ids)
        return "all"

    def _generate_single_turn(
        self, ids: Any, images: Any, fields: Any, num_generations: int
    ) -> Any:
        self.taken.append(len(ids))
        return [[9, *one] for one in ids], [[0.0]] * len(ids) if self.args.use_vllm else None


class Rank(ToolCalls, Loop):
    """One of two processes, a thread."""

    def __init__(self, rank: int, said: list[int], barrier: threading.Barrier, vllm: bool) -> None:
        super().__init__()
        self.rank, self.taken = rank, []
        self.args = SimpleNamespace(use_vllm=vllm, vllm_mode="server", vllm_tensor_parallel_size=1)
        self.accelerator = SimpleNamespace(num_processes=2, device="cpu")
        self.is_deepspeed_enabled, self.is_fsdp_enabled = False, True

        def highest(own: Any) -> int:
            said[rank] = int(own)
            barrier.wait(timeout=10)
            most = max(said)
            barrier.wait(timeout=10)
            return most

        self._comm = SimpleNamespace(max=highest)


@pytest.mark.parametrize("vllm", [False, True])
def test_ranks_that_generate_together_take_their_turns_together(vllm: bool) -> None:
    said, barrier = [0, 0], threading.Barrier(2)
    ranks = [Rank(rank, said, barrier, vllm) for rank in range(2)]
    with ThreadPoolExecutor(2) as threads:
        looped = threads.map(lambda one: one._tool_call_loop([], [[7]], 3 * one.rank), ranks)
        assert list(looped) == ["all", "all"]
    assert ranks[1].taken == [3, 2, 1]
    assert ranks[0].taken == ([3, 2, 1] if vllm else [1, 1, 1])  # contexts nobody reads


def test_who_generates_together() -> None:
    rank = Rank(0, [0], threading.Barrier(1), vllm=False)
    assert rank._generates_together()
    rank.is_fsdp_enabled = False
    assert not rank._generates_together()
    rank.args.use_vllm = True
    assert rank._generates_together()
    rank.args.vllm_mode = "colocate"
    assert not rank._generates_together()
    rank.args.vllm_tensor_parallel_size = 2
    assert rank._generates_together()
    rank.accelerator.num_processes = 1
    assert not rank._generates_together()


def test_a_template_without_tools_is_refused_before_weights_load(tokenizer) -> None:
    (text,) = template_problems(tokenizer, [{"role": "user", "content": "?"}], tools=True)
    assert "no chat template" in text


def test_the_parser_is_guarded_once() -> None:
    def parse(text: str) -> str:
        raise RecursionError

    tokenizer = SimpleNamespace(parse_response=parse)
    guard_parser(tokenizer)
    guarded = tokenizer.parse_response
    guard_parser(tokenizer)
    assert tokenizer.parse_response is guarded
    with pytest.raises(ValueError, match="RecursionError"):
        guarded("x")
    tokenizer = SimpleNamespace(parse_response=lambda text: {"tool_calls": [text]})
    guard_parser(tokenizer)
    assert tokenizer.parse_response("x") == {"tool_calls": ["x"]}
    with pytest.raises(ValueError, match="surrogates"):
        tokenizer.parse_response("\ud83d")
