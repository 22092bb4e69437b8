"""The real worker with a catalogue of the test: the file that the environment variable TEST_CATALOGUE names."""

import os
import sys
from pathlib import Path

from momentumseg.weights import store
from momentumseg.weights.catalogue import load_catalogue
from momentumseg.worker.__main__ import main

store.load_catalogue = lambda: load_catalogue(Path(os.environ["TEST_CATALOGUE"]))

if __name__ == "__main__":
    sys.exit(main())
