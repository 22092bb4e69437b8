"""Only what pyproject.toml cannot say: Resources/ of the repository's root travels inside the built package."""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent


class BuildWithResources(build_py):
    """Copies Resources/ to the package momentumseg_resources; an editable install reads it where it is."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            shutil.copytree(ROOT / "Resources", Path(self.build_lib) / "momentumseg_resources", dirs_exist_ok=True)


setup(cmdclass={"build_py": BuildWithResources})
