import pytest

from rewards import errors
from rewards.errors import (
    CheckpointError,
    ConfigError,
    NonFiniteError,
    RewardError,
    RlconfError,
    StorageError,
    TopologyError,
)


@pytest.mark.parametrize(
    ("error", "stdlib"),
    [
        (ConfigError, ValueError),
        (RewardError, ValueError),
        (CheckpointError, RuntimeError),
        (StorageError, OSError),
        (NonFiniteError, ArithmeticError),
        (TopologyError, RuntimeError),
    ],
)
def test_each_error_is_ours_and_a_stdlib_type(
    error: type[RlconfError], stdlib: type[Exception]
) -> None:
    assert issubclass(error, RlconfError)
    assert issubclass(error, stdlib)
    assert f"| `{error.__name__}`" in str(errors.__doc__)  # the table at the head of the file
