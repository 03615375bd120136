"""The errors that rlconf raises on purpose: one base class, and each child is also a stdlib type.

Raise one of these where a person can do something about it, with a text that says what was seen,
what was expected and what to type. Anything else that escapes is a bug of ours.

| class             | also              | raised when                                           |
| ----------------- | ----------------- | ----------------------------------------------------- |
| `ConfigError`     | `ValueError`      | a name, key or value of the configuration is wrong    |
| `RewardError`     | `ValueError`      | a reward function is given, or returns, a wrong value |
| `CheckpointError` | `RuntimeError`    | a checkpoint is incomplete or belongs to another run  |
| `StorageError`    | `OSError`         | a file of the run cannot be written                   |
| `NonFiniteError`  | `ArithmeticError` | a loss or gradient is NaN or infinite                 |
| `TopologyError`   | `RuntimeError`    | the processes disagree, or their number is wrong      |
"""


class RlconfError(Exception):
    """Base of every error that rlconf raises on purpose."""


class ConfigError(RlconfError, ValueError):
    """A name, key or value of the configuration is wrong."""


class RewardError(RlconfError, ValueError):
    """A reward function was called with, or returned, something that cannot be trained on."""


class CheckpointError(RlconfError, RuntimeError):
    """A checkpoint is incomplete, unreadable, or belongs to another run."""


class StorageError(RlconfError, OSError):
    """A file of the run cannot be written: the disk is full, the folder read-only or gone."""


class NonFiniteError(RlconfError, ArithmeticError):
    """A loss or gradient is NaN or infinite, and the run is to stop."""


class TopologyError(RlconfError, RuntimeError):
    """The processes of a run disagree with each other, or there are too many or too few of them."""
