"""The real worker with the tests' own model for prompts, which needs no file: every model is said to be ready."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from momentumseg.weights import prompt_models  # noqa: E402
from momentumseg.worker import model_methods  # noqa: E402
from momentumseg.worker.__main__ import main  # noqa: E402
from prompt_model import PromptModel  # noqa: E402

described = model_methods._described
model_methods._described = lambda *stored: {**described(*stored), "state": "ready"}
prompt_models.load_prompt_model = lambda reference, **options: PromptModel()

if __name__ == "__main__":
    sys.exit(main())
