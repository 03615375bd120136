import json
import logging

import pytest
import torch

from data.tasks import make_task
from rewards.errors import ConfigError
from trainers.models import load
from trainers.models.load import load_policy
from trainers.models.tiny import TinySettings, build_tiny

TASK = make_task("sort", {"levels": [3], "train_size": 8, "dev_size": 0, "test_size": 8})


@pytest.fixture
def folder(tmp_path):
    settings = TinySettings(hidden=16, layers=1, heads=2, intermediate=32, warm_steps=0)
    for part in build_tiny(settings, TASK, 0):
        part.save_pretrained(tmp_path / "policy")
    return tmp_path / "policy"


def edit(path, **changes):
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))


def test_a_folder(folder):
    model, tokenizer = load_policy(folder)
    assert model.dtype == torch.float32  # "auto": as it was saved
    assert tokenizer("12>")["input_ids"] == [4, 5, 13]
    assert tokenizer.padding_side == "left"


def test_home_is_expanded(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    assert load_policy("~/policy")[0].num_parameters() > 0


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_dtype(folder, name):
    assert load_policy(folder, dtype=name)[0].dtype == getattr(torch, name)


def test_dtype_auto_keeps_half_precision(folder, tmp_path):
    model, tokenizer = load_policy(folder, dtype="bfloat16")
    model.save_pretrained(tmp_path / "half")
    tokenizer.save_pretrained(tmp_path / "half")
    assert load_policy(tmp_path / "half")[0].dtype == torch.bfloat16


def test_attention_is_passed_on(folder):
    model, _ = load_policy(folder, attn_implementation="eager")
    assert model.config._attn_implementation == "eager"


def test_a_tokenizer_that_pads_on_the_right_is_turned(folder):
    edit(folder / "tokenizer_config.json", padding_side="right")
    assert load_policy(folder)[1].padding_side == "left"


def test_a_missing_padding_token_is_the_end_of_sequence_and_said(folder, caplog):
    edit(folder / "tokenizer_config.json", pad_token=None)
    with caplog.at_level(logging.WARNING):
        _, tokenizer = load_policy(folder)
    assert tokenizer.pad_token == "<eos>"
    assert "has no padding token; padding with its end-of-sequence token '<eos>'" in caplog.text


def test_a_padding_token_of_its_own_is_left_alone_and_nothing_said(folder, caplog):
    with caplog.at_level(logging.WARNING):
        assert load_policy(folder)[1].pad_token == "<pad>"
    assert caplog.text == ""


def test_a_tokenizer_without_an_end_is_refused(folder):
    edit(folder / "tokenizer_config.json", pad_token=None, eos_token=None)
    with pytest.raises(ConfigError, match="has no end-of-sequence token"):
        load_policy(folder)


def test_a_chat_template_of_ones_own(folder, tmp_path):
    source = load.resolve(folder)
    (tmp_path / "own.jinja").write_text("{{ messages[0]['content'] }}>")
    tokenizer = load.load_tokenizer(source, chat_template=tmp_path / "own.jinja")
    rendered = tokenizer.apply_chat_template([{"role": "user", "content": "12"}], tokenize=False)
    assert rendered == "12>"
    with pytest.raises(ConfigError, match=r"model\.chat_template=.*none\.jinja cannot be read"):
        load.load_tokenizer(source, chat_template=tmp_path / "none.jinja")


def test_a_tokenizer_of_another_model(folder):
    edit(folder / "config.json", vocab_size=9)
    with pytest.raises(ConfigError, match=r"tokenizer has \d+ tokens and the model 9 embeddings"):
        load_policy(folder)


def test_an_adapter_loads_onto_its_base(folder, tmp_path):
    from peft import LoraConfig, get_peft_model

    model, tokenizer = load_policy(folder)
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"]))
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:  # zero at first: the adapter would change nothing
            torch.nn.init.ones_(parameter)
    ids = torch.tensor([tokenizer("12>")["input_ids"]])
    expected = adapted(ids).logits
    adapted.save_pretrained(tmp_path / "adapter")
    tokenizer.save_pretrained(tmp_path / "adapter")
    loaded, _ = load_policy(tmp_path / "adapter")
    torch.testing.assert_close(loaded(ids).logits, expected)
    assert not torch.allclose(load_policy(folder)[0](ids).logits, expected)


@pytest.mark.parametrize("path", ["/no/such/folder", "./nowhere", "~/nowhere", "runs/a/b/model"])
def test_a_path_that_is_not_there(path):
    with pytest.raises(
        ConfigError, match=r"does not exist.*Expected a folder with config\.json, a \.gguf"
    ):
        load_policy(path)


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "model.bin").touch()
    with pytest.raises(ConfigError, match="is a file"):
        load_policy(tmp_path / "model.bin")


def test_a_folder_without_a_model_says_what_it_holds(tmp_path):
    (tmp_path / "metrics.jsonl").touch()
    with pytest.raises(ConfigError, match=r"It holds metrics\.jsonl; expected config\.json"):
        load_policy(tmp_path)


def test_weights_cut_off_in_a_copy(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(ConfigError, match="no model and tokenizer could be loaded from this"):
        load_policy(folder)


def test_a_hub_id_that_cannot_be_had_says_what_to_do(monkeypatch):
    def offline(*args, **kwargs):
        raise OSError("couldn't connect")

    monkeypatch.setattr(load.AutoTokenizer, "from_pretrained", offline)
    with pytest.raises(ConfigError) as error:
        load_policy("Qwen/Qwen2.5-0.5B", revision="main")
    text = str(error.value)
    assert "there is no folder of this name here" in text
    assert "at revision main" in text
    assert "hf download Qwen/Qwen2.5-0.5B" in text
    assert "transformers says: couldn't connect" in text


def test_what_is_not_about_the_connection_does_not_speak_of_it(monkeypatch):
    def refuse(*args, **kwargs):
        raise ImportError("FlashAttention2 is not installed")

    monkeypatch.setattr(load.AutoTokenizer, "from_pretrained", refuse)
    with pytest.raises(ConfigError) as error:
        load_policy("Qwen/Qwen2.5-0.5B", attn_implementation="flash_attention_2")
    assert "offline" not in str(error.value)
    assert "FlashAttention2 is not installed" in str(error.value)


def test_settings_reach_transformers(monkeypatch):
    seen = {}

    def spy(source, **settings):
        seen.update(settings, source=source)
        raise OSError

    monkeypatch.setattr(load.AutoTokenizer, "from_pretrained", spy)
    with pytest.raises(ConfigError):
        load_policy("owner/name", revision="v2", trust_remote_code=True)
    assert seen == {
        "source": "owner/name",
        "revision": "v2",
        "trust_remote_code": True,
        "padding_side": "left",
    }


def test_unknown_dtype():
    with pytest.raises(ConfigError, match="dtype='fp16': expected auto, float32, bfloat16"):
        load_policy("owner/name", dtype="fp16")  # type: ignore[arg-type]  # the mistake to catch
