"""Semi-supervised training: a student learns from labels, and on unlabelled images from the average of its past.

Sources: Tarvainen and Valpola, "Mean teachers are better role models", NeurIPS 2017; Zheng et al., "Lagrange duality
and compound multi-attention transformer ...", 2024 (the LDC loss, eq. 3 to 5); You et al., "SimCVD", TMI 2022 (distance
maps and contrast). Docs/semi-supervised.md says what is different here and why.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, fields
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from momentumseg.errors import InputError
from momentumseg.objectives.boundary_contrast import BoundaryContrast
from momentumseg.objectives.lagrange_duality import DualityLoss, LagrangeDualityLoss, teacher_consistency
from momentumseg.objectives.signed_distance import distance_loss, signed_distance_maps
from momentumseg.strategies.base import Strategy
from momentumseg.strategies.distance_head import build_distance_head, logits_and_distances
from momentumseg.strategies.registry import Sampler, register_strategy
from momentumseg.transforms.noisy_view import NoisyView, boxes_to_exchange, exchanged

MODELS = ("teacher", "student")


@dataclass(frozen=True)
class MeanTeacherSettings:
    """Options of the recipe's [strategy] table; a term of weight 0 is not computed.

    Attributes:
        unlabelled_per_labelled: unlabelled patches that come with each labelled one.
        decay: of the teacher, at most; in iteration i it is min(decay, (1 + i) / (10 + i)).
        ramp: iterations over which the weights of the unlabelled terms and the multipliers' step rise to full value.
        duality: weight of the constraint that a structure has as many voxels as in the reference.
        dual_step: rho of the multipliers.
        weight_limit: largest mean square of the network's parameters; 0 leaves that constraint out.
        distance: weight of the signed distance maps of labelled patches.
        unlabelled: weight of cross-entropy, Dice and constraint against the teacher.
        confidence: probability above which the teacher is believed there.
        consistency: weight of the squared difference of student's and teacher's probabilities.
        contrast: weight of the boundary-aware contrast; temperature belongs to it.
        exchange: probability that an unlabelled patch of the student has a box of another one.
        noise, contrast_change, brightness: of the student's view, see :class:`NoisyView`.
        model: what is validated and saved, "teacher" or "student".

    Raises:
        InputError: a value out of its range.
    """

    unlabelled_per_labelled: int = 1
    decay: float = 0.99
    ramp: int = 200
    duality: float = 1.0
    dual_step: float = 0.01
    weight_limit: float = 0.0
    distance: float = 0.1
    unlabelled: float = 1.0
    confidence: float = 0.8
    consistency: float = 0.1
    contrast: float = 0.1
    temperature: float = 0.5
    exchange: float = 0.5
    noise: float = 0.3
    contrast_change: float = 0.4
    brightness: float = 0.3
    model: str = "teacher"

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name != "model" and (isinstance(value, bool) or not isinstance(value, int | float) or value < 0):
                raise InputError(f"The recipe's strategy.{field.name} is {value!r}; use a number that is not negative.")
        for name in ("unlabelled_per_labelled", "ramp"):
            if not isinstance(getattr(self, name), int):
                raise InputError(f"The recipe's strategy.{name} is {getattr(self, name)!r}; use a whole number.")
        if self.unlabelled_per_labelled < 1:
            raise InputError("The recipe's strategy.unlabelled_per_labelled is 0; use 1 or more.")
        if self.decay >= 1 or self.confidence > 1 or self.exchange > 1:
            raise InputError("The recipe's strategy.decay must be below 1, confidence and exchange at most 1.")
        if self.model not in MODELS:
            raise InputError(f"The recipe's strategy.model is {self.model!r}; choose one of {', '.join(MODELS)}.")

    @property
    def asks_the_teacher(self) -> bool:
        """Whether any term is about unlabelled patches."""
        return self.unlabelled > 0 or self.consistency > 0 or self.contrast > 0


@register_strategy("mean_teacher")
class MeanTeacher(Strategy):
    """Labelled: the recipe's objective, distance maps and the constraint. Unlabelled: what the teacher says.

    ``loss = objective + duality L(h) + distance |tanh d - sdm| + r(i) (unlabelled LDC + consistency MSE + contrast
    InfoNCE)`` with the ramp ``r(i) = exp(-5 (1 - i / ramp)^2)``. The labelled patches are the sampler's; of an
    unlabelled patch the teacher sees what the sampler gives and the student a noisier view, with boxes exchanged
    between images.
    Teacher, multipliers, heads and the count of iterations are in ``state_dict()``.

    Args:
        network: the student, ``(B, C, *S) -> (B, classes, *S)``.
        objective: of labelled logits, see :mod:`momentumseg.objectives.registry`.
        sampler: of labelled and unlabelled patches.
        options: see :class:`MeanTeacherSettings`.

    Raises:
        InputError: an option out of its range, or a network without classes.
    """

    finished: Tensor

    def __init__(self, network: nn.Module, objective: nn.Module, sampler: Sampler, **options: Any) -> None:
        super().__init__()
        self.settings = settings = MeanTeacherSettings(**options)
        self.network = network
        self.objective = objective
        self._sampler = sampler
        self.classes = int(cast(int, network.classes))
        limit = settings.weight_limit or None
        self.labelled_duality = LagrangeDualityLoss(
            self.classes, settings.dual_step, cross_entropy=0.0, dice=0.0, weight_limit=limit
        )
        self.unlabelled_duality = LagrangeDualityLoss(self.classes, settings.dual_step)
        self._build_heads(int(getattr(network, "dimensions", 2)))
        self.teacher = copy.deepcopy(network).requires_grad_(False).eval()
        self.teacher_distances = copy.deepcopy(self.distances).requires_grad_(False)
        self.view = NoisyView(settings.noise, settings.contrast_change, settings.brightness)
        self.register_buffer("finished", torch.zeros((), dtype=torch.long))
        self._results: dict[str, DualityLoss] = {}

    def _build_heads(self, dimensions: int) -> None:
        settings, structures = self.settings, self.classes - 1
        wanted = settings.distance > 0 or settings.contrast > 0
        self.distances = build_distance_head(self.network, structures, dimensions) if wanted else nn.Identity()
        self.contrast = (
            BoundaryContrast(structures, dimensions, temperature=settings.temperature)
            if settings.contrast > 0
            else None
        )

    def sample(self, index: int) -> tuple[np.ndarray, ...]:
        """Image (C, *S), labels (*S) and, if a term needs them, unlabelled images (U, C, *S)."""
        image, labels = self._sampler.labelled(index)
        if not self.settings.asks_the_teacher:
            return image, labels
        count = self.settings.unlabelled_per_labelled
        return image, labels, np.stack([self._sampler.unlabelled(index * count + k) for k in range(count)])

    def train(self, mode: bool = True) -> MeanTeacher:
        """The teacher always answers as a finished model does: its own statistics, no dropout."""
        super().train(mode)
        self.teacher.eval()
        return self

    def forward(self, *batch: Tensor) -> dict[str, Tensor]:
        """Terms of images ``(B, C, *S)``, labels ``(B, *S)`` and unlabelled images ``(B, U, C, *S)``."""
        images, labels, *rest = batch
        self._results = {}
        if not rest:
            return self._labelled_terms(*self._student(images), labels)
        unlabelled = rest[0].flatten(0, 1)
        boxes = boxes_to_exchange(unlabelled, self.settings.exchange)
        told = self._told(unlabelled, boxes)
        logits, maps = self._student(torch.cat([images, exchanged(self.view(unlabelled), boxes)]))
        count = len(images)
        labelled = self._labelled_terms(logits[:count], _part(maps, slice(count)), labels)
        learned = self._unlabelled_terms(logits[count:], _part(maps, slice(count, None)), *told)
        return labelled | learned | {"loss": labelled["loss"] + self.ramp() * learned["loss"]}

    def _student(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        if isinstance(self.distances, nn.Identity):
            return self.network(images), None
        return logits_and_distances(self.network, self.distances, images)

    @torch.no_grad()
    def _told(self, images: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor | None]:
        """The teacher's logits and maps of the images as they are, composed as the student's images are."""
        if self.contrast is None:
            return exchanged(self.teacher(images), boxes), None
        logits, maps = logits_and_distances(self.teacher, self.teacher_distances, images)
        return exchanged(logits, boxes), exchanged(maps, boxes)

    def _labelled_terms(self, logits: Tensor, maps: Tensor | None, labels: Tensor) -> dict[str, Tensor]:
        settings = self.settings
        losses: dict[str, Tensor] = dict(self.objective(logits, labels))
        total = losses.pop("loss")
        terms = {"labelled": total, **losses}
        if settings.duality > 0:
            reference = nn.functional.one_hot(labels, self.classes).movedim(-1, 1)
            result = self.labelled_duality(logits, reference, self.network.parameters())
            self._results["labelled"] = result
            total = total + settings.duality * result.loss
            terms["violation_labelled"] = result.equality.abs().max()
        if settings.distance > 0 and maps is not None:
            terms["distance"] = distance_loss(maps, signed_distance_maps(labels, self.classes))
            total = total + settings.distance * terms["distance"]
        return {"loss": total, **_detached(terms)}

    def _unlabelled_terms(
        self, logits: Tensor, maps: Tensor | None, told: Tensor, told_maps: Tensor | None
    ) -> dict[str, Tensor]:
        settings = self.settings
        terms: dict[str, Tensor] = {}
        total = logits.new_zeros(())
        if settings.unlabelled > 0:
            reference = torch.softmax(told.float(), dim=1)
            trusted = reference.max(dim=1).values >= settings.confidence
            result = self.unlabelled_duality(logits, reference, trusted=trusted)
            self._results["unlabelled"] = result
            total = total + settings.unlabelled * result.loss
            terms |= {"unlabelled": result.loss, "trusted": trusted.float().mean()}
            terms["violation_unlabelled"] = result.equality.abs().max()
        if settings.consistency > 0:
            terms["consistency"] = teacher_consistency(logits, told)
            total = total + settings.consistency * terms["consistency"]
        if self.contrast is not None and maps is not None and told_maps is not None:
            terms["contrast"] = self.contrast(maps, told_maps)
            total = total + settings.contrast * terms["contrast"]
        return {"loss": total, **_detached(terms)}

    def ramp(self) -> float:
        """Weight of the unlabelled terms in the coming iteration, 0 to 1."""
        done = min(1.0, int(self.finished) / self.settings.ramp) if self.settings.ramp else 1.0
        return math.exp(-5 * (1 - done) ** 2)

    @torch.no_grad()
    def after_step(self, iteration: int) -> None:
        """The teacher follows the student, the multipliers the violations of the batch."""
        decay = min(self.settings.decay, (1 + iteration) / (10 + iteration))
        _follow(self.teacher, self.network, decay)
        _follow(self.teacher_distances, self.distances, decay)
        for name, result in self._results.items():
            duality = self.labelled_duality if name == "labelled" else self.unlabelled_duality
            duality.ascend(result, self.ramp())
        self.finished.fill_(iteration + 1)

    def model(self) -> nn.Module:
        """Teacher or student, as the recipe says."""
        return self.teacher if self.settings.model == "teacher" else self.network

    def log(self) -> dict[str, float]:
        """Multipliers and KKT residuals of the last batch, and the ramp."""
        values = {"ramp": self.ramp()}
        for name, result in self._results.items():
            duality = self.labelled_duality if name == "labelled" else self.unlabelled_duality
            values[f"kkt_equality_{name}"] = result.residuals.equality
            for number, multiplier in enumerate(duality.multipliers.equality_multipliers.tolist(), start=1):
                values[f"multiplier_{name}_{number}"] = multiplier
            if result.inequality is not None:
                values[f"kkt_inequality_{name}"] = result.residuals.inequality
                values[f"kkt_complementarity_{name}"] = result.residuals.complementarity
        return values


def _detached(terms: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach() for name, value in terms.items()}


def _part(values: Tensor | None, where: slice) -> Tensor | None:
    return None if values is None else values[where]


def _follow(teacher: nn.Module, student: nn.Module, decay: float) -> None:
    """``teacher <- decay teacher + (1 - decay) student`` for parameters and buffers; counts are copied."""
    now = student.state_dict()
    for name, value in teacher.state_dict().items():
        if value.is_floating_point():
            value.lerp_(now[name], 1 - decay)
        else:
            value.copy_(now[name])
