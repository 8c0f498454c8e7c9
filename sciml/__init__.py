"""Deep learning for four sciences on shared, pretrainable trunks.

`sciml.jets`, `sciml.protein`, `sciml.symbolic` and `sciml.placement` are the sciences;
`sciml.trunks` and `sciml.objectives` are what they share. Nothing heavy loads here:
`import sciml` takes well under 0.3 s, and each part loads where it is used.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - pip checks it, a checkout on the path does not
    raise ImportError("sciml needs Python 3.11 or newer; this is " + sys.version.split()[0])

from importlib.metadata import PackageNotFoundError, version

from sciml import moved

try:
    __version__ = version("sciml")
except PackageNotFoundError:  # a bare checkout on the path
    __version__ = "0.2.0"

__all__ = ["__version__"]
moved.install()
