import copy

import pytest
import torch
from transformers import GenerationConfig, MistralConfig, MistralForCausalLM

from data.solutions import sample
from data.solutions.prefix import prompts_read_once
from data.tasks import make_task
from trainers.models.tiny import TinySettings, build_tiny

TASK = make_task("sort", {"train_size": 8, "dev_size": 0, "test_size": 12})
ROWS = TASK.test


@pytest.fixture(scope="module")
def policy():
    # Random weights, made livelier: untrained logits are so small that every draw is uniform.
    model, tokenizer = build_tiny(TinySettings(warm_steps=0), TASK, seed=0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3 if parameter.ndim == 2 else 1)
    return model, tokenizer


def draw(policy, rows=ROWS, **options):
    return sample(*policy, rows, **{"max_new_tokens": 6} | options)


def test_all_solutions_in_the_order_of_the_rows(policy):
    drawn = draw(policy, samples=3, batch_size=5)
    assert [(one.question_id, one.index) for one in drawn] == [
        (row["id"], index) for row in ROWS for index in range(3)
    ]
    for one, row in zip(drawn[::3], ROWS, strict=True):
        assert policy[1].decode(one.prompt_ids) == row["prompt"]
        assert (one.gold, one.level) == (row["answer"], row["level"])


def test_log_probs_and_entropy_are_the_models_own(policy):
    model, _ = policy
    stopped = 0
    for one in draw(policy, samples=4, temperature=0.7, top_p=0.9, batch_size=48):
        stopped += one.finish == "stop"
        with torch.no_grad():
            logits = model(torch.tensor([one.prompt_ids + one.completion_ids])).logits[0]
        log_p = logits[len(one.prompt_ids) - 1 : -1].log_softmax(-1)
        chosen = log_p.gather(-1, torch.tensor(one.completion_ids)[:, None])[:, 0]
        assert one.log_probs == pytest.approx(chosen.tolist(), abs=1e-4)
        assert one.entropy == pytest.approx((-log_p.exp() * log_p).sum(-1).tolist(), abs=1e-4)
    assert stopped > 0  # rows that end before their batch does are among them


def test_finish_says_why_it_ended(policy):
    tokenizer = policy[1]
    drawn = draw(policy, samples=8, batch_size=96)
    assert {one.finish for one in drawn} == {"stop", "length"}
    for one in drawn:
        ids = one.completion_ids
        assert tokenizer.eos_token_id not in ids[:-1]
        assert (ids[-1] == tokenizer.eos_token_id) == (one.finish == "stop")
        assert one.finish == "stop" or len(ids) == 6
        assert len(ids) == len(one.log_probs) == len(one.entropy)
        assert one.text == tokenizer.decode(ids, skip_special_tokens=True)
        assert "<" not in one.text


def test_a_token_that_the_model_also_ends_with_counts(policy):
    model, tokenizer = policy
    model = copy.deepcopy(model)
    five = tokenizer.convert_tokens_to_ids("5")
    model.generation_config.eos_token_id = [tokenizer.eos_token_id, five]
    drawn = draw((model, tokenizer), samples=8, batch_size=96)
    assert any(one.completion_ids[-1] == five for one in drawn)
    assert all(five not in one.completion_ids[:-1] for one in drawn)
    assert all(one.finish == "stop" for one in drawn if one.completion_ids[-1] == five)


def test_padding_changes_nothing(policy):
    # Prompts of 4 to 7 tokens: alone, and padded to the longest of their batch.
    alone = draw(policy, greedy=True, batch_size=1)
    together = draw(policy, greedy=True, batch_size=12)
    assert [one.completion_ids for one in alone] == [one.completion_ids for one in together]
    assert [one.prompt_ids for one in alone] == [one.prompt_ids for one in together]
    for one, other in zip(alone, together, strict=True):
        assert one.log_probs == pytest.approx(other.log_probs, abs=1e-4)


def test_greedy_is_the_limit_of_low_temperature_and_of_low_top_p(policy):
    greedy = [one.completion_ids for one in draw(policy, greedy=True)]
    assert [one.completion_ids for one in draw(policy, temperature=1e-4)] == greedy
    assert [one.completion_ids for one in draw(policy, top_p=1e-4)] == greedy
    assert [one.completion_ids for one in draw(policy)] != greedy


def test_same_seed_same_samples(policy):
    assert draw(policy, samples=2, seed=1) == draw(policy, samples=2, seed=1)
    assert draw(policy, samples=2, seed=1) != draw(policy, samples=2, seed=2)


def test_a_solution_does_not_depend_on_its_neighbours(policy):
    # What several processes, other batches and an interruption lean on: seeds per solution.
    alone = [one for row in ROWS for one in draw(policy, [row], samples=3, batch_size=1)]
    together = draw(policy, samples=3, batch_size=48)
    assert [one.completion_ids for one in alone] == [one.completion_ids for one in together]
    assert len({tuple(one.completion_ids) for one in together}) > len(ROWS)


