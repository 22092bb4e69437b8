"""The models under evaluation: one for all folds, or one a fold, and whether they have seen the test cases."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from momentumseg.errors import InputError
from momentumseg.networks.few_shot import FewShotNetwork
from momentumseg.transforms.slices import SliceContext


@dataclass(frozen=True)
class EvaluatedModel:
    """A network with its identity.

    Attributes:
        network: in evaluation mode.
        reference: catalogue name or path, as given.
        sha256: of the weights.
        recipe: how it was trained.
        context: what the three channels of an image hold.
        training_cases: names of the cases whose images it was trained on; None where the recipe does not say.
    """

    network: FewShotNetwork
    reference: str
    sha256: str
    recipe: dict[str, Any]
    context: SliceContext = "single"
    training_cases: frozenset[str] | None = None

    @property
    def size(self) -> int:
        """Side of the network's square image, pixels."""
        return int(self.recipe.get("data", {}).get("size", 256))

    def seen(self, cases: Iterable[str]) -> list[str]:
        """The cases that the model was trained on, sorted."""
        return sorted(set(cases) & (self.training_cases or frozenset()))

    def description(self, test_cases: Iterable[str]) -> dict[str, Any]:
        """What a report keeps of the model."""
        return {
            "reference": self.reference,
            "sha256": self.sha256,
            "overlap": self._overlap(test_cases),
            "recipe": dict(self.recipe),
        }

    def _overlap(self, test_cases: Iterable[str]) -> str:
        if self.training_cases is None:
            return "its recipe does not name its training cases"
        seen = self.seen(test_cases)
        return f"trained on images of {len(seen)} test cases" if seen else "not trained on images of test cases"


def load_evaluated_model(reference: str, device: str = "cpu") -> EvaluatedModel:
    """A model by catalogue name or path.

    Raises:
        WeightsError: missing, damaged or foreign weights.
    """
    from momentumseg.weights.loading import load_few_shot_model

    loaded = load_few_shot_model(reference, device=device)
    return EvaluatedModel(
        network=loaded.network,
        reference=reference,
        sha256=loaded.sha256,
        recipe=loaded.recipe,
        context=slice_context(loaded.recipe),
        training_cases=training_cases(loaded.recipe),
    )


@dataclass(frozen=True)
class FoldModels:
    """Gives the model of a fold.

    Attributes:
        load: fold number -> model.
        one_per_fold: whether folds have models of their own.
    """

    load: Callable[[int], EvaluatedModel]
    one_per_fold: bool = False

    def __call__(self, fold: int) -> EvaluatedModel:
        return self.load(fold)


def models_by_fold(model: str | None, pattern: str | None, device: str = "cpu") -> FoldModels:
    """Loader of the models of the folds; a single model is loaded once.

    Args:
        model: catalogue name or path of one model for all folds.
        pattern: path with ``{fold}``, one model a fold.

    Raises:
        InputError: both or none are given, or the pattern has no ``{fold}``.
    """
    if (model is None) == (pattern is None):
        raise InputError("Give either one model (--model) or one a fold (--model-pattern).")
    if pattern is None:
        load_once = cache(partial(load_evaluated_model, str(model), device))
        return FoldModels(lambda _fold: load_once())
    if "{fold}" not in pattern:
        raise InputError(f"The model pattern {pattern!r} has no {{fold}}; write for example fold{{fold}}.safetensors.")
    return FoldModels(lambda fold: load_evaluated_model(pattern.replace("{fold}", str(fold)), device), True)


def check_unseen(model: EvaluatedModel, cases: Iterable[str], allow_overlap: bool) -> None:
    """Refuse to test a model on images that it was trained on.

    Raises:
        InputError: it was, and ``allow_overlap`` is False.
    """
    seen = model.seen(cases)
    if seen and not allow_overlap:
        raise InputError(
            f"The model {model.reference} was trained on {len(seen)} of the test cases ({', '.join(seen[:3])}); "
            "evaluate a model of this fold, or allow the overlap with --allow-overlap, which the report will say."
        )


def slice_context(recipe: Mapping[str, Any]) -> SliceContext:
    """The ``context`` of a recipe's ``[episodes]`` table, ``"single"`` where it says nothing."""
    return "neighbours" if recipe.get("episodes", {}).get("context") == "neighbours" else "single"


def training_cases(recipe: Mapping[str, Any]) -> frozenset[str] | None:
    """Case names in a recipe's ``[data]`` table, written there by the trainer; None where there are none."""
    names = recipe.get("data", {}).get("training_cases")
    return None if names is None else frozenset(str(name) for name in names)
