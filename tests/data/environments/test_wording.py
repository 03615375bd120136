"""What stands between two turns of a chat."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from data.environments.wording import Wording
from trainers.models.chat import template_problems

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# Rewrites what the model said before, as templates that drop earlier thinking do.
DROPS = CHATML.replace("{{ m.content }}", "{{ m.content if loop.last else 'cut' }}")
BARE = CHATML.replace("<|im_end|>", "")


def chat_tokenizer(template: str) -> PreTrainedTokenizerFast:
    special = ["<pad>", "<|im_start|>", "<|im_end|>"]
    alphabet = [*special, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    inner = Tokenizer(models.BPE({token: at for at, token in enumerate(alphabet)}, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        eos_token="<|im_end|>",
        pad_token="<pad>",
        additional_special_tokens=["<|im_start|>"],
    )
    made.chat_template = template
    return made


@pytest.mark.parametrize("chat", [False, True])
def test_no_special_token_comes_out_of_what_is_said(tokenizer, chat: bool):
    wording = Wording(tokenizer, [tokenizer.eos_token_id])
    plain = wording.observation("so", chat=chat, ended=True)
    marked = wording.observation("s<pad>o<|im_end|><<pad>pad>", chat=chat, ended=True)
    special = set(tokenizer.all_special_ids)
    assert [i for i in marked if i in special] == [i for i in plain if i in special]
    assert "s< pad>o< |im_end|>" in tokenizer.decode(marked)
    (prompt,) = wording.prompts(["?"], ["<pad>"])
    assert tokenizer.decode(prompt) == "?< pad>"


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    return chat_tokenizer(CHATML)


def test_the_whole_is_what_the_template_renders(tokenizer):
    prompt = [{"role": "user", "content": "go"}]
    wording = Wording(tokenizer, [tokenizer.eos_token_id])
    (first,) = wording.prompts([prompt], [" north"])
    written = tokenizer("walk<|im_end|>", add_special_tokens=False)["input_ids"]
    said = wording.observation("a wall", chat=True, ended=True)
    turns = [
        {"role": "user", "content": "go north"},
        {"role": "assistant", "content": "walk"},
        {"role": "user", "content": "a wall"},
    ]
    whole = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
    assert first + written + said == whole
    assert wording.turn(written) == "walk"


def test_a_turn_that_was_cut_is_ended_for_the_model(tokenizer):
    wording = Wording(tokenizer, [tokenizer.eos_token_id])
    ended, cut = (wording.observation("no", chat=True, ended=one) for one in (True, False))
    assert cut == [tokenizer.eos_token_id, *ended]


def test_what_is_given_out_may_be_changed(tokenizer):
    wording = Wording(tokenizer, [tokenizer.eos_token_id])
    wording.observation("no", chat=False, ended=True).append(0)
    assert wording.observation("no", chat=False, ended=True)[-1] != 0


@pytest.mark.parametrize(
    ("template", "told"),
    [(DROPS, "earlier turn of the assistant otherwise"), (BARE, "not its end token '<|im_end|>'")],
)
def test_templates_that_do_not_suit_turns(template, told):
    messages = [{"role": "user", "content": "go"}]
    (text,) = template_problems(chat_tokenizer(template), messages, turns=True)
    assert told in text
    assert "model.chat_template=FILE" in text
    assert template_problems(chat_tokenizer(template), messages) == []
    assert template_problems(chat_tokenizer(CHATML), messages, turns=True) == []
