"""Files of the SAM family: recognised by their tensors, loaded whole or refused in one sentence."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from momentumseg.errors import InputError, WeightsError
from momentumseg.io.read import read_volume
from momentumseg.networks.sam.sam import lite_medsam, mobile_sam, sam_vit_b
from momentumseg.weights import prompt_models
from momentumseg.weights.catalogue import load_catalogue
from momentumseg.weights.prompt_models import PROMPTS, load_prompt_model, prompt_entries
from momentumseg.weights.sam_files import read_sam_file
from momentumseg.weights.store import WeightsStore

Tensors = dict[str, Tensor]
Save = Callable[..., Path]
VIT = {"depth": 1, "global_blocks": (), "trained_size": 64}  # ViT-B's width, which names the file; one block of it


@pytest.fixture(autouse=True)
def short_vit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_models, "sam_vit_b", functools.partial(sam_vit_b, **VIT))


@pytest.fixture(scope="module")
def sam() -> Tensors:
    torch.manual_seed(0)
    return sam_vit_b(64, **VIT).half().state_dict()


@pytest.fixture(scope="module")
def lvm_med() -> Tensors:
    torch.manual_seed(1)
    return sam_vit_b(64, absolute_positions=False, **VIT).half().image_encoder.state_dict()


@pytest.fixture(scope="module")
def lite() -> Tensors:
    return lite_medsam(64).half().state_dict()


@pytest.fixture
def save(tmp_path: Path) -> Save:
    def write(content: object, name: str = "weights.pth") -> Path:
        torch.save(content, tmp_path / name)
        return tmp_path / name

    return write


@pytest.fixture
def store(tmp_path: Path) -> WeightsStore:
    """An empty store with the real catalogue, whose sizes and checksums are left open for the files made here."""
    entries = {name: replace(entry, size_bytes=0, sha256="") for name, entry in load_catalogue().items()}
    return WeightsStore(tmp_path / "store", entries)


def prefixed(tensors: Tensors, prefix: str) -> Tensors:
    return {prefix + name: value for name, value in tensors.items()}


def small(path: Path | str, store: WeightsStore, **options: object) -> prompt_models.LoadedPromptModel:
    return load_prompt_model(path, store=store, image_size=64, precision="single", **options)


@pytest.mark.parametrize("prefix", ["", "module.", "sam.", "model.module."])
@pytest.mark.parametrize("wrap", [dict, lambda t: {"model": t, "optimizer": {"lr": 1e-4}, "epoch": 3}])
def test_wrappers_and_prefixes_of_complete_files(
    sam: Tensors, save: Save, store: WeightsStore, prefix: str, wrap: Callable
) -> None:
    model = small(save(wrap(prefixed(sam, prefix))), store)
    assert_filled(model.network.state_dict(), sam)
    (report,) = model.reports
    assert (report.prefix, report.missing, report.unexpected, len(report.matched)) == (prefix, (), (), len(sam))


@pytest.mark.parametrize("prefix", ["", "module.", "image_encoder.", "backbone.", "module.image_encoder."])
@pytest.mark.parametrize("wrap", [dict, lambda t: {"state_dict": t}, lambda t: {"model": {"state_dict": t}}])
def test_wrappers_and_prefixes_of_lvm_med(
    lvm_med: Tensors, sam: Tensors, save: Save, store: WeightsStore, prefix: str, wrap: Callable
) -> None:
    encoder = save(wrap({**prefixed(lvm_med, prefix), "fc.weight": torch.ones(1), "fc.bias": torch.ones(1)}))
    model = small(encoder, store, decoder=save(sam, "sam.pth"))
    assert_filled(model.network.image_encoder.state_dict(), lvm_med)
    decoder = {name: value for name, value in sam.items() if not name.startswith("image_encoder.")}
    assert_filled({name: model.network.state_dict()[name] for name in decoder}, decoder)
    assert model.preprocessing.kind == "lvm-med"
    assert "non-commercial" in model.notice


def assert_filled(found: Tensors, expected: Tensors) -> None:
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name].half(), expected[name]) for name in expected)


def test_network_is_ready_to_run(lite: Tensors, save: Save, store: WeightsStore) -> None:
    model = small(save(lite), store)
    assert not model.network.training
    assert {value.dtype for value in model.network.parameters()} == {torch.float32}
    assert not any(value.requires_grad for value in model.network.parameters())
    assert (model.network.image_size, model.preprocessing.image_size, model.preprocessing.mask_size) == (64, 64, 64)


@pytest.mark.parametrize(
    ("name", "family", "kind"),
    [
        ("sam_vit_b_01ec64.pth", None, "sam"),
        ("medsam_vit_b.pth", None, "medsam"),
        ("MedSAM-my-hospital.pth", None, "medsam"),
        ("weights.pth", None, "sam"),
        ("weights.pth", "medsam", "medsam"),
        ("medsam_vit_b.pth", "sam", "sam"),
    ],
)
def test_sam_and_medsam_differ_by_choice_or_name(
    sam: Tensors, save: Save, store: WeightsStore, name: str, family: str | None, kind: str
) -> None:
    model = small(save(sam, name), store, family=family)
    assert (model.preprocessing.kind, model.recipe["preprocessing"]) == (kind, kind)
    assert model.capabilities == ({"boxes"} if kind == "medsam" else set(PROMPTS))


def test_checksum_decides_whatever_the_name(sam: Tensors, save: Save, store: WeightsStore) -> None:
    path = save(sam, "medsam.pth")
    known = {**store.catalogue}
    known["sam-vit-b"] = replace(known["sam-vit-b"], sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    model = small(path, WeightsStore(store.folder, known))
    assert (model.card.name, model.preprocessing.kind) == ("sam-vit-b", "sam")


def test_unknown_file_gets_a_card_that_claims_nothing(lite: Tensors, save: Save, store: WeightsStore) -> None:
    card = small(save(lite, "mine.pth"), store).card
    assert (card.name, card.licence, card.training_data, card.metrics) == ("mine", "", "", {})


def test_family_that_does_not_fit_is_refused(lite: Tensors, save: Save, store: WeightsStore) -> None:
    with pytest.raises(InputError, match="'medsam'; choose lite-medsam"):
        small(save(lite), store, family="medsam")


def test_mobile_sam_is_told_from_lite_medsam(save: Save, store: WeightsStore) -> None:
    tensors = mobile_sam(64).half().state_dict()
    unused = {"image_encoder.norm_head.weight": torch.ones(320), "image_encoder.head.bias": torch.ones(1000)}
    model = small(save({**tensors, **unused}), store)
    assert (model.recipe["layout"], model.preprocessing.kind) == ("mobile-sam", "sam")


def test_lvm_med_by_name_uses_sams_decoder_of_the_store(lvm_med: Tensors, sam: Tensors, store: WeightsStore) -> None:
    store.folder.mkdir()
    torch.save(lvm_med, store.folder / "lvmmed_vit.pth")
    with pytest.raises(WeightsError, match="only an image encoder.*SAM ViT-B.*models import sam-vit-b") as refusal:
        small("lvm-med-vit", store)
    assert "\n" not in str(refusal.value)
    torch.save(sam, store.folder / "sam_vit_b_01ec64.pth")
    model = small("lvm-med-vit", store)
    assert model.card.name == "lvm-med-vit"
    assert model.recipe["encoder_sha256"] != model.recipe["decoder_sha256"]
    assert model.sha256 not in (model.recipe["encoder_sha256"], model.recipe["decoder_sha256"])


def test_lvm_med_is_never_downloaded(store: WeightsStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("momentumseg.weights.store.fetch", lambda *_: pytest.fail("fetched"))
    for name in ("lvm-med-vit", "medsam-vit-b", "sam-vit-b", "mobile-sam"):
        with pytest.raises(WeightsError, match="not on this computer"):
            load_prompt_model(name, store=store)


def test_fine_tuned_decoder_changes_answers_not_embeddings(
    lvm_med: Tensors, sam: Tensors, save: Save, store: WeightsStore
) -> None:
    encoder, first = save(lvm_med), save(sam, "sam.pth")
    tuned = {name: value + 1 for name, value in sam.items() if not name.startswith("image_encoder.")}
    one, two = small(encoder, store, decoder=first), small(encoder, store, decoder=save(tuned, "tuned.pth"))
    assert one.embedding_sha256 == two.embedding_sha256
    assert one.sha256 != two.sha256


def test_precision_is_part_of_the_embeddings_identity(lite: Tensors, save: Save, store: WeightsStore) -> None:
    path = save(lite)
    half = load_prompt_model(path, store=store, image_size=64, precision="half")
    assert half.network.image_encoder.patch_embed.seq[0].c.weight.dtype is torch.bfloat16
    assert next(half.network.mask_decoder.parameters()).dtype is torch.float32
    assert half.embedding_sha256 != small(path, store).embedding_sha256
    with pytest.raises(InputError, match="'double'"):
        load_prompt_model(path, store=store, precision="double")


@pytest.mark.parametrize("change", ["missing", "shape", "unexpected"])
def test_partial_match_is_refused(sam: Tensors, save: Save, store: WeightsStore, change: str) -> None:
    tensors, name = dict(sam), "mask_decoder.iou_prediction_head.layers.2.weight"
    if change == "missing":
        del tensors[name]
    elif change == "shape":
        tensors[name] = torch.ones(5, 256)
    else:
        tensors["mask_decoder.hf_token.weight"] = torch.ones(1)
    sentence = {"missing": "1 missing", "shape": "1 of another shape", "unexpected": "hf_token"}[change]
    with pytest.raises(WeightsError, match=sentence):
        small(save(tensors), store)


@pytest.mark.parametrize(
    ("tensors", "sentence"),
    [
        (lambda sam: {**sam, "image_encoder.patch_embed.proj.weight": torch.ones(1280, 3, 1, 1)}, "ViT-H.*too large"),
        (lambda sam: {**sam, "image_encoder.patch_embed.proj.weight": torch.ones(1024, 3, 1, 1)}, "ViT-L.*too large"),
        (lambda sam: {k[14:]: v for k, v in sam.items() if k.startswith("image_encoder.")}, "only the image encoder"),
        (lambda sam: {k: v for k, v in sam.items() if not k.startswith("image_encoder.")}, "as the decoder of a model"),
        (lambda _: {"prompt_encoder.bbox_top_left_embeddings.weight": torch.ones(1)}, "EfficientSAM"),
        (lambda _: {"vision_encoder.patch_embed.projection.weight": torch.ones(1)}, "Hugging Face"),
        (lambda _: {"vit.embeddings.patch_embeddings.projection.weight": torch.ones(1)}, "Hugging Face"),
        (lambda _: {"layer1.0.conv1.weight": torch.ones(1)}, "ResNet"),
        (lambda _: {"image_encoder.patch_embed.seq.0.c.weight": torch.ones(32, 3, 1, 1)}, "only the image encoder"),
        (lambda _: {"something.else": torch.ones(1)}, "no model for prompts"),
    ],
)
def test_neighbours_are_named_and_refused(
    sam: Tensors, save: Save, store: WeightsStore, tensors: Callable[[Tensors], Tensors], sentence: str
) -> None:
    with pytest.raises(WeightsError, match=sentence) as refusal:
        small(save(tensors(sam)), store)
    assert "\n" not in str(refusal.value)


def test_file_of_another_model_under_a_catalogue_name_is_refused(lite: Tensors, store: WeightsStore) -> None:
    store.folder.mkdir()
    torch.save(lite, store.folder / "sam_vit_b_01ec64.pth")
    with pytest.raises(WeightsError, match="not sam-vit-b but of the kind lite-medsam"):
        small("sam-vit-b", store)


def test_few_shot_models_take_no_prompts(store: WeightsStore) -> None:
    with pytest.raises(WeightsError, match="few-shot model.*lite-medsam"):
        load_prompt_model("lmsnet-general", store=store)


class Trap:
    """A pickle that writes a file when it is loaded without care."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return Path.write_text, (self.target, "the code ran")


