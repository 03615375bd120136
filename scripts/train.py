"""Train on several processes; `rlconf train` is the same on one.

accelerate launch --num_processes 8 scripts/train.py experiment=quickstart
torchrun --nproc_per_node 2 scripts/train.py experiment=quickstart +trainer.use_cpu=true
"""

import sys

from rlconf.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
