"""A registered reward is a TRL reward function: one step of TRL's own trainer with three."""

from collections.abc import Callable
from typing import Any

import pytest

from rewards import get
from rewards.function import REWARDS, reward


@pytest.mark.parametrize("chat", [False, True])
def test_one_step_of_the_plain_grpo_trainer(
    chat: bool,
    tokenizer: Any,
    make_model: Callable[..., Any],
    grpo_config: Callable[..., Any],
) -> None:
    from datasets import Dataset
    from trl import GRPOTrainer

    @reward("trl_parts", range=(0.0, 1.0))
    def trl_parts(completions, log_part):
        assert all(isinstance(text, str) for text in completions)
        log_part("form", [0.25] * len(completions))
        return [1.0] * len(completions)

    @reward("trl_async")
    async def trl_async(completions, answer):
        return [None if gold == "1" else 0.5 for gold in answer]

    if chat:
        tokenizer.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    prompts = ["12>", "34>"]
    rows = [[{"role": "user", "content": p}] for p in prompts] if chat else prompts
    try:
        trainer = GRPOTrainer(
            make_model(),
            reward_funcs=[get("exact", how="number"), trl_parts, trl_async],
            args=grpo_config(per_device_train_batch_size=4, num_generations=2, max_steps=1),
            train_dataset=Dataset.from_dict({"prompt": rows, "answer": ["1", "2"]}),
            processing_class=tokenizer,
        )
        trainer.train()
    finally:
        tokenizer.chat_template = None
        for name in ("trl_parts", "trl_async"):
            REWARDS.remove(name)
    (log,) = [entry for entry in trainer.state.log_history if "rewards/exact/mean" in entry]
    assert 0.0 <= log["rewards/exact/mean"] <= 1.0
    assert log["rewards/trl_parts/mean"] == 1.0
    assert log["rewards/trl_parts/form"] == 0.25
    assert log["rewards/trl_async/mean"] == 0.5  # over the scored rows alone