@pytest.mark.parametrize("as_decoder", [False, True])
def test_malicious_file_is_refused_before_it_runs(
    lvm_med: Tensors, save: Save, store: WeightsStore, tmp_path: Path, as_decoder: bool
) -> None:
    target = tmp_path / "ran"
    trap = save({"model": {"mask_decoder.iou_token.weight": Trap(target)}}, "trap.pth")
    with pytest.raises(WeightsError, match=r"trap\.pth was refused.*could run code") as refusal:
        small(save(lvm_med) if as_decoder else trap, store, decoder=trap if as_decoder else None)
    assert "\n" not in str(refusal.value)
    assert not target.exists()
    torch.load(trap, weights_only=False)  # the trap works
    assert target.exists()


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.999])
def test_truncated_file_is_refused(lite: Tensors, save: Save, store: WeightsStore, kept: float) -> None:
    path = save(lite)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(WeightsError, match=r"weights\.pth") as refusal:
        small(path, store)
    assert "\n" not in str(refusal.value)


def test_foreign_and_missing_files_are_refused(tmp_path: Path, store: WeightsStore) -> None:
    (tmp_path / "text.pth").write_text("not weights")
    for path, sentence in [(tmp_path / "text.pth", "not a weights file"), (tmp_path / "no.pth", "does not exist")]:
        with pytest.raises(WeightsError, match=sentence):
            small(path, store)
    torch.save([torch.ones(1)], tmp_path / "list.pth")
    with pytest.raises(WeightsError, match="list instead of named tensors"):
        read_sam_file(tmp_path / "list.pth")


