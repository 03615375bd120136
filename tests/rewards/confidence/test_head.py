import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from rewards.confidence import HeadSignals, head_signals

N, H, V = 11, 16, 37


def problem(dtype: torch.dtype = torch.float32, bias: bool = True) -> tuple[Any, ...]:
    g = torch.Generator().manual_seed(0)
    hidden, weight = torch.randn(N, H, generator=g), torch.randn(V, H, generator=g)
    b = torch.randn(V, generator=g).to(dtype) if bias else None
    return hidden.to(dtype), weight.to(dtype), b, torch.randint(V, (N,), generator=g)


def full_logits(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    labels: Tensor,
    *,
    temperature: float = 1.0,
    certainty_temperature: float | None = None,
    logit_scale: float = 1.0,
    softcap: float | None = None,
) -> HeadSignals:
    """The same from all N × V logits at once, in float64."""
    z = logit_scale * (hidden.double() @ weight.double().T + (0 if bias is None else bias.double()))
    if softcap is not None:
        z = softcap * torch.tanh(z / softcap)
    tau = certainty_temperature or temperature
    certainty = -math.log(V) - (z / tau).log_softmax(-1).mean(-1)
    rows = torch.arange(len(labels))
    return HeadSignals(
        certainty,
        z[rows, labels],
        (z / temperature).log_softmax(-1)[rows, labels],
        z.log_softmax(-1)[rows, labels],
    )


def assert_agree(got: HeadSignals, expected: HeadSignals, atol: float = 1e-5) -> None:
    for name in HeadSignals._fields:
        x, y = getattr(got, name), getattr(expected, name)
        torch.testing.assert_close(
            x.double(), y.double(), rtol=0, atol=atol, msg=lambda text, name=name: f"{name}: {text}"
        )


OPTIONS: list[dict[str, Any]] = [
    {},
    {"temperature": 0.7},
    {"temperature": 0.7, "certainty_temperature": 1.0},
    {"temperature": 1.0, "certainty_temperature": 1.5},
    {"logit_scale": 0.25},
    {"softcap": 5.0},
    {"temperature": 1.3, "certainty_temperature": 0.9, "logit_scale": 2.0, "softcap": 10.0},
]


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_agrees_with_full_logits(options: dict[str, Any], bias: bool) -> None:
    inputs = problem(bias=bias)
    assert_agree(head_signals(*inputs, **options), full_logits(*inputs, **options))


@pytest.mark.parametrize("chunk_size", [1, 7, N, 1000])
def test_chunk_size_changes_nothing(chunk_size: int) -> None:
    inputs = problem()
    got = head_signals(*inputs, temperature=0.8, chunk_size=chunk_size)
    assert_agree(got, full_logits(*inputs, temperature=0.8))


def test_the_other_exact_way_agrees() -> None:
    """logsumexp(z/τ) = l/τ − log_prob, and mean z = h · mean(W) + mean(b): no V in sight."""
    hidden, weight, bias, labels = problem()
    got = head_signals(hidden, weight, bias, labels, temperature=0.7)
    chosen = (hidden * weight[labels]).sum(-1) + bias[labels]
    mean = (hidden @ weight.mean(0) + bias.mean()) / 0.7
    certainty = chosen / 0.7 - got.log_prob - mean - math.log(V)
    torch.testing.assert_close(got.chosen_logit, chosen, rtol=0, atol=1e-5)
    torch.testing.assert_close(got.certainty, certainty, rtol=0, atol=1e-5)


class LargestTensor(TorchDispatchMode):
    """Elements of the largest tensor that any operation returned."""

    largest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if isinstance(out, Tensor) and out.dim():
            self.largest = max(self.largest, out.numel())
        return out


def test_never_holds_more_than_one_chunk_of_logits() -> None:
    g = torch.Generator().manual_seed(0)
    hidden, weight = torch.randn(64, 4, generator=g), torch.randn(500, 4, generator=g)
    labels = torch.randint(500, (64,), generator=g)
    with LargestTensor() as seen:
        head_signals(hidden, weight, None, labels, chunk_size=8, softcap=9.0, temperature=0.5)
    assert seen.largest == max(8 * 500, weight.numel())


def test_bfloat16_reduces_the_heads_own_logits_in_float32() -> None:
    """Only the product is in bfloat16; the reductions see those logits without further loss."""
    hidden, weight, bias, labels = problem(torch.bfloat16)
    got = head_signals(hidden, weight, bias, labels, temperature=0.7)
    z = torch.nn.functional.linear(hidden, weight, bias).double()
    expected = HeadSignals(
        -math.log(V) - (z / 0.7).log_softmax(-1).mean(-1),
        z[torch.arange(N), labels],
        (z / 0.7).log_softmax(-1)[torch.arange(N), labels],
        z.log_softmax(-1)[torch.arange(N), labels],
    )
    assert all(part.dtype == torch.float32 for part in got)
    assert_agree(got, expected)


@pytest.mark.parametrize(
    ("hidden_dtype", "weight_dtype"),
    [(torch.bfloat16, torch.float32), (torch.float32, torch.bfloat16)],
)
def test_mixed_precisions_run_in_the_heads(
    hidden_dtype: torch.dtype, weight_dtype: torch.dtype
) -> None:
    hidden, weight, bias, labels = problem()
    hidden, weight = hidden.to(hidden_dtype), weight.to(weight_dtype)
    same = head_signals(hidden.to(weight_dtype), weight, bias.to(weight_dtype), labels)
    assert_agree(head_signals(hidden, weight, bias, labels), same, atol=0)


def test_float64_stays_float64() -> None:
    inputs = problem(torch.float64)
    got = head_signals(*inputs)
    assert all(part.dtype == torch.float64 for part in got)
    assert_agree(got, full_logits(*inputs), atol=1e-12)


# Extremes


def test_no_rows() -> None:
    hidden, weight, bias, labels = problem()
    got = head_signals(hidden[:0], weight, bias, labels[:0])
    assert all(part.shape == (0,) and part.dtype == torch.float32 for part in got)


def test_a_token_that_the_bias_forbids_does_not_count() -> None:
    hidden, weight, bias, labels = problem()
    forbidden = torch.cat([bias, torch.tensor([float("-inf")])])
    wider = torch.cat([weight, torch.ones(1, H)])
    assert_agree(
        head_signals(hidden, wider, forbidden, labels), head_signals(hidden, weight, bias, labels)
    )


def test_no_gradient_and_inputs_untouched() -> None:
    hidden, weight, bias, labels = problem()
    before = hidden.clone()
    got = head_signals(
        hidden.requires_grad_(), weight.requires_grad_(), bias, labels, logit_scale=3.0, softcap=2.0
    )
    assert not any(part.requires_grad for part in got)
    assert torch.equal(hidden, before)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"certainty_temperature": -1.0}, "certainty_temperature is -1.0"),
        ({"softcap": 0.0}, "softcap is 0.0"),
        ({"chunk_size": 0}, "chunk_size is 0"),
    ],
)
def test_refuses_options_out_of_range(change: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        head_signals(*problem(), **change)


def test_refuses_shapes_that_do_not_fit() -> None:
    hidden, weight, bias, labels = problem()
    for wrong in (
        (hidden[None], weight, bias, labels),
        (hidden[:, :3], weight, bias, labels),
        (hidden, weight, bias[:3], labels),
        (hidden, weight, bias, labels[:3]),
    ):
        with pytest.raises(ValueError, match=r"expected \(N, H\), \(V, H\), None or \(V,\)"):
            head_signals(*wrong)
