import pytest

from rewards.errors import ConfigError
from trainers.models.characters import character_tokenizer


def test_one_token_per_character_and_back():
    tokenizer = character_tokenizer("0123456789>")
    assert tokenizer("7396>")["input_ids"] == [10, 6, 12, 9, 13]  # digit d is 3 + d, ">" is 13
    assert tokenizer.decode([12, 10, 9, 6]) == "9763"
    assert len(tokenizer) == 14


def test_special_tokens_are_left_out_of_the_text_on_request():
    tokenizer = character_tokenizer("0123456789>")
    ids = [tokenizer.pad_token_id, tokenizer.bos_token_id, 12, 10, tokenizer.eos_token_id]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "97"
    assert tokenizer.batch_decode([ids, ids], skip_special_tokens=True) == ["97", "97"]
    assert tokenizer.decode(ids) == "<pad><bos>97<eos>"


def test_pads_on_the_left():
    tokenizer = character_tokenizer("0123456789>")
    batch = tokenizer(["1>", "234>"], padding=True)
    assert batch["input_ids"] == [[0, 0, 4, 13], [5, 6, 7, 13]]
    assert batch["attention_mask"] == [[0, 0, 1, 1], [1, 1, 1, 1]]


def test_spaces_and_line_breaks_are_characters_too():
    tokenizer = character_tokenizer("a \n.")
    assert tokenizer.decode(tokenizer("a .\n a")["input_ids"]) == "a .\n a"


def test_a_character_outside_the_alphabet_is_an_error():
    with pytest.raises(Exception, match="vocabulary"):
        character_tokenizer("0123456789>")("7x>")


@pytest.mark.parametrize("alphabet", ["", "11"])
def test_refuses_an_alphabet_that_is_none(alphabet):
    with pytest.raises(ConfigError, match="expected one or more different characters"):
        character_tokenizer(alphabet)


def test_saved_and_loaded_it_is_the_same(tmp_path):
    from transformers import AutoTokenizer

    character_tokenizer("0123456789>").save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded("7396>")["input_ids"] == [10, 6, 12, 9, 13]
    assert loaded.decode([12, 10, 9, 6, 2], skip_special_tokens=True) == "9763"
    assert loaded.padding_side == "left"
