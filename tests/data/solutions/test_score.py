"""Scores of solutions against full logits in float64, whatever the batch, the head, the adapter."""

from __future__ import annotations

import importlib
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    Cohere2Config,
    Cohere2ForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from data.solutions import Solution, sample, score
from rewards.errors import ConfigError

PIECES = ["<pad>", "<eos>", "\\boxed{", "}", *"0123456789", "so ", "the ", "$", "{1", "x"]
SIZES = {
    "vocab_size": len(PIECES),
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": None,
    "eos_token_id": 1,
}


@pytest.fixture(scope="module")
def boxes() -> Any:
    r"""One token for `\boxed{`, digits and a token that straddles a brace."""
    core = Tokenizer(models.WordLevel({p: i for i, p in enumerate(PIECES)}, unk_token="<pad>"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="<eos>")


@pytest.fixture(scope="module")
def llama() -> Any:
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**SIZES, tie_word_embeddings=True))
    with torch.no_grad():  # so that probabilities are far from uniform
        model.model.embed_tokens.weight.mul_(8)
    return model


def written(*completions: list[str], prompt: tuple[str, ...] = ("so ", "4")) -> list[Solution]:
    number = {piece: at for at, piece in enumerate(PIECES)}
    return [
        Solution(
            question_id="q",
            index=at,
            prompt_ids=[number[piece] for piece in prompt],
            completion_ids=[number[piece] for piece in completion],
            text="".join(completion),
            finish="stop",
        )
        for at, completion in enumerate(completions)
    ]


SOLUTIONS = written(
    ["the ", "\\boxed{", "1", "2", "}", "<eos>"],
    ["x"],
    ["\\boxed{", "3", "}", "x", "\\boxed{", "4", "5", "6", "}", "$", "x", "x", "<eos>"],
    ["\\boxed{", "7"],
    [],
    ["so "] * 20 + ["\\boxed{", "8", "}"],
)
ANSWERS = ["12", None, "456", None, None, "8"]
SPANS = [(2, 3), (), (5, 6, 7), (), (), (21,)]


def full(model: Any, solution: Solution, scale: float = 1.0) -> tuple[Any, Any]:
    """Log-probs and certainties of the completion in float64, from all logits of one row."""
    ids = torch.tensor([solution.prompt_ids + solution.completion_ids])
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0].double()
    first = len(solution.prompt_ids)
    z = logits[first - 1 : -1]
    log_probs = z.log_softmax(-1)
    certainty = -math.log(z.size(-1)) - log_probs.mean(-1)
    return log_probs.gather(-1, ids[0, first:, None]).squeeze(-1), certainty


def test_crew_is_that_of_full_logits(llama, boxes) -> None:
    scored = score(llama, boxes, SOLUTIONS, batch_size=4)
    assert [one.answer for one in scored] == ANSWERS
    for solution, one, span in zip(SOLUTIONS, scored, SPANS, strict=True):
        assert replace(one, answer=None, confidence={}) == solution
        if not span:
            assert one.confidence == {}
            continue
        own = full(llama, solution)[0][list(span)]
        assert one.confidence == pytest.approx(
            {
                "crew": own.exp().mean().item(),
                "crew_log_prob": own.mean().item(),
                "crew_tokens": len(span),
                "crew_min": own.exp().min().item(),
            },
            rel=1e-5,
        )
        assert 0 < one.confidence["crew"] <= 1


def test_measures_of_the_whole_completion(llama, boxes) -> None:
    scored = score(
        llama, boxes, SOLUTIONS, measures=("crew", "mean_log_prob", "self_certainty"), batch_size=2
    )
    alone = score(llama, boxes, SOLUTIONS, batch_size=2)
    for solution, one, crew in zip(SOLUTIONS, scored, alone, strict=True):
        if not solution.completion_ids:
            assert one.confidence == {}
            continue
        log_probs, certainty = full(llama, solution)
        assert one.confidence == pytest.approx(
            {
                **crew.confidence,
                "mean_log_prob": log_probs.mean().item(),
                "self_certainty": certainty.mean().item(),
            },
            rel=1e-5,
            abs=1e-6,
        )


