"""Start the command line. The program's packages live in `crossfade/_app` when installed, in the checkout otherwise.

The folder goes to the front of the path, always: distributions called `validators` or `config` may be installed.
"""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> None:
    """Run the `crossfade` command."""
    here = Path(__file__).resolve().parent
    bundled = here / "_app"
    sys.path.insert(0, str(bundled if bundled.is_dir() else here.parent))
    from cli import run

    run()


if __name__ == "__main__":
    main()
