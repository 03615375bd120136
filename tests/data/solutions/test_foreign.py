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


def beginning_and_end(single: str) -> Any:
    special = [("<bos>", 0), ("<eos>", 1)]
    return processors.TemplateProcessing(single=single, special_tokens=special)


@pytest.fixture(scope="module")
def letters() -> Any:
    """One token a byte, `ab` merged; texts begin with `<bos>`."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = ["<bos>", "<eos>", "<user>", "<assistant>", *alphabet, "ab"]
    core = Tokenizer(models.BPE({t: i for i, t in enumerate(tokens)}, [("a", "b")]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    core.post_processor = beginning_and_end("<bos> $A")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<bos>", eos_token="<eos>", chat_template=TEMPLATE
    )
    tokenizer.add_special_tokens({"extra_special_tokens": ["<user>", "<assistant>"]})
    return tokenizer


@pytest.mark.parametrize("prompt", ["2+2=", [{"role": "user", "content": "2+2="}]])
def test_prompt_and_text_make_up_the_tokens(letters, prompt: Any) -> None:
    row = {"id": 7, "prompt": prompt, "answer": 4, "level": 2}
    texts = [r"so \boxed{4}", "", "é\n"]
    solutions = from_texts(letters, row, texts, first_index=3)
    (wanted,) = prompt_ids(letters, [prompt])
    for index, (text, one) in enumerate(zip(texts, solutions, strict=True), start=3):
        assert (one.question_id, one.index, one.gold, one.level) == ("7", index, "4", 2)
        assert (one.text, one.finish, one.prompt_ids) == (text, "stop", wanted)
        assert letters.decode(one.completion_ids) == f"{text}<eos>"
        assert one.completion_ids.count(letters.eos_token_id) == 1
    found = AnswerFinder(letters)(solutions[0].completion_ids)
    assert found is not None
    assert found.text == "4"


def test_a_text_that_merges_with_the_prompt_is_refused(letters) -> None:
    with pytest.raises(ValueError, match=r"row 'x', solution 1: .* because 'b' merges"):
        from_texts(letters, {"id": "x", "prompt": "a"}, ["c", "b"])


def test_a_tokenizer_that_ends_every_text_is_refused(letters) -> None:
    core = letters.backend_tokenizer
    core.post_processor = beginning_and_end("<bos> $A <eos>")
    try:
        with pytest.raises(ValueError, match="ends every text with a token of its own"):
            from_texts(letters, {"id": "x", "prompt": "a"}, ["c"])
    finally:
        core.post_processor = beginning_and_end("<bos> $A")