def test_a_long_prompt_is_read_once_for_its_solutions(llama, boxes) -> None:
    prompt = ("so ", "4", "the ", "x") * 6
    solutions = written(
        ["\\boxed{", "1", "2", "}", "<eos>"], ["\\boxed{", "3", "}"], ["x", "x"], prompt=prompt
    )
    read = []
    handle = llama.register_forward_pre_hook(
        lambda _, args, given: read.append(given["input_ids"].numel()), with_kwargs=True
    )
    try:
        scored = score(llama, boxes, solutions, measures=("crew", "self_certainty"))
    finally:
        handle.remove()
    assert read == [23, 3 * 5]  # all but its last token; that one, and what is written, padded
    for solution, one in zip(solutions, scored, strict=True):
        certainty = full(llama, solution)[1]
        assert one.confidence["self_certainty"] == pytest.approx(certainty.mean().item(), rel=1e-5)
    own = full(llama, solutions[0])[0][[1, 2]]
    assert scored[0].confidence["crew"] == pytest.approx(own.exp().mean().item(), rel=1e-5)


@pytest.mark.parametrize("aggregate", ["geometric", "product", "min"])
def test_other_aggregates(llama, boxes, aggregate: str) -> None:
    own = full(llama, SOLUTIONS[2])[0][[5, 6, 7]]
    wanted = {
        "geometric": own.mean().exp(),
        "product": own.sum().exp(),
        "min": own.exp().min(),
    }[aggregate]
    (one,) = score(llama, boxes, [SOLUTIONS[2]], aggregate=aggregate)
    assert one.confidence["crew"] == pytest.approx(wanted.item(), rel=1e-5)


def test_overlap_and_strict(llama, boxes) -> None:
    r"""In `\boxed{|{1|2|}|}` the answer is `{12}`, all of it inside."""
    (straddling,) = written(["\\boxed{", "x", "{1", "}", "}"])
    assert score(llama, boxes, [straddling], span="strict")[0].confidence["crew_tokens"] == 3
    (number,) = written(["the ", "{1", "2"])
    overlap = score(llama, boxes, [number], locator="number")[0]
    strict = score(llama, boxes, [number], locator="number", span="strict")[0]
    assert (overlap.answer, overlap.confidence["crew_tokens"]) == ("12", 2)
    assert (strict.answer, strict.confidence["crew_tokens"]) == ("12", 1)


def test_what_follows_the_answer_changes_nothing(llama, boxes) -> None:
    before, after = written(
        ["the ", "\\boxed{", "1", "2", "}"],
        ["the ", "\\boxed{", "1", "2", "}", "x", "$", "1", "so ", "<eos>"],
    )
    scored = score(llama, boxes, [before, after])
    assert scored[0].confidence == scored[1].confidence


@pytest.mark.parametrize("batch_size", [1, 2, 16])
def test_batches_and_padding_side_change_nothing(llama, boxes, batch_size: int) -> None:
    reference = score(llama, boxes, SOLUTIONS, batch_size=3)
    side = boxes.padding_side
    boxes.padding_side = "left" if side == "right" else "right"
    try:
        got = score(llama, boxes, SOLUTIONS[::-1], batch_size=batch_size)[::-1]
    finally:
        boxes.padding_side = side
    for one, other in zip(got, reference, strict=True):
        assert one.confidence == pytest.approx(other.confidence, rel=1e-5)


def test_the_temperature_of_sampling_has_no_part_in_it(llama, boxes) -> None:
    """Two samplings at temperatures 0.5 and 2 that agree in a completion agree in its score."""
    rows = [{"id": "q", "prompt": "4", "answer": "4"}]
    (one,) = sample(llama, boxes, rows, temperature=0.5, max_new_tokens=6)
    (two,) = sample(llama, boxes, rows, temperature=2.0, max_new_tokens=6, seed=1)
    same = replace(two, completion_ids=one.completion_ids)
    scored = score(llama, boxes, [one, same], measures=("mean_log_prob",))
    assert scored[0].confidence == scored[1].confidence
    # and it is the mean of what sampling itself recorded, which is at temperature 1
    assert scored[0].confidence["mean_log_prob"] == pytest.approx(
        sum(one.log_probs) / len(one.log_probs), rel=1e-4
    )


