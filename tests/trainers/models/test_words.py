import pytest
from transformers import AutoTokenizer

from data.tasks import Task
from data.words import words_of
from rewards.errors import ConfigError
from trainers.models.tiny import tiny_tokenizer
from trainers.models.words import word_tokenizer

TEXT = "\nCommands: take Henderson's type-H key; look\n> "
WORDS = sorted(set(words_of(TEXT)))


def test_words_marks_and_ends_of_lines():
    assert words_of(TEXT) == [
        "\n", "commands", ":", "take", "henderson's", "type-h", "key", ";", "look", "\n", ">",
    ]  # fmt: skip


def test_tokens_are_those_words_and_read_back_with_spaces(tmp_path):
    tokenizer = word_tokenizer(WORDS)
    ids = tokenizer(TEXT)["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids) == words_of(TEXT)
    assert tokenizer.decode(ids[3:7]) == "take henderson's type-h key"
    ended = [*ids[8:9], tokenizer.eos_token_id]
    assert tokenizer.decode(ended, skip_special_tokens=True) == "look"

    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded(TEXT)["input_ids"] == ids
    assert loaded.decode(ids[3:7]) == "take henderson's type-h key"
    assert (loaded.padding_side, len(loaded)) == ("left", len(WORDS) + 4)


def test_an_unknown_word_is_read_as_one():
    tokenizer = word_tokenizer(WORDS)
    assert tokenizer.convert_ids_to_tokens(tokenizer("look  north")["input_ids"]) == [
        "look",
        "<unk>",
    ]


@pytest.mark.parametrize("words", [[], ["a", "a"]])
def test_refuses_words_that_are_none(words):
    with pytest.raises(ConfigError, match="expected one or more different words"):
        word_tokenizer(words)


def test_a_tiny_model_reads_the_words_of_a_task_without_an_alphabet():
    task = Task("t", [], [], [], ("exact",), 8, words=("go", "look"))
    assert tiny_tokenizer(task)("look go")["input_ids"] == [5, 4]
