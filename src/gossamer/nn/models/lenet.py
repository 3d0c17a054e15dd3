"""LeNets: the two small networks that pruning papers train on handwritten digits."""

from __future__ import annotations

from torch import Tensor, nn


class LeNet300(nn.Module):
    """LeNet-300-100: three linear layers with ReLU, 266 610 parameters by default.

    Parameters
    ----------
    inputs : int, default 784
        Pixels of an image; images of any shape are flattened.
    hidden : pair of int, default (300, 100)
    classes : int, default 10

    References
    ----------
    LeCun, Bottou, Bengio and Haffner (1998), Gradient-based learning applied to document
    recognition, section III.

    Examples
    --------
    >>> import torch
    >>> LeNet300()(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self, inputs: int = 784, hidden: tuple[int, int] = (300, 100), classes: int = 10
    ) -> None:
        super().__init__()
        first, second = hidden
        self.flatten = nn.Flatten()
        self.fc1 = nn.Linear(inputs, first)
        self.relu1 = nn.ReLU()
        self.fc2 = nn.Linear(first, second)
        self.relu2 = nn.ReLU()
        self.fc3 = nn.Linear(second, classes)

    def forward(self, images: Tensor) -> Tensor:
        """(n, ...) images to (n, classes) logits."""
        hidden = self.relu1(self.fc1(self.flatten(images)))
        return self.fc3(self.relu2(self.fc2(hidden)))


class LeNet5(nn.Module):
    """A LeNet-5-type convolutional network for 28 x 28 images, 431 080 parameters by default.

    Two convolutions of 5 x 5, each with ReLU and max-pooling by 2, then two linear layers. The
    widths are those of the pruning literature, which are larger than the original's.

    Parameters
    ----------
    channels : pair of int, default (20, 50)
        Filters of the two convolutions.
    hidden : int, default 500
        Width of the first linear layer.
    classes : int, default 10
    inputs : int, default 1
        Channels of an image.

    References
    ----------
    LeCun, Bottou, Bengio and Haffner (1998), Gradient-based learning applied to document
    recognition, section II. The widths: Han, Pool, Tran and Dally (2015), Learning both weights
    and connections for efficient neural networks, section 4.1.

    Examples
    --------
    >>> import torch
    >>> LeNet5()(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self,
        channels: tuple[int, int] = (20, 50),
        hidden: int = 500,
        classes: int = 10,
        inputs: int = 1,
    ) -> None:
        super().__init__()
        first, second = channels
        self.conv1 = nn.Conv2d(inputs, first, kernel_size=5)
        self.relu1 = nn.ReLU()
        self.pool1 = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(first, second, kernel_size=5)
        self.relu2 = nn.ReLU()
        self.pool2 = nn.MaxPool2d(2)
        self.flatten = nn.Flatten()
        self.fc1 = nn.Linear(second * 4 * 4, hidden)
        self.relu3 = nn.ReLU()
        self.fc2 = nn.Linear(hidden, classes)

    def forward(self, images: Tensor) -> Tensor:
        """(n, inputs, 28, 28) images to (n, classes) logits."""
        maps = self.pool1(self.relu1(self.conv1(images)))
        maps = self.pool2(self.relu2(self.conv2(maps)))
        return self.fc2(self.relu3(self.fc1(self.flatten(maps))))
