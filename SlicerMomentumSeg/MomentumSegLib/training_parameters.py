"""What the user chose for a training: kept in a parameter node, so that it is saved and restored with the scene.

This file does not postpone its annotations: the wrapper reads them as classes when the module is imported.
"""

from slicer.parameterNodeWrapper import parameterNodeWrapper

FROM_SCENE = "scene"
FROM_FOLDER = "folder"


@parameterNodeWrapper
class TrainingParameters:
    """Parameters of the module. The chosen cases are beside them in the same node, see `training_cases`.

    Attributes:
        source: where the cases come from, "scene" or "folder".
        dataFolder: of cases, on the computer that trains.
        recipe: name of a recipe.
        iterations: of the training; 0: as many as the recipe says.
        settings: further ones, "table.key=value" with spaces between.
        device: a device of the worker, or "auto".
        title: of the training, and later of the model.
    """

    source: str = FROM_SCENE
    dataFolder: str = ""
    recipe: str = ""
    iterations: int = 0
    settings: str = ""
    device: str = "auto"
    title: str = ""
