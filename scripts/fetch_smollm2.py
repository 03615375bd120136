"""Fetch SmolLM2-135M-Instruct into rlconf's cache: make smollm2."""

from __future__ import annotations

import sys

from rewards.errors import RlconfError
from trainers.models.smollm2 import fetch

if __name__ == "__main__":
    try:
        print(f"SmolLM2-135M-Instruct is in {fetch()}: rlconf train model=smollm2 task=...")
    except RlconfError as error:
        sys.exit(f"fetch_smollm2: {error}")
