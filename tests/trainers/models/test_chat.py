"""A chat template that does not suit the run is refused with what to type."""

import copy

import pytest
from trl.chat_template_utils import qwen3_chat_template

from trainers.models.chat import template_problems

ASKED = [{"role": "user", "content": "hi"}]
CHATML = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<eos>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
# Opens a thought at generation and leaves none where an answer stands (as DeepSeek-R1's does).
THINKING = CHATML.replace("<|assistant|>{% endif %}", "<|assistant|><think>{% endif %}")
NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}x"


@pytest.fixture
def templated(tokenizer):
    """`templated(text)`: the tokenizer with this template."""

    def make(template):
        made = copy.deepcopy(tokenizer)
        made.chat_template = template
        made.name_or_path = "some/model"
        return made

    return make


def test_text_needs_no_template(templated):
    assert template_problems(templated(None), "12>", demonstrations=True) == []


def test_chat_without_a_template(templated):
    (text,) = template_problems(templated(None), ASKED)
    assert "the tokenizer of some/model has no chat template" in text
    assert "task.chat=false" in text
    assert "model.chat_template=FILE" in text


@pytest.mark.parametrize("demonstrations", [False, True])
def test_a_template_that_suits(templated, demonstrations):
    assert template_problems(templated(CHATML), ASKED, demonstrations=demonstrations) == []


def test_a_template_that_is_not_prefix_preserving_matters_where_answers_are_learnt(templated):
    assert template_problems(templated(THINKING), ASKED) == []
    (text,) = template_problems(templated(THINKING), ASKED, demonstrations=True)
    assert "not prefix-preserving: it ends a prompt with '<think>', and puts '42<eos>'" in text
    assert "demonstrations.path=FILE" in text


def test_messages_that_the_template_refuses(templated):
    with_system = [{"role": "system", "content": "be brief"}, *ASKED]
    (text,) = template_problems(templated(NO_SYSTEM), with_system)
    assert "refuses the task's messages (system, user): no system" in text
    assert "task.system=null" in text


def test_tools_need_a_template_that_renders_them(templated):
    (text,) = template_problems(templated(CHATML), ASKED, tools=True)
    assert "renders no tool calls or results" in text


def test_tools_with_a_family_that_trl_knows(templated):
    assert template_problems(templated(qwen3_chat_template), ASKED, tools=True) == []


def test_tools_with_an_unknown_template_that_is_not_prefix_preserving(templated):
    template = qwen3_chat_template + " "  # not TRL's text any more, so it has no answer to it
    (text,) = template_problems(templated(template), ASKED, tools=True)
    assert "nobody knows how the model of some/model writes a tool call" in text
    tokenizer = templated(template)
    tokenizer.response_template = {"of": "its own"}
    (text,) = template_problems(tokenizer, ASKED, tools=True)
    assert "TRL has no training template for it" in text
