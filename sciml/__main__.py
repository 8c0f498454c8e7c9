"""`python -m sciml`, and `torchrun -m sciml run ...` for many processes."""

import sys

from sciml.cli import main

sys.exit(main())
