"""ResNet-50 as an encoder with features at every stride, plain and with momentum.

Source: He et al., "Deep residual learning", CVPR 2016. Parameter names are those of the published files.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from momentumseg.errors import InputError
from momentumseg.networks.backbones.resnet_dilated import Bottleneck
from momentumseg.networks.blocks.momentum_sequence import MomentumSequence, MomentumSettings

_STAGES = ((64, 64, 3, 1), (256, 128, 4, 2), (512, 256, 6, 2), (1024, 512, 3, 2))  # inputs, width, blocks, stride


class ResNet50Encoder(nn.Module):
    """Features of ResNet-50; the momentum sequences are the blocks of a stage behind the first, which changes shape.

    A block ends with a ReLU, so f(x) = block(x) - x: without momentum it is ResNet-50 to the last bit, and published
    weights fit. With momentum they are a start that needs fine-tuning.

    Args:
        settings: momentum and differentiation.
        in_channels: of the images; published files have 3.
        stages: 1 to 4 of its four.

    Attributes:
        channels: of the features that ``forward`` returns.
    """

    def __init__(self, settings: MomentumSettings | None = None, in_channels: int = 3, stages: int = 4) -> None:
        super().__init__()
        if not 1 <= stages <= len(_STAGES):
            raise InputError(f"ResNet-50 has no {stages} stages; choose 1 to {len(_STAGES)}.")
        settings = settings or MomentumSettings()
        self.channels = (64, *(width * 4 for _, width, _, _ in _STAGES[:stages]))
        self.stages = stages
        self.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        for index, (inputs, width, count, stride) in enumerate(_STAGES[:stages], start=1):
            first = Bottleneck(inputs, width, stride=stride)
            following = (Bottleneck(width * 4, width) for _ in range(count - 1))
            stage = MomentumSequence([first, *following], settings, lead=1, of_blocks=True)
            self.add_module(f"layer{index}", stage)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Features at strides 2, 4, 8, ... of images ``(B, in_channels, H, W)``."""
        found = [functional.relu(self.bn1(self.conv1(images)))]
        features = functional.max_pool2d(found[0], 3, stride=2, padding=1)
        for index in range(1, self.stages + 1):
            features = getattr(self, f"layer{index}")(features)
            found.append(features)
        return found
