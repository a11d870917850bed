"""Convolution blocks of the image networks, and the axis of the references of each target."""

from __future__ import annotations

from typing import TypeVar

from einops import rearrange, repeat
from torch import Tensor, nn

Layer = TypeVar("Layer", nn.Linear, nn.Conv2d)


def conv3(channels_in: int, channels_out: int, stride: int = 1) -> nn.Conv2d:
    """A 3x3 convolution that keeps the size, or divides it by the stride.

    Uses He's initialization: with torch's default every layer shrinks its input, and a deep network first learns from
    its biases only.
    """
    conv = nn.Conv2d(channels_in, channels_out, 3, stride, 1)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    return conv


def zeroed(layer: Layer) -> Layer:
    """The layer with weights and bias of 0, so that at first it adds nothing."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


class Unshuffle(nn.Module):
    """`nn.PixelUnshuffle` as two transpositions of few axes.

    ONNX Runtime makes of torch's own one transposition of six axes, which takes seven times as long.
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, H, W)` to `(B, C side^2, H / side, W / side)`."""
        return unshuffled(x, self.side)


class Shuffle(nn.Module):
    """`nn.PixelShuffle` as two transpositions of few axes, for the same reason as `Unshuffle`."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C side^2, H, W)` to `(B, C, H side, W side)`."""
        side, (channels, height, width) = self.side, x.shape[1:]
        columns = x.reshape(-1, side, height * width).transpose(1, 2).reshape(-1, side, height, width * side)
        rows = columns.transpose(1, 2)
        return rows.reshape(-1, channels // side**2, height * side, width * side)


def unshuffled(x: Tensor, side: int) -> Tensor:
    """As by `Unshuffle`, for use without a module."""
    channels, height, width = x.shape[1], x.shape[2] // side, x.shape[3] // side
    rows = x.reshape(-1, height, side, width * side).transpose(1, 2)
    columns = rows.reshape(-1, height * width, side).transpose(1, 2)
    return columns.reshape(-1, channels * side**2, height, width)


class ResBlock(nn.Module):
    """x + conv(relu(conv(relu(x)))); initialized as the identity, so that depth does no harm at step 0."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.ReLU(), conv3(channels, channels), nn.ReLU(), zeroed(conv3(channels, channels)))

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, H, W)` to the same shape."""
        out: Tensor = x + self.body(x)
        return out


def res_blocks(channels: int, count: int) -> nn.Sequential:
    """A sequence of `count` residual blocks."""
    return nn.Sequential(*(ResBlock(channels) for _ in range(count)))


def upsample(channels_in: int, channels_out: int) -> nn.Sequential:
    """Twice the resolution by PixelShuffle, then the mean of each 2x2 pixels.

    Each of the four sub-pixels has its own kernels, whose differences would leave a lattice of dots two pixels apart;
    the mean removes it. The kernels are initialized equal.
    """
    conv = conv3(channels_in, 4 * channels_out)
    conv.weight.data = conv.weight.data[::4].repeat_interleave(4, 0)
    conv.bias.data = conv.bias.data[::4].repeat_interleave(4, 0)  # type: ignore[union-attr]
    return nn.Sequential(conv, Shuffle(2), nn.ReplicationPad2d((1, 0, 1, 0)), nn.AvgPool2d(2, stride=1))


class NormResidual(nn.Module):
    """relu(x + norm(conv(x))), with a 3x3 convolution and batch normalization, as in Wav2Lip and IP_LAP."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        )
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, H, W)` to the same shape."""
        output: Tensor = self.activation(x + self.convolution(x))
        return output


def conv_norm(
    channels_in: int, channels_out: int, stride: int | tuple[int, int] = 1, padding: int = 1, kernel: int = 3
) -> nn.Sequential:
    """A convolution, batch normalization and ReLU."""
    conv = nn.Conv2d(channels_in, channels_out, kernel, stride, padding, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels_out), nn.ReLU())


def grouped(x: Tensor, count: int) -> Tensor:
    """`(b k, ...)` to `(b, k, ...)`, with `count` = k."""
    return rearrange(x, "(b k) ... -> b k ...", k=count)


def flat(x: Tensor) -> Tensor:
    """`(b, k, ...)` to `(b k, ...)`."""
    return rearrange(x, "b k ... -> (b k) ...")


def each(x: Tensor, count: int) -> Tensor:
    """Every target's features once for each of its references."""
    return repeat(x, "b ... -> (b k) ...", k=count)
