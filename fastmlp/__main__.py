"""`python -m fastmlp`: the command line of fastmlp/programs/."""

import sys

from fastmlp.cli import main

if __name__ == "__main__":
    sys.exit(main())
