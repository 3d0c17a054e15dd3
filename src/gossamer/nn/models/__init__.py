"""Small models of the field's own experiments, in plain PyTorch."""

from gossamer.nn.models.lenet import LeNet5, LeNet300
from gossamer.nn.models.mobilenet import MobileNetV2
from gossamer.nn.models.residual import ResidualNet
from gossamer.nn.models.transformer import VisionTransformer

__all__ = ["LeNet5", "LeNet300", "MobileNetV2", "ResidualNet", "VisionTransformer"]
