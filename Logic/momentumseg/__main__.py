"""``python -m momentumseg`` is the command ``momentumseg``."""

from momentumseg.cli import main

if __name__ == "__main__":
    main()
