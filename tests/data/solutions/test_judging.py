"""The measures: against full logits, whatever the batch; what a judge writes; hostile solutions."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from data.solutions import from_texts, judging
from data.solutions.judging import (
    JUDGE_PROMPT,
    MEASURES,
    VERIFIER_PROMPT,
    JudgeSettings,
    fill,
    judge_solutions,
    random_score,
    read_points,
    yes_and_no,
)
from rewards.errors import ConfigError

WORDS = ["<pad>", "<eos>", "<unk>", "Yes", "No", "yes", "\\boxed", "{", "}", *"0123456789", "is"]
PROMPTS = JudgeSettings(verifier_prompt="{problem} is {solution} Yes No", batch_size=2)
TEXTS = [r"is \boxed { 4 }", r"\boxed { 1 2 } is", "is 4 4 4"]


@pytest.fixture(scope="module")
def words() -> Any:
    core = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    )


@pytest.fixture(scope="module")
def llama() -> Any:
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(WORDS),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=64,
            tie_word_embeddings=True,
            pad_token_id=0,
            eos_token_id=1,
        )
    )
    with torch.no_grad():  # so that probabilities are far from uniform
        model.model.embed_tokens.weight.mul_(8)
    return model


def solutions(words, texts=TEXTS, prompt="is 2 "):
    return from_texts(words, {"id": "q", "prompt": prompt, "answer": "4"}, texts)


def test_verifier_and_perplexity_agree_with_full_logits(words, llama):
    found = judge_solutions(
        llama,
        words,
        solutions(words),
        {"q": "2 2"},
        measures=["perplexity", "verifier", "self_certainty"],
        settings=PROMPTS,
    )
    for one in found:
        with torch.no_grad():
            ids = torch.tensor([one.prompt_ids + one.completion_ids])
            logits = llama(ids).logits[0].double()
            places = range(len(one.prompt_ids) - 1, ids.shape[1] - 1)
            own = [logits[at].log_softmax(-1)[ids[0, at + 1]].item() for at in places]
            prompt = words(f"2 2 is {one.text} Yes No", return_tensors="pt").input_ids
            next_p = llama(prompt).logits[0, -1].double().softmax(-1)
        assert one.confidence["perplexity"] == pytest.approx(
            math.exp(sum(own) / len(own)), rel=1e-4
        )
        yes, no = (
            next_p[[WORDS.index(w) for w in them]].sum() for them in (["Yes", "yes"], ["No"])
        )
        assert one.confidence["verifier"] == pytest.approx((yes / (yes + no)).item(), rel=1e-4)
        assert "crew" not in one.confidence
    assert [one.answer for one in found] == ["4", "12", None]


def test_scores_do_not_depend_on_the_batch(words, llama):
    names = ["crew", "perplexity", "verifier"]
    whole = solutions(words)
    settings = replace(PROMPTS, batch_size=8)
    together = judge_solutions(llama, words, whole, {"q": "2"}, measures=names, settings=settings)
    alone = [
        judge_solutions(llama, words, [one], {"q": "2"}, measures=names, settings=settings)[0]
        for one in whole
    ]
    for one, other in zip(together, alone, strict=True):
        assert one.confidence == pytest.approx(other.confidence, rel=1e-4)


def test_hostile_solutions_have_a_defined_result(words, llama):
    texts = ["", r"\boxed", r"\boxed { 4", r"\boxed { }", r"\boxed { \boxed { 7 } }"]
    texts += ["4 " * 50_000, r"\boxed { 4 } 5 {problem} {solution}", "\x00\ud800 \u202e"]
    names = [name for name in MEASURES if name != "judge"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(words, "model_max_length", 10**9)
        found = judge_solutions(
            llama,
            words,
            solutions(words, texts[:-1]),
            {"q": "{solution}"},
            measures=names,
            settings=PROMPTS,
        )
    assert [one.answer for one in found] == [None, None, None, None, "7", None, "4"]
    long = 5
    for at, one in enumerate(found):
        assert ("crew" in one.confidence) == (one.answer is not None)
        expected = {"random"} if at == long else set(names) - {"crew"}
        assert expected <= set(one.confidence)
        assert not {"perplexity", "verifier"} & set(one.confidence) or at != long
        assert all(math.isfinite(value) for value in one.confidence.values())


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ("Good. Score: 4", 4),
        ("Score: 1\nNo, wait.\n**Score:** 3", 3),
        ("score: <5>", 5),
        ("Score: 4/5", 4),
        ("Score: **2** out of 5", 2),
        ("Score: 3.5", 3.5),
        ("Score: 5.", 5),
        ("Score: 0", None),
        ("Score: 10", None),
        ("Score: 45", None),
        ("Score: four", None),
        ("I give it 4 points", None),
        ("Score:", None),
        ("", None),
        ("Score: " + "9" * 10_000, None),
    ],
)
def test_points_of_a_judge(text, points):
    assert read_points(text) == points


def test_a_judge_without_a_score_is_missing(words, llama, monkeypatch):
    said = iter(["Score: 4", "no idea", "Score: 9"])
    asked = []

    def write(model, tokenizer, rows, **options):
        asked.extend(row["prompt"] for row in rows)
        assert options["greedy"]
        return [SimpleNamespace(text=next(said)) for _ in rows]

    monkeypatch.setattr(judging, "sample", write)
    them = [replace(one, confidence={"judge": 1.0}) for one in solutions(words)]
    settings = JudgeSettings(judge_prompt="{problem} {solution}", max_new_tokens=8)
    found = judge_solutions(
        llama, words, them, {"q": "{solution}"}, measures=["judge"], settings=settings
    )
    assert [one.confidence for one in found] == [{"judge": 4.0}, {}, {}]
    assert asked[0] == "{solution} " + TEXTS[0] + "\n"  # filled once, not again


def test_a_judge_writes(words, llama):
    """The real way through `generate`; a random model gives no score."""
    found = judge_solutions(
        llama,
        words,
        solutions(words),
        {"q": "2"},
        measures=["judge"],
        settings=JudgeSettings(judge_prompt="{problem} {solution}", max_new_tokens=3),
    )
    assert [one.confidence for one in found] == [{}, {}, {}]


def test_prompts_have_both_fields_once():
    for prompt in (JUDGE_PROMPT, VERIFIER_PROMPT):
        assert prompt.count("{problem}") == prompt.count("{solution}") == 1
    assert fill("{problem}-{solution}", "{solution}", "{problem}") == "{solution}-{problem}"


def test_random_is_seeded_and_each_solution_has_its_own(words):
    them = solutions(words)
    values = [random_score(one, 0) for one in them]
    assert values == [random_score(one, 0) for one in them]
    assert len({*values, random_score(them[0], 1)}) == 4
    assert all(0 <= value < 1 for value in values)


def test_yes_and_no(words, tokenizer):
    assert yes_and_no(words) == ([3, 5], [4])
    with pytest.raises(ConfigError, match="no tokens that tell Yes from No"):
        yes_and_no(tokenizer)  # knows digits only


def test_names_of_measures(words, llama):
    with pytest.raises(ConfigError, match="Did you mean 'verifier'"):
        judge_solutions(llama, words, [], {}, measures=["verifyer"])
    with pytest.raises(ConfigError, match="no measure is asked for"):
        judge_solutions(llama, words, [], {}, measures=[])
    assert judge_solutions(llama, words, [], {}, measures=list(MEASURES), settings=PROMPTS) == []
