"""The choice of recipe, in plain words."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from MomentumSegLib.translation import tr as _


class RecipeSection:
    """Lists the worker's recipes and says what the chosen one is for and what it needs.

    Args:
        ui: widgets of the panel.
        on_chosen: called with a recipe's name when the user chooses it.
    """

    def __init__(self, ui: Any, *, on_chosen: Callable[[str], None]) -> None:
        self.ui = ui
        self._on_chosen = on_chosen
        self._recipes: list[Mapping[str, Any]] = []
        self._chosen = ""
        ui.recipeComboBox.connect("activated(int)", self._activated)
        self._show()

    @property
    def recipes(self) -> Sequence[Mapping[str, Any]]:
        return self._recipes

    @property
    def title(self) -> str:
        """Of the chosen recipe; its name where the worker has not told yet."""
        recipe = self._recipe()
        return str(recipe["title"]) if recipe else self._chosen

    def title_of(self, name: str) -> str:
        """Title of a recipe by its name, or the name."""
        return next((str(recipe["title"]) for recipe in self._recipes if recipe["name"] == name), name)

    def show_recipes(self, recipes: Sequence[Mapping[str, Any]]) -> None:
        """Show these: dictionaries as the worker's ``list_recipes`` returns them."""
        self._recipes = list(recipes)
        self._show()

    def choose(self, name: str) -> None:
        """Show a choice that was made elsewhere, such as in a loaded scene."""
        if name != self._chosen:
            self._chosen = name
            self._show()

    def problem(self) -> str:
        """Why no training can begin with the choice; empty: it can, or the recipes are not known yet."""
        if not self._chosen:
            return _("Choose a recipe first.") if self._recipes else ""
        if self._recipes and self._recipe() is None:
            return _('The recipe "{name}" is not known here: choose another one.').format(name=self._chosen)
        return ""

    def _recipe(self) -> Mapping[str, Any] | None:
        return next((recipe for recipe in self._recipes if recipe["name"] == self._chosen), None)

    def _activated(self, position: int) -> None:
        self._chosen = str(self.ui.recipeComboBox.itemData(position) or "")
        self._show()
        self._on_chosen(self._chosen)

    def _show(self) -> None:
        combo = self.ui.recipeComboBox
        was_blocked = combo.blockSignals(True)
        combo.clear()
        for recipe in self._recipes:
            combo.addItem(str(recipe["title"]), str(recipe["name"]))
        if combo.findData(self._chosen) < 0:
            combo.addItem(self._chosen or _("Choose a recipe"), self._chosen)
        combo.setCurrentIndex(combo.findData(self._chosen))
        combo.blockSignals(was_blocked)
        recipe = self._recipe()
        self.ui.recipeLabel.visible = recipe is not None
        if recipe is not None:
            self.ui.recipeLabel.text = _text(recipe)


def _text(recipe: Mapping[str, Any]) -> str:
    parts = [str(recipe.get("purpose") or "")]
    if recipe.get("needs"):
        parts.append(_("Needs: {needs}").format(needs=recipe["needs"]))
    dimensions = {"2": _("slice by slice"), "3": _("in three dimensions")}.get(str(recipe.get("dimensions"))[:1], "")
    kind = ", ".join(text for text in (str(recipe.get("network") or ""), dimensions) if text)
    if kind:
        parts.append(_("Network: {kind}").format(kind=kind))
    return "<br>".join(html.escape(part) for part in parts if part)
