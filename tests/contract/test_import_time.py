"""`import rlconf` is quick and light: a shell completes, a plugin imports, `--help` answers."""

import subprocess
import sys

# `best of three`, in fresh interpreters, because a busy machine slows any single one.
PROBE = """
import sys, time
start = time.perf_counter()
import rlconf
dir(rlconf)
print(time.perf_counter() - start)
print(*sorted({"torch", "transformers", "trl", "numpy", "hydra", "wandb"} & set(sys.modules)))
"""


def fresh(code: str) -> list[str]:
    """Lines printed by `code` in a new interpreter, started away from the checkout's files."""
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")


def test_import_rlconf_takes_less_than_300_ms_and_loads_nothing_heavy() -> None:
    runs = [fresh(PROBE) for _ in range(3)]
    assert all(heavy == "" for _, heavy, *_ in runs)
    assert min(float(seconds) for seconds, *_ in runs) < 0.3


def test_a_reward_plugin_loads_no_torch() -> None:
    code = "import sys; from rlconf import reward, RewardError; print('torch' in sys.modules)"
    assert fresh(code)[0] == "False"
