"""What `trainers/_trl.py` lists, held against the installed TRL: upgrades must fail here."""

from __future__ import annotations

import inspect
from types import MethodType

import pytest
import torch
import transformers
import trl
from trl import GRPOTrainer
from trl.trainer.utils import FusedCausalLMOutput, RepeatSampler, add_fused_lm_head

SIGNATURES = {
    "_get_train_sampler": ["self", "dataset"],
    "_generate_and_score_completions": ["self", "inputs"],
    "_calculate_rewards": ["self", "inputs", "prompts", "completions", "completion_ids_list"],
    "_generate": ["self", "prompts"],
    "_get_tool_suffix_ids": ["self", "tool_messages"],
    "_tool_call_loop": [
        *("self", "prompts", "prompt_ids", "completion_ids", "completions", "logprobs"),
        *("images", "multimodal_fields"),
    ],
    "_generate_single_turn": [
        *("self", "prompt_ids", "images", "multimodal_fields", "num_generations"),
        "has_tool_images",
    ],
    "_log_completion_extra": ["self", "column", "values"],
    "_log_metric": ["self", "name", "value"],
    "_save_checkpoint": ["self", "model", "trial"],
    "_load_optimizer_and_scheduler": ["self", "checkpoint"],
    "_compute_loss": ["self", "model", "inputs"],
    "_prepare_inputs": ["self", "generation_batch"],
}


def test_the_gradient_norm_is_asked_for_before_the_step() -> None:
    """`FiniteGuard` may drop gradients between the two."""
    trainer = transformers.Trainer
    assert list(inspect.signature(trainer._get_grad_norm).parameters) == [
        "self",
        "model",
        "grad_norm",
    ]
    source = inspect.getsource(trainer._run_epoch)
    assert source.count("self._get_grad_norm(") == source.count("self.optimizer.step()") == 1
    assert source.index("self._get_grad_norm(") < source.index("self.optimizer.step()")


def test_supervised_fine_tuning_has_what_the_guards_override() -> None:
    for name, expected in {
        "_save_checkpoint": ["self", "model", "trial"],
        "training_step": ["self", "args", "kwargs"],  # handed on to transformers
        "_get_grad_norm": ["self", "model", "grad_norm"],
    }.items():
        assert list(inspect.signature(getattr(trl.SFTTrainer, name)).parameters)[:3] == expected


def test_preference_training_has_what_crew_dpo_overrides_and_reads() -> None:
    for name, expected in {
        "_prepare_dataset": ["self", "dataset", "processing_class", "args", "dataset_name"],
        "_set_signature_columns_if_needed": ["self"],
        "_save_checkpoint": ["self", "model", "trial"],
        "compute_ref_log_probs": ["self", "model", "inputs"],
        "compute_loss": ["self", "model", "inputs", "return_outputs", "num_items_in_batch"],
    }.items():
        assert list(inspect.signature(getattr(trl.DPOTrainer, name)).parameters) == expected
    source = inspect.getsource(trl.DPOTrainer._compute_loss)
    # The policy's forward is the first, and the batch's other keys go to the model.
    assert source.index("outputs = model(") < source.index("ref_outputs = self.ref_model(")
    assert source.count("ref_outputs = ") == 2
    assert (
        '_non_model_keys = {"completion_mask", "ref_chosen_logps", "ref_rejected_logps"}' in source
    )


def test_version_is_the_pinned_one() -> None:
    assert trl.__version__.startswith("1.16.")


@pytest.mark.parametrize(("name", "parameters"), SIGNATURES.items())
def test_signature(name: str, parameters: list[str]) -> None:
    assert list(inspect.signature(getattr(GRPOTrainer, name)).parameters) == parameters


def test_prefix_preserving_takes_a_tokenizer() -> None:
    from trl.chat_template_utils import is_chat_template_prefix_preserving

    assert list(inspect.signature(is_chat_template_prefix_preserving).parameters) == [
        "processing_class"
    ]


def test_padding_takes_what_we_give() -> None:
    from trl.trainer.utils import pad

    assert list(inspect.signature(pad).parameters) == [
        "tensors",
        "padding_value",
        "padding_side",
        "pad_to_multiple_of",
    ]


def test_scoring_forward_takes_what_the_signal_pass_gives() -> None:
    from trainers._trl import IMAGE_KEYS

    parameters = list(inspect.signature(GRPOTrainer._get_per_token_logps_and_entropies).parameters)
    assert parameters[:6] == [
        "self",
        "model",
        "input_ids",
        "attention_mask",
        "logits_to_keep",
        "batch_size",
    ]
    assert set(IMAGE_KEYS) == set(parameters) - set(parameters[:6]) - {
        "compute_entropy",
        "compute_aux_loss",
    }


