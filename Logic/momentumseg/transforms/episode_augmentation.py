"""Augmentation of self-supervised few-shot episodes (ADNet and RPT, reused by LMS-Net).

The affine and the elastic part are composed into one displacement field and sampled once, which is both faster
and sharper than two resamplings. Linear interpolation replaces the papers' cubic one by default: the elastic
displacements are below a pixel, and cubic sampling is several times slower for no measurable gain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch.nn import functional

from momentumseg.errors import InputError

_MODES = {0: "nearest", 1: "bilinear", 3: "bicubic"}


@dataclass(frozen=True)
class AugmentationConfig:
    """Ranges of the random augmentation; the defaults are the papers' (all beyond ``order`` are off).

    Attributes:
        gamma: range of the exponent on the min-shifted, range-normalised image.
        rotation: largest rotation, degrees.
        shift: largest shift, pixels.
        shear: largest shear, degrees.
        zoom: range of the isotropic magnification.
        elastic_alpha, elastic_sigma: amplitude and smoothness (pixels) of the elastic displacement.
        order: interpolation of the image, 0, 1 or 3 (the papers: 3).
        invert_probability: both images of the episode become negatives (another contrast, the same anatomy).
        flip_probability: both images are mirrored, for each of the two axes.
        contrast: range of the factor around the image's mean, drawn for each image.
        brightness: largest offset, in standard deviations of the volume, drawn for each image.
        noise: largest standard deviation of added Gaussian noise, drawn for each image.
        blur: largest sigma of a Gaussian blur, pixels, drawn for each image.
    """

    gamma: tuple[float, float] = (0.5, 1.5)
    rotation: float = 5.0
    shift: float = 5.0
    shear: float = 5.0
    zoom: tuple[float, float] = (0.9, 1.2)
    elastic_alpha: float = 10.0
    elastic_sigma: float = 5.0
    order: int = 1
    invert_probability: float = 0.0
    flip_probability: float = 0.0
    contrast: tuple[float, float] = (1.0, 1.0)
    brightness: float = 0.0
    noise: float = 0.0
    blur: float = 0.0

    def __post_init__(self) -> None:
        if self.order not in _MODES:
            raise InputError(f"The interpolation order {self.order} is unknown: use 0, 1 or 3.")
        for name in ("gamma", "zoom", "contrast"):
            limits = getattr(self, name)
            if not isinstance(limits, tuple) or len(limits) != 2 or not 0 < limits[0] <= limits[1]:
                raise InputError(f"The augmentation range {name} = {limits} must be two positive, ascending numbers.")
        if self.elastic_sigma <= 0:
            raise InputError(f"The augmentation option elastic_sigma = {self.elastic_sigma} must be positive.")

    @classmethod
    def from_mapping(cls, table: Mapping[str, Any]) -> AugmentationConfig:
        """The configuration of a recipe's ``[augmentation]`` table; raises InputError for unknown options."""
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(table) - known)
        if unknown:
            raise InputError(f"Unknown augmentation option {', '.join(unknown)}: known are {', '.join(sorted(known))}.")
        return cls(**{key: _as_range(value) for key, value in table.items()})

    @classmethod
    def none(cls) -> AugmentationConfig:
        """No change at all: for validation episodes and tests."""
        return cls(gamma=(1.0, 1.0), rotation=0, shift=0, shear=0, zoom=(1.0, 1.0), elastic_alpha=0)


def _as_range(value: Any) -> Any:
    """A list of a recipe as the tuple that a frozen configuration holds; other values as they are."""
    return tuple(value) if isinstance(value, list) else value


class SpatialWarp:
    """One random affine and elastic deformation, to be applied alike to an image and its mask.

    Args:
        matrix: ``(2, 3)`` map from output to input pixels, (column, row), relative to the image centre.
        displacement: ``(2, h, w)`` coarse elastic displacement, (column, row), in pixels; ``None`` for none.
        shape: (rows, columns).
    """

    def __init__(self, matrix: np.ndarray, displacement: np.ndarray | None, shape: tuple[int, int]) -> None:
        rows, columns = shape
        y, x = np.meshgrid(
            np.arange(rows, dtype=np.float32) - (rows - 1) / 2,
            np.arange(columns, dtype=np.float32) - (columns - 1) / 2,
            indexing="ij",
        )
        m = matrix.astype(np.float32)
        grid = torch.from_numpy(
            np.stack([m[0, 0] * x + m[0, 1] * y + m[0, 2], m[1, 0] * x + m[1, 1] * y + m[1, 2]])
        )
        if displacement is not None:
            coarse = torch.from_numpy(displacement.astype(np.float32))[None]
            grid += functional.interpolate(coarse, size=shape, mode="bilinear", align_corners=True)[0]
        half = torch.tensor([(columns - 1) / 2, (rows - 1) / 2]).view(2, 1, 1)
        self._grid = (grid / half).permute(1, 2, 0)[None]

    @classmethod
    def random(cls, shape: tuple[int, int], rng: np.random.Generator, config: AugmentationConfig) -> SpatialWarp:
        """A deformation drawn from the ranges of ``config``."""
        rotation, shear = np.deg2rad(rng.uniform(-1, 1, 2) * (config.rotation, config.shear))
        zoom = rng.uniform(*config.zoom)
        shift = rng.uniform(-1, 1, 2) * config.shift
        cos, sin = np.cos(rotation), np.sin(rotation)
        forward = zoom * np.array([[cos, -sin], [sin, cos]]) @ np.array([[1.0, np.tan(shear)], [0.0, 1.0]])
        backward = np.linalg.inv(forward)
        matrix = np.column_stack([backward, -backward @ shift])
        return cls(matrix, _elastic_displacement(shape, rng, config), shape)

    def image(self, image: np.ndarray, order: int = 1) -> np.ndarray:
        """Warped ``(C, H, W)`` float32 image; what enters from outside is the image's minimum."""
        low = image.min()
        source = torch.from_numpy(np.ascontiguousarray(image - low, dtype=np.float32))[None]
        warped = functional.grid_sample(
            source, self._grid, mode=_MODES[order], padding_mode="zeros", align_corners=True
        )
        return warped[0].numpy() + low

    def mask(self, mask: np.ndarray) -> np.ndarray:
        """Warped ``(H, W)`` uint8 mask: linear interpolation, then one half and more is inside."""
        source = torch.from_numpy(mask.astype(np.float32))[None, None]
        warped = functional.grid_sample(source, self._grid, mode="bilinear", padding_mode="zeros", align_corners=True)
        return (warped[0, 0] >= 0.5).to(torch.uint8).numpy()


