"""The encoder of LMS-Net, RPT and ADNet: a dilated ResNet whose features keep a quarter of the resolution.

Source: He et al., "Deep Residual Learning", CVPR 2016, with the strides of layer2 and layer3 replaced by dilation
(Yu et al., "Dilated Residual Networks", CVPR 2017), as in LMS-Net, section "feature extractor". Parameter names are
those of the published ResNet files, so that these load as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from momentumseg.errors import InputError
from momentumseg.networks.registry import register_backbone

_EXPANSION = 4
_RESNET101_BLOCKS = (3, 4, 23)


class Bottleneck(nn.Module):
    """1x1 reduce, dilated 3x3, 1x1 expand, each with batch normalisation; a projected skip where channels change.

    Args:
        inputs: channels in.
        width: channels of the 3x3 convolution; the block returns four times as many.
        dilation: of the 3x3 convolution, in cells of the feature map.
        stride: of the 3x3 convolution and the skip.
    """

    def __init__(self, inputs: int, width: int, dilation: int = 1, stride: int = 1) -> None:
        super().__init__()
        outputs = width * _EXPANSION
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=dilation, dilation=dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Sequential | None = None
        if inputs != outputs or stride != 1:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, features: Tensor) -> Tensor:
        skip = features if self.downsample is None else self.downsample(features)
        hidden = functional.relu(self.bn1(self.conv1(features)), inplace=True)
        hidden = functional.relu(self.bn2(self.conv2(hidden)), inplace=True)
        return functional.relu(self.bn3(self.conv3(hidden)) + skip, inplace=True)


class DilatedResNet(nn.Module):
    """ResNet up to layer3 at stride 4, then ``reduce1``: a 1x1 convolution without bias, norm or activation.

    The first block of a dilated layer keeps the dilation of the layer before it (1, then 2); the rest have the
    layer's own (2, then 4). In training mode the batch statistics of the images are used, as in the papers.

    Args:
        blocks: bottlenecks of layer1, layer2 and layer3; (3, 4, 23) is ResNet-101.
        width: channels of the stem; 64 in all published ResNets.
        channels: C of the features.
    """

    stride = 4

    def __init__(self, blocks: Sequence[int] = _RESNET101_BLOCKS, width: int = 64, channels: int = 512) -> None:
        super().__init__()
        if len(blocks) != 3 or min(blocks) < 1:
            raise InputError(f"The dilated ResNet has blocks {list(blocks)}; give three numbers of at least 1.")
        self.out_channels = channels
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = _layer(width, width, blocks[0], first_dilation=1, dilation=1)
        self.layer2 = _layer(width * 4, width * 2, blocks[1], first_dilation=1, dilation=2)
        self.layer3 = _layer(width * 8, width * 4, blocks[2], first_dilation=2, dilation=4)
        self.reduce1 = nn.Conv2d(width * 16, channels, 1, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Features ``(B, C, S/4, S/4)`` of images ``(B, 3, S, S)``."""
        features = functional.relu(self.bn1(self.conv1(images)), inplace=True)
        features = functional.max_pool2d(features, 3, stride=2, padding=1)
        return self.reduce1(self.layer3(self.layer2(self.layer1(features))))

    def pretrained_tensors(self) -> dict[str, Tensor]:
        """Tensors that a published ResNet file fills, by the file's names: all but ``reduce1``."""
        state = self.state_dict(keep_vars=True)
        return {name: value for name, value in state.items() if not name.startswith("reduce1.")}

    def trunk_parameters(self) -> list[nn.Parameter]:
        """Pretrained parameters, which training may change more slowly than the rest."""
        return [value for name, value in self.named_parameters() if not name.startswith("reduce1.")]


def _layer(inputs: int, width: int, blocks: int, first_dilation: int, dilation: int) -> nn.Sequential:
    following = [Bottleneck(width * _EXPANSION, width, dilation) for _ in range(blocks - 1)]
    return nn.Sequential(Bottleneck(inputs, width, first_dilation), *following)


register_backbone("resnet101_d4")(DilatedResNet)
