import torch

from rewards.confidence import masked_max, masked_mean, masked_min, masked_sum

INF, NAN = float("inf"), float("nan")
X = torch.tensor([[1.0, 5.0, NAN], [INF, -2.0, 3.0], [NAN, INF, -INF]])
MASK = torch.tensor([[1, 1, 0], [0, 1, 1], [0, 0, 0]]).bool()


def test_only_tokens_that_count_are_read() -> None:
    """Row 1 keeps (1, 5), row 2 keeps (−2, 3), row 3 keeps nothing."""
    assert masked_sum(X, MASK).tolist() == [6.0, 1.0, 0.0]
    assert masked_min(X, MASK).tolist() == [1.0, -2.0, INF]
    assert masked_max(X, MASK).tolist() == [5.0, 3.0, -INF]
    torch.testing.assert_close(masked_mean(X, MASK), torch.tensor([3.0, 0.5, NAN]), equal_nan=True)


def test_no_columns() -> None:
    x, mask = torch.zeros(2, 0), torch.zeros(2, 0).bool()
    assert masked_sum(x, mask).tolist() == [0.0, 0.0]
    assert masked_min(x, mask).tolist() == [INF, INF]
    assert masked_max(x, mask).tolist() == [-INF, -INF]
    assert masked_mean(x, mask).isnan().all()


def test_padding_and_row_mates_do_not_change_a_bit() -> None:
    """Float32 sums depend on how a row is split; ours must not: ranks pad differently."""
    x = torch.rand(8, 301, generator=torch.Generator().manual_seed(0)) * 20
    mask = torch.ones(8, 301).bool()
    wide_x = torch.cat([x, torch.full((8, 200), NAN)], dim=1)
    wide_mask = torch.cat([mask, torch.zeros(8, 200).bool()], dim=1)
    for reduce in (masked_sum, masked_mean):
        whole = reduce(x, mask)
        assert torch.equal(whole, reduce(wide_x, wide_mask))
        assert torch.equal(whole, torch.cat([reduce(x[:3], mask[:3]), reduce(x[3:], mask[3:])]))


def test_half_precision_is_summed_in_more() -> None:
    """4,096 times 1 and one 1: bfloat16 would stop counting at 256."""
    x = torch.ones(1, 4097, dtype=torch.bfloat16)
    assert masked_sum(x, x.bool()).tolist() == [4097.0]
    assert masked_mean(x, x.bool()).dtype == torch.float32
