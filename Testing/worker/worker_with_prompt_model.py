"""The real worker, with the tests' own model for prompts in the place of every other one."""

import importlib.util
import sys
from pathlib import Path

from momentumseg.weights import prompt_models
from momentumseg.worker.__main__ import main

spec = importlib.util.spec_from_file_location("prompt_model", Path(__file__).parents[1] / "prompt_model.py")
fakes = importlib.util.module_from_spec(spec)
sys.modules["prompt_model"] = fakes
spec.loader.exec_module(fakes)

prompt_models.load_prompt_model = lambda reference, **options: fakes.PromptModel(
    experimental=frozenset({"points", "negative points"}), notice="Show this first."
)

if __name__ == "__main__":
    sys.exit(main())
