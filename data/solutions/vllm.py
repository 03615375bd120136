"""Sample solutions with vLLM: many times faster than `generate`, on a GPU.

The same records as from `data.solutions.sample`, but for the entropy, which vLLM does not give.
Each solution has a seed of its own here too; the draws are vLLM's, so they are other samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from transformers import GenerationConfig, PreTrainedTokenizerBase

from data.solutions.draw import solution_seed
from data.solutions.sample import end_tokens, make_solution, numbered, row_prompt_ids
from data.solutions.solution import Solution
from data.tasks import Row


class VLLMSampler:
    """`draw(rows)` with a vLLM engine, made at the first call.

    Args:
        model: A folder with a whole model, or a hub id.
        tokenizer: Its tokenizer.
        samples: Solutions per row.
        temperature: Above 0.
        top_p: In (0, 1].
        max_new_tokens: Most tokens of a completion, end of sequence included.
        seed: Of the draws.
        chat_template_kwargs: For the chat template.
        engine: For `vllm.LLM`, such as `dtype`, `revision` or `gpu_memory_utilization`.
    """

    def __init__(
        self,
        model: str,
        tokenizer: PreTrainedTokenizerBase,
        *,
        samples: int,
        temperature: float,
        top_p: float,
        max_new_tokens: int,
        seed: int,
        chat_template_kwargs: Mapping[str, Any] | None = None,
        engine: Mapping[str, Any] | None = None,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.samples = samples
        self.seed = seed
        self.chat_template_kwargs = chat_template_kwargs
        self.engine = dict(engine or {})
        self._drawing = {"temperature": temperature, "top_p": top_p, "max_tokens": max_new_tokens}
        self._llm: Any = None

    def __call__(self, rows: Sequence[Row]) -> list[Solution]:
        """Draw the solutions of some rows; see `data.solutions.sample`."""
        from vllm import LLM, SamplingParams

        if self._llm is None:
            self._llm = LLM(model=self.model, **self.engine)
        ends = self.ends()
        prompts = [row_prompt_ids(self.tokenizer, row, self.chat_template_kwargs) for row in rows]
        jobs = numbered(rows, self.samples)
        outputs = self._llm.generate(
            [{"prompt_token_ids": prompts[row]} for row, _ in jobs],
            [
                SamplingParams(
                    **self._drawing,
                    seed=solution_seed(self.seed, str(rows[row]["id"]), index),
                    logprobs=0,  # the drawn token's alone
                    stop_token_ids=ends,
                )
                for row, index in jobs
            ],
            use_tqdm=False,
        )
        solutions = []
        for (row, index), output in zip(jobs, outputs, strict=True):
            drawn = output.outputs[0]
            ids = list(drawn.token_ids)
            log_probs = [
                step[token].logprob for token, step in zip(ids, drawn.logprobs, strict=True)
            ]
            solutions.append(
                make_solution(
                    self.tokenizer, rows[row], index, prompts[row], ids, ends, log_probs, []
                )
            )
        return solutions

    def ends(self) -> list[int]:
        """The tokens that end a completion, with those of the model's generation config, if any."""
        try:
            config = GenerationConfig.from_pretrained(
                self.model, revision=self.engine.get("revision")
            )
        except OSError:
            config = GenerationConfig()
        return end_tokens(config, self.tokenizer)