def test_solutions_of_a_question_share_the_reading_of_its_prompt(policy):
    model, _ = policy
    read = []
    handle = model.register_forward_pre_hook(
        lambda _, args, given: read.append(given["input_ids"].numel()), with_kwargs=True
    )
    try:
        shared = draw(policy, ROWS[:2], samples=8, batch_size=16)
        alone = [draw(policy, [row], samples=8, batch_size=1) for row in ROWS[:2]]
    finally:
        handle.remove()
    width = max(len(one.prompt_ids) for one in shared)
    assert read[:2] == [2 * width, 16]  # the two prompts, then their last token in 16 rows
    assert [one.completion_ids for part in alone for one in part] == [
        one.completion_ids for one in shared
    ]


def test_only_plain_keys_and_values_are_shared(policy):
    ids = torch.tensor([[3, 4, 5]] * 2 + [[3, 4, 6]])
    cache = prompts_read_once(policy[0], ids, torch.ones_like(ids))
    assert cache is not None
    assert (len(cache.layers[0].keys), cache.get_seq_length()) == (3, 2)
    assert prompts_read_once(policy[0], ids[1:], torch.ones_like(ids[1:])) is None  # none twice
    small = {"vocab_size": 8, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    small |= {"num_key_value_heads": 1, "intermediate_size": 8}
    windowed = MistralForCausalLM(MistralConfig(**small, sliding_window=2))
    assert prompts_read_once(windowed, ids, torch.ones_like(ids)) is None


def test_a_question_that_occurs_again_is_not_answered_alike_again(policy):
    drawn = draw(policy, [ROWS[0], ROWS[1], ROWS[0]], samples=4)
    assert [(one.question_id, one.index) for one in drawn] == [
        *((ROWS[0]["id"], index) for index in range(4)),
        *((ROWS[1]["id"], index) for index in range(4)),
        *((ROWS[0]["id"], index) for index in range(4, 8)),
    ]
    first, again = ([one.completion_ids for one in part] for part in (drawn[:4], drawn[8:]))
    assert first != again


def test_sampling_defaults_that_come_with_a_model_are_not_applied(policy):
    model, tokenizer = copy.deepcopy(policy[0]), policy[1]
    model.generation_config = GenerationConfig(
        top_k=1, min_p=0.9, repetition_penalty=5.0, temperature=0.01, do_sample=True
    )
    assert draw((model, tokenizer)) == draw(policy)


def test_everything_is_left_as_found(policy):
    model, _ = policy
    defaults, state = model.generation_config, torch.random.get_rng_state()
    for mode in (True, False):
        model.train(mode)
        draw(policy)
        assert model.training is mode
    assert model.generation_config is defaults
    assert torch.equal(torch.random.get_rng_state(), state)


def test_left_as_found_after_an_interruption_too(policy):
    model, _ = policy
    defaults, state = model.generation_config, torch.random.get_rng_state()

    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        draw(policy, progress=interrupt)
    assert model.generation_config is defaults
    assert torch.equal(torch.random.get_rng_state(), state)


def test_progress_counts_completions(policy):
    calls = []
    draw(policy, samples=2, batch_size=10, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(10, 24), (20, 24), (24, 24)]


def test_chat_prompts_go_through_the_template(policy):
    model, tokenizer = policy[0], copy.deepcopy(policy[1])
    tokenizer.chat_template = (
        "{% for message in messages %}{{ message['content'] }}{% endfor %}"
        "{% if add_generation_prompt %}>{% endif %}"
    )
    chat = {"prompt": [{"role": "user", "content": "42"}], "id": "c", "answer": 42}
    (one,) = draw((model, tokenizer), [chat])
    assert tokenizer.decode(one.prompt_ids) == "42>"
    assert (one.gold, one.level) == ("42", None)


def test_no_rows_no_solutions(policy):
    assert draw(policy, []) == []


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"samples": 0}, "samples=0: expected 1 or more"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"max_new_tokens": 0}, "max_new_tokens=0"),
        ({"temperature": 0.0}, "temperature=0.0: .* greedy=True"),
        ({"temperature": float("nan")}, "temperature=nan"),
        ({"top_p": 0.0}, "top_p=0.0"),
        ({"samples": 2, "greedy": True}, "samples=2 with greedy=True"),
    ],
)
def test_refuses_arguments_out_of_range(policy, options, text):
    with pytest.raises(ValueError, match=text):
        draw(policy, **options)


def test_an_empty_prompt_names_its_row(policy):
    with pytest.raises(ValueError, match="row 'e': its prompt '' has no tokens"):
        draw(policy, [{"prompt": "", "id": "e", "answer": "", "level": 0}])
