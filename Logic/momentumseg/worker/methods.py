"""All methods: importing this file registers them. A new file of methods is imported here."""

from momentumseg.worker import (
    automatic_methods,
    few_shot_methods,
    general_methods,
    model_methods,
    prompt_methods,
    training_methods,
)

__all__ = [
    "automatic_methods",
    "few_shot_methods",
    "general_methods",
    "model_methods",
    "prompt_methods",
    "training_methods",
]