def _elastic_displacement(
    shape: tuple[int, int], rng: np.random.Generator, config: AugmentationConfig
) -> np.ndarray | None:
    """Elastic displacement on a grid of one node per sigma.

    White noise U(-1, 1) per pixel, smoothed with sigma and multiplied by alpha (Simard et al. 2003), has the
    standard deviation ``alpha / (sqrt(3) * 2 sqrt(pi) * sigma)``. Noise that is averaged over blocks of
    ``sigma x sigma`` pixels has ``1 / (sqrt(3) sigma)`` before it is smoothed with one node: the same field,
    without ever making it at full resolution.
    """
    if config.elastic_alpha == 0:
        return None
    nodes = tuple(max(2, int(np.ceil((extent - 1) / config.elastic_sigma)) + 1) for extent in shape)
    noise = rng.standard_normal((2, *nodes), dtype=np.float32) / (np.sqrt(3.0) * config.elastic_sigma)
    return config.elastic_alpha * ndimage.gaussian_filter(noise, sigma=(0, 1, 1))


def random_gamma(image: np.ndarray, rng: np.random.Generator, gamma: tuple[float, float]) -> np.ndarray:
    """``min + range * ((x - min) / range) ** g`` with ``g ~ U(gamma)``, on a ``(C, H, W)`` image."""
    exponent = np.float32(rng.uniform(*gamma))
    low = image.min()
    extent = image.max() - low
    if extent == 0 or exponent == 1:
        return image
    return low + extent * ((image - low) / extent) ** exponent


def random_appearance(image: np.ndarray, rng: np.random.Generator, config: AugmentationConfig) -> np.ndarray:
    """Blur, contrast, brightness and noise of one ``(C, H, W)`` image, each where ``config`` asks for it."""
    if config.blur > 0:
        sigma = rng.uniform(0, config.blur)
        image = ndimage.gaussian_filter(image, sigma=(0, sigma, sigma), truncate=3.0)
    if config.contrast != (1.0, 1.0):
        mean = image.mean()
        image = mean + np.float32(rng.uniform(*config.contrast)) * (image - mean)
    if config.brightness > 0:
        image = image + np.float32(rng.uniform(-config.brightness, config.brightness))
    if config.noise > 0:
        deviation = np.float32(rng.uniform(0, config.noise))
        image = image + deviation * rng.standard_normal(image.shape, dtype=np.float32)
    return image


def augment_pair(
    images: list[np.ndarray], masks: list[np.ndarray], rng: np.random.Generator, config: AugmentationConfig
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Augment (support, query): gamma on one of the two, deformation on one of the two, the options on both.

    Args:
        images: two ``(3, H, W)`` float32 images. Not changed in place.
        masks: their ``(H, W)`` uint8 masks.

    Returns:
        New lists of images and masks, in the same order.
    """
    images, masks = list(images), list(masks)
    if rng.random() < config.invert_probability:
        images = [-image for image in images]
    for axis in (-2, -1) if config.flip_probability > 0 else ():
        if rng.random() < config.flip_probability:
            images = [np.ascontiguousarray(np.flip(image, axis)) for image in images]
            masks = [np.ascontiguousarray(np.flip(mask, axis)) for mask in masks]
    remapped = int(rng.integers(2))
    images[remapped] = random_gamma(images[remapped], rng, config.gamma)
    moved = int(rng.integers(2))
    rows, columns = masks[moved].shape
    warp = SpatialWarp.random((rows, columns), rng, config)
    images[moved] = warp.image(images[moved], config.order)
    masks[moved] = warp.mask(masks[moved])
    return [random_appearance(image, rng, config) for image in images], masks
