"""The command line. Importing this package is cheap: commands import the rooms that they use when they run."""

from __future__ import annotations

import sys

_CLI_PACKAGES = ("typer", "click", "rich")


def main() -> None:
    """Run the command ``momentumseg`` with the arguments of the process and end the process with its exit code."""
    try:
        from momentumseg.cli.app import run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _CLI_PACKAGES:
            raise
        sys.stderr.write(
            f"The command line needs the package {error.name}; install it with: pip install 'momentumseg[cli]'\n"
        )
        sys.exit(6)
    except KeyboardInterrupt:  # while packages are imported; later on the commands answer it
        sys.stderr.write("Cancelled; nothing was written.\n")
        sys.exit(130)
    run()
