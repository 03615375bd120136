"""Random numbers of each solution's own, and drawing tokens with them while `generate` runs."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor
from transformers import LogitsProcessor, TopPLogitsWarper


def solution_seed(seed: int, question_id: str, index: int) -> int:
    """The seed of one solution, 0 <= seed < 2**63: the same on every machine and engine."""
    digest = hashlib.sha256(f"{seed}/{index}/{question_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def uniforms(seed: int, question_id: str, index: int, count: int) -> Tensor:
    """(count,) random numbers in [0, 1) of one solution, one for each of its tokens."""
    generator = torch.Generator().manual_seed(solution_seed(seed, question_id, index))
    return torch.rand(count, generator=generator)


def draw_tokens(scores: Tensor, numbers: Tensor) -> Tensor:
    """Turn a random number per row into a draw from that row's distribution.

    Args:
        scores: (B, V) logits; -inf excludes a token.
        numbers: (B,), uniform in [0, 1).

    Returns:
        (B,) tokens: the first whose cumulative probability exceeds the number (inversion).
    """
    # In float32 a long tail of small probabilities would be rounded away; MPS has nothing wider.
    wide = torch.float32 if scores.device.type == "mps" else torch.float64
    cumulative = scores.softmax(dim=-1, dtype=torch.float32).cumsum(dim=-1, dtype=wide)
    total = cumulative[:, -1:]
    # Strictly below the total: a number that rounds up to it would fall on a token excluded.
    below = torch.nextafter(total, torch.zeros_like(total))
    target = torch.minimum(numbers[:, None].to(wide) * total, below)
    return torch.searchsorted(cumulative, target, right=True)[:, 0]


class Draw(LogitsProcessor):  # type: ignore[misc]  # transformers is not type-checked here
    """Draws each row's next token, and keeps its log-probability and the entropy.

    `generate` draws all rows from one stream of random numbers, so that a row's tokens depend on
    its neighbours, and returns (T, B, V) logits or none. This draws row by row from `numbers`,
    leaves `generate` no choice, and holds (B, V) at a time. What it keeps is of the model itself,
    before temperature and top-p.

    Args:
        numbers: (B, T) uniform numbers; None takes the likeliest token.
        temperature: Above 0.
        top_p: In (0, 1].
    """

    def __init__(
        self, numbers: Tensor | None = None, temperature: float = 1.0, top_p: float = 1.0
    ) -> None:
        self.log_probs: list[Tensor] = []
        self.entropy: list[Tensor] = []
        self._numbers = numbers
        self._temperature = temperature
        self._top_p = None if top_p == 1 else TopPLogitsWarper(top_p)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores (B, V) that leave each row the one token that is drawn for it."""
        log_probs = scores.float().log_softmax(dim=-1)
        # entr(p) is 0 at p = 0, where p * log p would be NaN.
        self.entropy.append(torch.special.entr(log_probs.exp()).sum(dim=-1))
        if self._numbers is None:
            tokens = scores.argmax(dim=-1)
        else:
            warped = log_probs / self._temperature
            if self._top_p is not None:
                warped = self._top_p(input_ids, warped)
            tokens = draw_tokens(warped, self._numbers[:, len(self.log_probs)])
        self.log_probs.append(log_probs.gather(-1, tokens[:, None])[:, 0])
        return torch.full_like(scores, -torch.inf).scatter(-1, tokens[:, None], 0.0)
