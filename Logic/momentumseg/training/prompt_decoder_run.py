"""The parts of a training run that fine-tunes the decoder of a model for prompts, put together as a recipe says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from momentumseg.errors import InputError
from momentumseg.networks.sam.box_decoder import BoxDecoder
from momentumseg.objectives.prompt_mask import PromptMaskObjective
from momentumseg.strategies.prompt_decoder import PromptDecoder
from momentumseg.strategies.prompted_slices import EmbeddingStore, PromptedSlices
from momentumseg.strategies.registry import build_strategy
from momentumseg.training.assembly import Assembly, RunData, card_of
from momentumseg.training.data_settings import OWN, DataSettings
from momentumseg.training.prompt_validation import BoxValidator
from momentumseg.training.settings import TrainingSettings
from momentumseg.weights.prompt_decoders import EncoderIdentity, save_prompt_decoder
from momentumseg.weights.prompt_models import LoadedPromptModel, load_prompt_model, prompt_entries
from momentumseg.weights.store import WeightsStore

_BOXES_ONLY = "Fine-tuned with boxes: clicks and masks as prompts are experimental."
_NO_DERIVATIVES = (
    "This decoder was fine-tuned on it: by the stricter of these terms (no derivatives) it must not be published or "
    "passed on."
)


def assemble_prompt_decoder(recipe: Mapping[str, Any], data: RunData) -> Assembly:
    """Parts of a run that fine-tunes a decoder.

    Raises:
        InputError: tables of the recipe that do not fit each other or the data.
        WeightsError: the model to fine-tune is not on this computer and may not be fetched.
    """
    _check_data(data.settings)
    options, seed = data.options, TrainingSettings.of(recipe).seed
    model = _model_of(recipe, data, _text(recipe, "decoder", ""))
    encoder = _identity_of(model, options.store)
    recipe = {**recipe, "network": {**recipe.get("network", {}), "encoder_sha256": encoder.sha256}}
    objective = PromptMaskObjective.from_table(recipe.get("objective", {}))
    network = BoxDecoder(model.network, trains_iou=objective.iou_weight > 0)
    embeddings = EmbeddingStore(
        model.network,
        f"{model.embedding_sha256}:{model.preprocessing.identity}",
        (options.cache_folder or options.folder / "prepared") / "embeddings",
        options.device,
    )
    slices = PromptedSlices(data.part("train"), model.preprocessing, embeddings, seed)
    strategy = _strategy(recipe, network, objective, slices)
    validator = _validator(strategy, data, model, embeddings)

    def write_model(trained: nn.Module, path: Path, metrics: Mapping[str, float]) -> None:
        card = decoder_card(card_of(recipe, data, metrics), model, encoder)
        save_prompt_decoder(trained, path, encoder=encoder, recipe=recipe, card=card)

    def begin(init: str | Path | None) -> list[str]:
        if init is not None:
            started = _model_of(recipe, data, str(init))
            network.load_state_dict(BoxDecoder(started.network).state_dict())
        _encode(slices, strategy, validator, data)
        return [model.notice] if model.notice else []

    return Assembly(recipe, strategy, validator, write_model, begin)


def decoder_card(card: Mapping[str, Any], model: LoadedPromptModel, encoder: EncoderIdentity) -> dict[str, Any]:
    """The card of a run with what follows from the encoder: its licence, its notice, which prompts are trained."""
    entry = prompt_entries().get(encoder.name)
    title = entry.title if entry is not None else encoder.name
    prompts = sorted(model.capabilities)
    extra: dict[str, Any] = {"prompts": prompts, "experimental": [name for name in prompts if name != "boxes"]}
    licence = f"{card['licence']}; encoder {title}: {model.card.licence or 'licence not stated'}"
    if model.notice:
        extra["notice"] = model.notice if _NO_DERIVATIVES in model.notice else f"{model.notice} {_NO_DERIVATIVES}"
    return {
        **card,
        "description": f"Mask decoder of {title}, fine-tuned with boxes. {card.get('description', '')}".strip(),
        "licence": licence,
        "limits": " ".join(filter(None, (str(card.get("limits", "")), _BOXES_ONLY))),
        "extra": {**card.get("extra", {}), **extra},
    }


def _model_of(recipe: Mapping[str, Any], data: RunData, decoder: str) -> LoadedPromptModel:
    options = data.options
    size = recipe.get("weights", {}).get("image_size")
    return load_prompt_model(
        _text(recipe, "prompt_model", "lite-medsam"),
        device=options.device,
        store=options.store,
        decoder=decoder or None,
        image_size=None if size is None else int(size),
    )


def _identity_of(model: LoadedPromptModel, store: WeightsStore | None) -> EncoderIdentity:
    known = [name for name, entry in prompt_entries(store).items() if entry.file == model.path.name]
    return EncoderIdentity(
        name=known[0] if known else model.path.name,
        sha256=model.recipe["encoder_sha256"],
        preprocessing=model.recipe["preprocessing"],
        image_size=model.recipe["image_size"],
    )


def _strategy(
    recipe: Mapping[str, Any], network: BoxDecoder, objective: PromptMaskObjective, slices: PromptedSlices
) -> PromptDecoder:
    table = recipe.get("strategy", {})
    strategy = build_strategy(table, network, objective, slices)  # type: ignore[arg-type]  # prompts, not patches
    if not isinstance(strategy, PromptDecoder):
        raise InputError(f"A decoder for prompts is trained with the strategy 'prompt_decoder', not {table!r}.")
    return strategy


def _validator(
    strategy: PromptDecoder, data: RunData, model: LoadedPromptModel, embeddings: EmbeddingStore
) -> BoxValidator | None:
    if not data.split.validation:
        return None
    return BoxValidator(
        PromptedSlices(data.part("validation"), model.preprocessing, embeddings),
        data.statistics.labels.names,
        strategy.margin,
        strategy.smallest_area,
        data.options.device,
        data.options.cancelled,
    )


def _encode(slices: PromptedSlices, strategy: PromptDecoder, validator: BoxValidator | None, data: RunData) -> None:
    """Embed every slice that the run needs, before it begins."""
    slices.encode(strategy.structures, data.options.on_prepared, data.options.cancelled)
    if validator is not None:
        validator.slices.encode(validator.structures, data.options.on_prepared, data.options.cancelled)


def _check_data(settings: DataSettings) -> None:
    """Only untouched slices can be given to the preprocessing of a prompted network. Raises `InputError` for others."""
    for name, value in {"spacing": settings.spacing, "intensity": settings.intensity}.items():
        if value != OWN:
            raise InputError(
                f"The recipe's data.{name} is {value!r}; a decoder for prompts is trained on slices as they are: set "
                f"it to '{OWN}'."
            )
    if settings.dimensions != 2:
        raise InputError(
            f"The recipe's data.plane is {settings.plane!r}; a decoder for prompts is trained on slices: set it to "
            "'acquisition'."
        )


def _text(recipe: Mapping[str, Any], key: str, default: str) -> str:
    """An entry of the [weights] table. Raises `InputError` when it is no text."""
    value = recipe.get("weights", {}).get(key, default)
    if not isinstance(value, str):
        raise InputError(f"The recipe's weights.{key} is {value!r}; give the name or the file of a model.")
    return value