def test_repeat_sampler_keeps_its_arguments() -> None:
    parameters = list(inspect.signature(RepeatSampler.__init__).parameters)[1:]
    sampler = RepeatSampler(range(4), mini_repeat_count=2, batch_size=2, seed=3)
    assert all(hasattr(sampler, name) for name in parameters)


@pytest.fixture
def trainer(make_model, tokenizer, grpo_config, prompts, digit_reward):
    def build(**overrides):
        return GRPOTrainer(
            model=make_model(),
            reward_funcs=digit_reward,
            args=grpo_config(**overrides),
            train_dataset=prompts,
            processing_class=tokenizer,
        )

    return build


def rollout(trainer: GRPOTrainer, rows: int = 16) -> dict[str, torch.Tensor]:
    trainer.model.train()
    return trainer._generate_and_score_completions(
        [trainer.train_dataset[i // 4] for i in range(rows)]
    )


def test_what_replay_reads_of_a_trainer(trainer) -> None:
    part = trainer(epsilon_high=0.3, loss_type="dr_grpo", max_steps=1)
    assert (part.epsilon_low, part.epsilon_high, part.loss_type) == (0.2, 0.3, "dr_grpo")
    assert part.max_completion_length == 5
    assert list(inspect.signature(GRPOTrainer.training_step).parameters)[1:] == [
        "model",
        "inputs",
        "num_items_in_batch",
    ]
    steps = []
    original = part._compute_loss

    def look(model, inputs):
        steps.append((part._step, part.current_gradient_accumulation_steps))
        return original(model, inputs)

    part._compute_loss = look
    part.train()
    assert steps == [(0, 1)]
    assert part._step == 1


def test_what_dynamic_sampling_leans_on(trainer) -> None:
    """Logs by completion wait until the batch is scored; tools are looked up by completion."""
    part = trainer()
    waiting: list[tuple[dict, dict]] = []

    def look(completions, log_extra, log_metric, **_):
        log_extra("column", list(range(len(completions))))
        log_metric("number", 3.0)
        waiting.append((dict(part._pending_extra_logs), dict(part._pending_metrics)))
        return [0.0] * len(completions)

    part.reward_funcs = [look]
    rollout(part)
    assert waiting == [({"column": list(range(16))}, {"number": [3.0]})]
    assert not part._pending_extra_logs
    assert not part._pending_metrics
    assert list(part._logs["extra"]["column"]) == list(range(16))
    assert part.environment_factories is None
    assert not part.tools
    source = inspect.getsource(GRPOTrainer._tool_call_loop)
    assert "self._sync_tool_dicts[idx_with_tool]" in source
    assert "self._async_tool_dicts[idx_with_tool]" in source
    # Each is called once, so that one answer serves.
    source = inspect.getsource(GRPOTrainer._generate_and_score_completions)
    assert source.count("self._generate(prompts)") == 1
    assert source.count("self._calculate_rewards(") == 1


def test_what_generate_returns_and_rewards_are_called_with(trainer, prompts) -> None:
    """The first three and the images are read; the keywords are those that we call a gate with."""
    from trainers.reward_signals import call_keywords

    seen = {}

    def look(**keywords):
        seen.update(keywords)
        return [0.0] * len(keywords["completions"])

    part = trainer()
    part.reward_funcs = [look]
    generated = []
    original = part._generate
    part._generate = lambda asked: generated.append(original(asked)) or generated[0]
    rollout(part)
    (output,) = generated
    prompt_ids, completion_ids, tool_mask, *_, images, tool_images = output
    assert len(output) == 8
    assert len(prompt_ids) == len(completion_ids) == 16
    assert all(isinstance(row[-1], int) for row in (*prompt_ids, *completion_ids))
    assert tool_mask is None
    assert images is None
    assert not tool_images
    rows = [prompts[i // 4] for i in range(16)]
    assert set(call_keywords(part, rows, [], [], [])) == set(seen)
    assert part.environments is None
    assert part.pad_to_multiple_of is None
    assert part.mask_truncated_completions is False
    assert part._tokenizer.eos_token_id in part.eos_token_ids


def test_rollout_keys_and_shapes(trainer) -> None:
    output = rollout(trainer())
    assert set(output) == {
        "prompt_ids",
        "prompt_mask",
        "completion_ids",
        "completion_mask",
        "advantages",
        "num_items_in_batch",
    }
    length = output["completion_ids"].size(1)
    assert output["advantages"].shape == (16,)
    assert output["completion_mask"].shape == (16, length)
    assert output["num_items_in_batch"].dim() == 0
    assert set(rollout(trainer(num_iterations=2, beta=0.1))) - set(output) == {
        "old_per_token_logps",
        "ref_per_token_logps",
    }


def test_rewards_are_one_column_a_function(trainer) -> None:
    built = trainer()
    inputs = [built.train_dataset[0]] * 4
    matrix = built._calculate_rewards(inputs, ["1>"] * 4, ["9"] * 4, [[3]] * 4)
    assert matrix.shape == (4, 1)
    assert built.reward_func_names == ["digit"]


def test_tables_hold_the_last_generation(trainer) -> None:
    built = trainer()
    rollout(built)
    assert built._logs["prompt"].maxlen == built.args.generation_batch_size == 16
    assert len(built._logs["completion"]) == len(built._logs["advantages"]) == 16


def test_where_a_trainer_stands_is_in_the_attributes_that_a_checkpoint_holds(trainer) -> None:
    """Between steps: the counter, the rollouts, the metrics; and no generator of TRL's own."""
    from trainers._trl import COUNTERS, TABLES

    built = trainer(num_iterations=2, max_steps=1, logging_steps=5)
    built.train()
    assert {name for name in COUNTERS if hasattr(built, name)} == set(COUNTERS)
    assert built._step == 1
    assert built._entropy_window_stats is None
    assert set(TABLES) == set(built._logs) - {"images"}
    (batch,) = built._buffered_inputs
    assert list(batch) == [
        *["prompt_ids", "prompt_mask", "completion_ids", "completion_mask", "advantages"],
        *["num_items_in_batch", "old_per_token_logps"],
    ]
    assert set(built._metrics) == {"train", "eval"}
    assert built._tr_loss.shape == ()
    assert isinstance(built._total_loss_scalar, float)
    assert built._globalstep_last_logged == 0
    generators = [name for name, value in vars(built).items() if isinstance(value, torch.Generator)]
    assert generators == []


def test_the_loss_since_the_last_log_is_reset_after_the_optimiser_is_loaded() -> None:
    """So it is restored in `on_train_begin`, which follows (trainers/resume.py)."""
    source = inspect.getsource(transformers.Trainer._inner_training_loop)
    order = ["_prepare_for_training(", "self._tr_loss =", "on_train_begin(", "eval_on_start"]
    places = [source.index(text) for text in order]
    assert places == sorted(places)
    assert "_load_optimizer_and_scheduler(" in inspect.getsource(
        transformers.Trainer._prepare_for_training
    )


def test_hugging_face_loads_its_own_files_without_running_code() -> None:
    source = "".join(
        inspect.getsource(getattr(transformers.Trainer, name))
        for name in ("_load_rng_state", "_load_optimizer_and_scheduler", "_load_from_checkpoint")
    )
    assert "weights_only=False" not in source
    assert source.count("torch.load(") == source.count("weights_only=True")


@pytest.mark.parametrize("loss_type", ["dapo", "grpo", "dr_grpo", "bnpo", "cispo", "sapo"])
def test_loss_takes_one_advantage_per_token(trainer, loss_type: str) -> None:
    """(B, T) advantages that repeat (B,) give the same loss; other values another one."""
    built = trainer(loss_type=loss_type)
    built.current_gradient_accumulation_steps = 1  # what the training loop sets
    output = rollout(built)
    repeated = output["advantages"][:, None].expand_as(output["completion_mask"]).clone()
    losses = []
    for advantages in (output["advantages"], repeated, repeated * torch.arange(repeated.size(1))):
        built._metrics["train"].clear()
        losses.append(built._compute_loss(built.model, {**output, "advantages": advantages}))
    assert torch.equal(losses[0], losses[1])
    assert not torch.equal(losses[0], losses[2])


@pytest.mark.parametrize(
    ("config", "overrides"),
    [
        ("LlamaConfig", {}),
        ("Gemma2Config", {"final_logit_softcapping": 3.0, "head_dim": 8}),
        ("GraniteConfig", {"logits_scaling": 4.0}),
        ("CohereConfig", {"logit_scale": 0.25}),
    ],
)
def test_head_scaling_is_that_of_the_fused_head(config: str, overrides: dict[str, float]) -> None:
    """Our log-probs from hidden states are TRL's, so certainty and chosen logit see its logits."""
    from rewards.confidence import head_scaling, head_signals

    torch.manual_seed(0)
    settings = {
        "vocab_size": 16,
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "pad_token_id": 0,
    }
    model = transformers.AutoModelForCausalLM.from_config(
        getattr(transformers, config)(**settings | overrides)
    )
    model.get_output_embeddings().weight.data.mul_(20)  # so that a cap and a scale can be seen
    ids = torch.randint(1, 16, (3, 6))
    scale, softcap = head_scaling(model.config)
    with torch.no_grad():
        hidden = model.base_model(input_ids=ids).last_hidden_state[:, :-1]
        logits = model(input_ids=ids).logits[:, :-1]
    head = model.get_output_embeddings()
    signals = head_signals(
        hidden.reshape(-1, 32),
        head.weight,
        getattr(head, "bias", None),
        ids[:, 1:].reshape(-1),
        temperature=0.7,
        logit_scale=scale,
        softcap=softcap,
    )
    chosen = logits.gather(-1, ids[:, 1:, None]).reshape(-1)
    torch.testing.assert_close(signals.chosen_logit, chosen, atol=1e-5, rtol=1e-5)
    add_fused_lm_head(model, temperature=0.7, outputs=("log_probs", "entropy"))
    with torch.no_grad():
        fused = model(input_ids=ids, labels=ids, fused_lm_head=True)
    assert isinstance(fused, FusedCausalLMOutput)
    assert isinstance(model.forward, MethodType)
    torch.testing.assert_close(signals.log_prob, fused.log_probs.reshape(-1), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("rewards", "expected"),
    [
        (
            [1, 1, 0.5, 0.2, 0, 1, 0.5, 0.2],
            [1.1052, 1.1052, -0.1228, -0.8596, -1.3508, 1.1052, -0.1228, -0.8596],
        ),
        # All wrong but one with partial credit: the group still teaches.
        ([0.2, 0.2, 0.5, *[0.2] * 5], [-0.3532, -0.3532, 2.4725, *[-0.3532] * 5]),
    ],
)
def test_group_advantages_are_stars_up_to_the_divisors_eps(
    make_model, tokenizer, grpo_config, prompts, rewards, expected
) -> None:
    built = GRPOTrainer(
        model=make_model(),
        reward_funcs=lambda completions, **_: rewards,
        args=grpo_config(num_generations=8, per_device_train_batch_size=8, scale_rewards="group"),
        train_dataset=prompts,
        processing_class=tokenizer,
    )
    built.model.train()
    output = built._generate_and_score_completions([prompts[0]] * 8)
    assert output["advantages"].tolist() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("advantage", "ratio", "loss"),
    [
        (1, 1.5, -1.28),
        (1, 0.5, -0.5),
        (-1, 0.5, 0.8),
        (-1, 1.5, 1.5),
        (-1, 20, 10),
        (2, 1.28, -2.56),
        (-2, 0.79, 1.6),
    ],
)
def test_delta_is_the_dual_clip(trainer, advantage: float, ratio: float, loss: float) -> None:
    """STaR: of a token with a negative advantage at most c |A| counts, c = delta = 10."""
    built = trainer(loss_type="dapo", epsilon=0.2, epsilon_high=0.28, delta=10.0)
    built.model.train()
    built.current_gradient_accumulation_steps = 1
    ids = torch.tensor([[5, 6]])
    ones = torch.ones_like(ids)
    log_probs, *_ = built._get_per_token_logps_and_entropies(built.model, ids, ones, 1)
    batch = {
        "prompt_ids": ids[:, :1],
        "prompt_mask": ones[:, :1],
        "completion_ids": ids[:, 1:],
        "completion_mask": ones[:, 1:],
        "advantages": torch.tensor([float(advantage)]),
        "old_per_token_logps": log_probs.detach() - torch.tensor(float(ratio)).log(),
        "num_items_in_batch": torch.tensor(1.0),
    }
    assert built._compute_loss(built.model, batch).item() == pytest.approx(loss, rel=1e-4)


def test_a_round_is_planned_before_its_loader_begins() -> None:
    """`CurriculumCallback` plans when an epoch begins; the sampler is asked after that."""
    source = inspect.getsource(transformers.Trainer._inner_training_loop)
    assert source.index(".on_epoch_begin(") < source.index("self._run_epoch(")
    epoch = inspect.getsource(transformers.Trainer._run_epoch)
    assert epoch.index(".set_epoch(epoch)") < epoch.index("iter(train_dataloader)")