def test_file_that_wraps_itself_is_refused(save: Save) -> None:
    content: dict[str, object] = {}
    content["model"] = content
    with pytest.raises(WeightsError, match="no tensors"):
        read_sam_file(save(content))


def test_capability_that_a_model_lacks_is_refused(sam: Tensors, save: Save, store: WeightsStore) -> None:
    model = small(save(sam, "medsam.pth"), store)
    model.require("boxes")
    with pytest.raises(InputError, match="medsam takes no points, only boxes"):
        model.require("points")


def test_cards_of_the_catalogue_are_complete() -> None:
    for entry in prompt_entries().values():
        extra = entry.card.extra
        assert {"layout", "preprocessing", "prompts"} <= set(extra), entry.name
        assert set(extra.get("experimental", ())) <= set(extra["prompts"]) <= set(PROMPTS)
        assert entry.licence and entry.training_data and entry.card.limits
        assert bool(extra.get("notice")) == (extra["layout"] == "lvm-med")
        assert entry.source.kind != "url" or entry.source.on_request_only
    assert load_catalogue()["lvm-med-vit"].source.kind == "user"


# The real weights


@pytest.fixture(scope="module")
def lite_medsam_model(published_weights: Callable[[str], Path]) -> prompt_models.LoadedPromptModel:
    published_weights("lite-medsam")
    return load_prompt_model("lite-medsam", precision="single")


