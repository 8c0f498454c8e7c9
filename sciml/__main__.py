"""`python -m sciml`, and `torchrun -m sciml run ...` for many processes."""

import os
import sys

from sciml.cli import main

code = main()
if "RANK" in os.environ:
    from sciml.train.parallel import leave

    leave(code)
sys.exit(code)