def heads() -> list[Any]:
    torch.manual_seed(1)
    gemma = Gemma2ForCausalLM(
        Gemma2Config(**SIZES, head_dim=8, final_logit_softcapping=0.5, sliding_window=16)
    )
    cohere = Cohere2ForCausalLM(Cohere2Config(**SIZES, logit_scale=7.0, sliding_window=16))
    untied = LlamaForCausalLM(LlamaConfig(**SIZES, tie_word_embeddings=False))
    return [gemma, cohere, untied]


@pytest.mark.parametrize("which", range(3), ids=["soft-capped", "scaled", "untied"])
def test_heads_with_a_cap_a_scale_or_weights_of_their_own(boxes, which: int) -> None:
    model = heads()[which].eval()
    scored = score(model, boxes, SOLUTIONS, measures=("crew", "self_certainty"))
    log_probs, certainty = full(model, SOLUTIONS[2])
    assert scored[2].confidence["crew"] == pytest.approx(
        log_probs[[5, 6, 7]].exp().mean().item(), rel=1e-5
    )
    assert scored[2].confidence["self_certainty"] == pytest.approx(
        certainty.mean().item(), rel=1e-4, abs=1e-6
    )


@pytest.mark.parametrize("targets", [["q_proj", "v_proj"], ["q_proj", "lm_head"]])
def test_with_an_adapter_on_the_layers_or_the_head(boxes, targets: list[str]) -> None:
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(2)
    base = LlamaForCausalLM(LlamaConfig(**SIZES, tie_word_embeddings=False))
    plain = score(base, boxes, [SOLUTIONS[2]])[0].confidence["crew"]
    lora = LoraConfig(r=4, target_modules=targets, init_lora_weights=False, task_type="CAUSAL_LM")
    model = get_peft_model(base, lora).eval()
    own = full(model, SOLUTIONS[2])[0][[5, 6, 7]].exp().mean().item()
    got = score(model, boxes, [SOLUTIONS[2]])[0].confidence["crew"]
    assert got == pytest.approx(own, rel=1e-5)
    assert got != pytest.approx(plain, rel=1e-4)


def test_in_bfloat16_the_probabilities_are_summed_in_float32(llama, boxes) -> None:
    half = LlamaForCausalLM(llama.config).to(torch.bfloat16)
    half.load_state_dict(llama.state_dict())
    own = full(half.eval(), SOLUTIONS[2])[0][[5, 6, 7]].exp().mean().item()
    got = score(half, boxes, [SOLUTIONS[2]])[0].confidence["crew"]
    assert got == pytest.approx(own, rel=2e-2)
    assert got != float(torch.tensor(got).bfloat16())


def test_a_model_with_another_head_is_refused(llama, boxes) -> None:
    class Doubled(LlamaForCausalLM):
        def forward(self, *args: Any, **kwargs: Any) -> Any:
            output = super().forward(*args, **kwargs)
            output.logits = output.logits * 2
            return output

    model = Doubled(llama.config)
    model.load_state_dict(llama.state_dict())
    with pytest.raises(ValueError, match="Doubled turns hidden states into logits by more than"):
        score(model, boxes, SOLUTIONS)


def test_never_tokens_times_vocabulary(boxes, monkeypatch, watch_tensors) -> None:
    """The largest tensor, weights apart, is one chunk of logits, for whole completions too."""
    vocabulary, rows = 5000, 8
    model = LlamaForCausalLM(LlamaConfig(**(SIZES | {"vocab_size": vocabulary})))
    weights = vocabulary * 32
    module = importlib.import_module("data.solutions.score")  # the package has its function there
    monkeypatch.setattr(module, "_CHUNK_ELEMENTS", rows * vocabulary)
    with watch_tensors(weights) as seen:
        score(model, boxes, SOLUTIONS * 4, measures=("crew", "mean_log_prob", "self_certainty"))
    assert 0 < seen.largest <= rows * vocabulary