def test_real_lite_medsam_loads_strictly(lite_medsam_model: prompt_models.LoadedPromptModel) -> None:
    (report,) = lite_medsam_model.reports
    assert (report.prefix, report.missing, report.unexpected, report.wrong_shape) == ("", (), (), ())
    assert lite_medsam_model.card.name == "lite-medsam"
    assert lite_medsam_model.preprocessing.kind == "lite-medsam"


def test_real_lite_medsam_finds_the_liver_in_a_box(
    lite_medsam_model: prompt_models.LoadedPromptModel, a_chaos_case: tuple[Path, Path]
) -> None:
    image, labels = (read_volume(path).array for path in a_chaos_case)
    k = int((labels == 1).sum((1, 2)).argmax())
    liver = labels[k] == 1
    preprocessing, network = lite_medsam_model.preprocessing, lite_medsam_model.network
    pixels, transform = preprocessing.prepare(image[k], preprocessing.fit(image))
    rows, columns = np.nonzero(liver)
    corners = [[columns.min() - 5, rows.min() - 5], [columns.max() + 5, rows.max() + 5]]
    with torch.inference_mode():
        boxes = torch.from_numpy(transform.to_network(np.array(corners))).view(1, 4)
        answer = network.decode(network.encode(pixels[None]), boxes=boxes)
    mask = transform.logits_to_slice(answer.logits[0, 0]) > 0
    dice = 2 * (mask & liver).sum() / (mask.sum() + liver.sum())
    assert dice > 0.85
    assert 0.8 < float(answer.iou) < 1.1
