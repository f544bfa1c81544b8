"""``python -m bertsent``: the command line."""

import sys

from bertsent.cli import main

if __name__ == "__main__":
    sys.exit(main())
