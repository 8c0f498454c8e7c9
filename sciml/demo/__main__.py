"""`python -m sciml.demo NAME FOLDER SIZE`: one part, as `sciml demo` starts it."""

import sys

from sciml.demo.schedule import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
