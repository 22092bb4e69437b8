"""All methods: importing this file registers them. A new file of methods is imported here."""

from momentumseg.worker import few_shot_methods, general_methods, model_methods, prompt_methods

__all__ = ["few_shot_methods", "general_methods", "model_methods", "prompt_methods"]
