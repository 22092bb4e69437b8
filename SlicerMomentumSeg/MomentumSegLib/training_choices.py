"""What the user chooses for a training: cases, recipe, device, settings; shown as the parameter node keeps them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import qt
import slicer

from MomentumSegLib.device_section import DeviceSection, resolve
from MomentumSegLib.errors import UserError
from MomentumSegLib.training_cases import SceneCase, cases_problem, read_cases, with_new_scans, write_cases
from MomentumSegLib.training_cases_table import CasesTable
from MomentumSegLib.training_parameters import FROM_FOLDER, FROM_SCENE
from MomentumSegLib.training_recipe_section import RecipeSection
from MomentumSegLib.training_request import TrainingRequest, split_settings
from MomentumSegLib.translation import tr as _


class TrainingChoices:
    """The first sections of the panel.

    Args:
        ui: widgets of the panel.
        on_changed: called when the user has changed a choice.
    """

    def __init__(self, ui: Any, *, on_changed: Callable[[], None]) -> None:
        self.ui = ui
        self._on_changed = on_changed
        self.parameters: Any = None
        self._node: Any = None
        self.recipe = RecipeSection(ui, on_chosen=self._set("recipe"))
        self._device = DeviceSection(ui, on_chosen=self._set("device"))
        self._table = CasesTable(ui.casesTable, on_changed=self._keep_cases)
        ui.sourceComboBox.addItem(_("Scans of this scene"), FROM_SCENE)
        ui.sourceComboBox.addItem(_("A folder of cases"), FROM_FOLDER)
        ui.sourceComboBox.connect("activated(int)", self._source_chosen)
        ui.findCasesButton.connect("clicked(bool)", lambda checked: self._keep_cases(()))
        ui.folderButton.connect("clicked(bool)", lambda checked: self._choose_folder())
        for edit, name in self._edits():
            edit.connect("editingFinished()", lambda edit=edit, name=name: self._set(name)(edit.text.strip()))
        ui.iterationsSpinBox.connect("valueChanged(int)", self._set("iterations"))

    def connect(self, parameters: Any, node: Any) -> None:
        """Show and change these parameters, and the cases of their node, from now on; None: no ones."""
        self.parameters, self._node = parameters, node

    def show(self, *, editable: bool) -> None:
        """Show the choices; they cannot be changed while they are used."""
        ui, parameters = self.ui, self.parameters
        from_scene = parameters.source != FROM_FOLDER
        ui.sourceComboBox.setCurrentIndex(max(0, ui.sourceComboBox.findData(parameters.source)))
        ui.casesTable.visible = ui.findCasesButton.visible = from_scene
        ui.folderWidget.visible = not from_scene
        cases = self.cases()
        self._table.show(cases, editable=editable)
        ui.casesLabel.text = _cases_text(cases) if from_scene else _folder_text()
        for edit, name in self._edits():
            if edit.text != getattr(parameters, name) and not edit.hasFocus():
                edit.text = getattr(parameters, name)
        ui.iterationsSpinBox.value = parameters.iterations
        self.recipe.choose(parameters.recipe)
        self._device.choose(parameters.device)

    def set_editable(self, editable: bool) -> None:
        """Allow or forbid changes, without showing anything else."""
        ui = self.ui
        for widget in (
            ui.sourceComboBox,
            ui.findCasesButton,
            ui.folderWidget,
            ui.recipeComboBox,
            ui.titleLineEdit,
            ui.moreCollapsibleGroupBox,
        ):
            widget.enabled = editable

    def show_devices(self, devices: Sequence[Mapping[str, Any]]) -> None:
        """Offer what the worker computes on."""
        self._device.show_devices(devices)

    @property
    def device(self) -> str:
        """The chosen one, or "auto"."""
        return "auto" if self.parameters is None else str(self.parameters.device)

    @property
    def device_used(self) -> tuple[str, Sequence[Mapping[str, Any]]]:
        """The one that is meant by the choice, and all that are known."""
        return resolve(self.device, self._device.devices), self._device.devices

    def show_recipes(self, recipes: Sequence[Mapping[str, Any]]) -> None:
        """Offer the worker's recipes; where none is chosen, one that every computer can train."""
        self.recipe.show_recipes(recipes)
        if self.parameters is not None and not self.parameters.recipe and recipes:
            self._set("recipe")(_modest(recipes))

    def cases(self) -> tuple[SceneCase, ...]:
        """The cases of the scene: as the user made them, else as they are guessed."""
        if self._node is None:
            return ()
        return with_new_scans(slicer.mrmlScene, read_cases(self._node))

    def keep_cases(self, cases: Sequence[SceneCase]) -> None:
        """From now on these are no guesses but the user's choice."""
        write_cases(self._node, cases)

    def problem(self) -> str:
        """Why no training can begin, in one sentence; empty: nothing is known that stands in its way."""
        if self.parameters is None:
            return ""
        if self.parameters.source == FROM_FOLDER:
            problem = "" if self.parameters.dataFolder else _("Choose the folder of the cases first.")
        else:
            problem = cases_problem(slicer.mrmlScene, self.cases())
        return problem or self.recipe.problem()

    def request(self) -> TrainingRequest:
        """The training that is chosen. Raises `UserError` for settings that are none."""
        parameters = self.parameters
        settings = split_settings(parameters.settings)
        if parameters.iterations:
            settings = (*settings, f"training.iterations={parameters.iterations}")
        from_scene = parameters.source != FROM_FOLDER
        return TrainingRequest(
            recipe=parameters.recipe,
            cases=self.cases() if from_scene else (),
            folder="" if from_scene else parameters.dataFolder,
            settings=settings,
            device=parameters.device,
            title=parameters.title.strip() or self.recipe.title,
        )

    def request_or_none(self) -> TrainingRequest | None:
        """As `request`; None where that raises."""
        try:
            return self.request()
        except UserError:
            return None

    def add_settings(self, settings: Sequence[str]) -> None:
        """Put settings behind those that are there; the same key is replaced. Raises `UserError` as `request`."""
        keys = {setting.partition("=")[0] for setting in settings}
        kept = [word for word in split_settings(self.parameters.settings) if word.partition("=")[0] not in keys]
        self._set("settings")(" ".join((*kept, *settings)))

    def _edits(self) -> tuple[tuple[Any, str], ...]:
        ui = self.ui
        return (ui.folderLineEdit, "dataFolder"), (ui.titleLineEdit, "title"), (ui.settingsLineEdit, "settings")

    def _set(self, name: str) -> Callable[[Any], None]:
        def change(value: Any) -> None:
            if self.parameters is not None and getattr(self.parameters, name) != value:
                setattr(self.parameters, name, value)
                self._on_changed()

        return change

    def _source_chosen(self, position: int) -> None:
        self._set("source")(str(self.ui.sourceComboBox.itemData(position)))

    def _keep_cases(self, cases: Sequence[SceneCase]) -> None:
        if self.parameters is not None:
            self.keep_cases(cases)
            self._on_changed()

    def _choose_folder(self) -> None:
        folder = qt.QFileDialog.getExistingDirectory(self.ui.folderButton.window(), _("Folder of cases"))
        if folder:
            self._set("dataFolder")(str(folder))


def _modest(recipes: Sequence[Mapping[str, Any]]) -> str:
    """Name of the first recipe that learns from labels, on a laptop if there is such a one."""
    supervised = [str(recipe["name"]) for recipe in recipes if recipe.get("strategy") == "supervised"]
    names = [name for name in supervised if name.endswith("laptop")] or supervised
    return names[0] if names else str(recipes[0]["name"])


def _cases_text(cases: Sequence[SceneCase]) -> str:
    used = [case for case in cases if case.is_used]
    labelled = sum(1 for case in used if case.segmentation_id)
    text = _("{labelled} with labels, {unlabelled} without, of {patients} patients.")
    patients = len({case.patient for case in used})
    return text.format(labelled=labelled, unlabelled=len(used) - labelled, patients=patients)


def _folder_text() -> str:
    return _("The folder has dataset.json (nnU-Net, Decathlon), or the folders images and labels.")