def test_modes_random_state_and_hooks_are_left_as_found(llama, boxes) -> None:
    llama.train()
    state = torch.get_rng_state()
    calls: list[tuple[int, int]] = []
    score(llama, boxes, SOLUTIONS, batch_size=2, progress=lambda *seen: calls.append(seen))
    assert llama.training
    assert torch.equal(torch.get_rng_state(), state)
    assert not llama.lm_head._forward_pre_hooks
    # Three without an answer, the longest by itself, and two of like length.
    assert calls == [(4, 6), (5, 6), (6, 6)]
    llama.eval()


def test_an_earlier_score_is_replaced_and_others_kept(llama, boxes) -> None:
    old = replace(SOLUTIONS[1], confidence={"crew": 0.9, "crew_min": 0.8, "other": 1.0})
    (one,) = score(llama, boxes, [old])
    assert one.confidence == {"other": 1.0}


def test_a_solution_longer_than_the_context_has_no_score(llama, boxes, caplog) -> None:
    (long,) = written(["so "] * 100 + ["\\boxed{", "8", "}"])
    scored = score(llama, boxes, [long, SOLUTIONS[0]])
    assert (scored[0].answer, scored[0].confidence) == ("8", {})
    assert scored[1].confidence
    assert "1 solutions exceed the model's 64 tokens" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"measures": ("krew",)}, "expected a list of some of crew, mean_log_prob"),
        ({"measures": ()}, "expected a list of some of"),
        ({"measures": "crew"}, "expected a list of some of"),
        ({"aggregate": "median"}, "aggregate='median': expected mean"),
        ({"batch_size": 0}, "batch_size=0: expected 1 or more"),
    ],
)
def test_bad_arguments_are_named(llama, boxes, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        score(llama, boxes, SOLUTIONS, **arguments)


def test_no_prompt_and_no_such_locator(llama, boxes) -> None:
    with pytest.raises(ValueError, match="solution 0 of question 'q' has no prompt"):
        score(llama, boxes, written(["x"], prompt=()))
    with pytest.raises(ConfigError, match="no answer locator"):
        score(llama, boxes, SOLUTIONS, locator="bxed")
    assert score(llama, boxes, []) == []


def test_measures_of_trajectories(llama, boxes) -> None:
    scored = score(llama, boxes, SOLUTIONS, measures=("norm_entropy", "deepconf"), batch_size=4)
    for solution, one in zip(SOLUTIONS, scored, strict=True):
        if not solution.completion_ids:
            assert one.confidence == {}
            continue
        ids = torch.tensor([solution.prompt_ids + solution.completion_ids])
        with torch.no_grad():
            every = llama(input_ids=ids).logits[0].double().log_softmax(-1)
        every = every[len(solution.prompt_ids) - 1 : -1]
        entropy = float(-(every.exp() * every).sum(-1).mean())
        log_prob = full(llama, solution)[0].mean().exp().item()
        sure = -every.topk(min(20, every.size(-1))).values.mean(-1).mean().item()
        expected = {"norm_entropy": log_prob * (1 - entropy / math.log(every.size(-1)))}
        # No completion here is as long as a window, so there is one.
        for key in ("deepconf", "deepconf_mean", "deepconf_bottom", "deepconf_tail"):
            expected[key] = sure
        assert one.confidence == pytest.approx(expected, rel=1e-4)
        (narrow,) = score(llama, boxes, [solution], measures=("deepconf",), window=1)
        least = -every.topk(min(20, every.size(-1))).values.mean(-1).max().item()
        assert narrow.confidence["deepconf"] == pytest.approx(least, rel=1e-4)
