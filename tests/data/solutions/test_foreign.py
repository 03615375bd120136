"""Texts from elsewhere become solutions: prompt and text tokenised as one string."""

from __future__ import annotations

from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from data.prompts import prompt_ids
from data.solutions import from_texts
from rewards.spans import AnswerFinder

TEMPLATE = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture(scope="module")
def letters() -> Any:
    """One token a byte, `ab` merged, a beginning and an end of sequence of its own."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = ["<bos>", "<eos>", "<user>", "<assistant>", *alphabet, "ab"]
    core = Tokenizer(models.BPE({t: i for i, t in enumerate(tokens)}, [("a", "b")]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    core.post_processor = processors.TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[("<bos>", 0), ("<eos>", 1)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<bos>", eos_token="<eos>", chat_template=TEMPLATE
    )
    tokenizer.add_special_tokens({"extra_special_tokens": ["<user>", "<assistant>"]})
    return tokenizer


def ending_in_eos(tokenizer: Any) -> Any:
    """The same without the end of sequence that its post-processor appends to prompts."""
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", 0)]
    )
    return tokenizer


@pytest.mark.parametrize("prompt", ["2+2=", [{"role": "user", "content": "2+2="}]])
def test_prompt_and_text_make_up_the_tokens(letters, prompt: Any) -> None:
    tokenizer = ending_in_eos(letters)
    row = {"id": 7, "prompt": prompt, "answer": 4, "level": 2}
    texts = [r"so \boxed{4}", "", "é\n"]
    solutions = from_texts(tokenizer, row, texts, first_index=3)
    (wanted,) = prompt_ids(tokenizer, [prompt])
    for index, (text, one) in enumerate(zip(texts, solutions, strict=True), start=3):
        assert (one.question_id, one.index, one.gold, one.level) == ("7", index, "4", 2)
        assert (one.text, one.finish, one.prompt_ids) == (text, "stop", wanted)
        assert tokenizer.decode(one.completion_ids) == f"{text}<eos>"
        assert one.completion_ids.count(tokenizer.eos_token_id) == 1
    found = AnswerFinder(tokenizer)(solutions[0].completion_ids)
    assert found is not None
    assert found.text == "4"


def test_a_text_that_merges_with_the_prompt_is_refused(letters) -> None:
    tokenizer = ending_in_eos(letters)
    with pytest.raises(ValueError, match=r"row 'x', solution 1: .* because 'b' merges"):
        from_texts(tokenizer, {"id": "x", "prompt": "a"}, ["c", "b"])


def test_a_tokenizer_without_offsets_is_refused(letters, monkeypatch) -> None:
    monkeypatch.setattr(type(letters), "is_fast", False)
    with pytest.raises(ValueError, match="does not tell which characters a token stands for"):
        from_texts(letters, {"id": "x", "prompt": "a"}, ["c"])
