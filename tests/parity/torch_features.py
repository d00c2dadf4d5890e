"""The published feature networks restated in torch, with the names of their checkpoints."""

import torch
import torch.nn.functional as F
from torch import nn

VGG16 = ("64 64! M 128 128! M 256 256 256! M 512 512 512! M 512 512 512!").split()


def some(channels: int, shrink: int) -> int:
    return max(1, channels // shrink)


class ClassifierFeatures(nn.Module):
    """torchvision's VGG-16 or AlexNet features with the outputs that LPIPS compares."""

    def __init__(self, backbone: str, shrink: int):
        super().__init__()
        if backbone == "vgg":
            self.features, self.taps = self._vgg(shrink)
        else:
            self.features, self.taps = self._alexnet(shrink)
        self.classifier = nn.Sequential(nn.Linear(3, 2))

    @staticmethod
    def _vgg(shrink):
        layers, taps, width = [], [], 3
        for word in VGG16:
            if word == "M":
                layers.append(nn.MaxPool2d(2, 2))
                continue
            channels = some(int(word.rstrip("!")), shrink)
            layers += [nn.Conv2d(width, channels, 3, padding=1), nn.ReLU()]
            width = channels
            if word.endswith("!"):
                taps.append(len(layers) - 1)
        return nn.Sequential(*layers), taps

    @staticmethod
    def _alexnet(shrink):
        a, b, c, d = (some(n, shrink) for n in (64, 192, 384, 256))
        layers = nn.Sequential(
            nn.Conv2d(3, a, 11, stride=4, padding=2),
            *(nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(a, b, 5, padding=2)),
            *(nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(b, c, 3, padding=1)),
            *(nn.ReLU(), nn.Conv2d(c, d, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(d, d, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2)),
        )
        return layers, [1, 4, 7, 9, 11]

    def forward(self, x):
        shift = torch.tensor([-0.030, -0.088, -0.188])[:, None, None]
        x, maps = (x - shift) / torch.tensor([0.458, 0.448, 0.450])[:, None, None], []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in self.taps:
                maps.append(x)
        return maps


class Head(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.model = nn.Sequential(nn.Dropout(), nn.Conv2d(channels, 1, 1, bias=False))


class Heads(nn.Module):
    """The linear heads of the lpips package."""

    def __init__(self, channels: list[int]):
        super().__init__()
        for index, width in enumerate(channels):
            setattr(self, f"lin{index}", Head(width))

    def forward(self, maps_a, maps_b):
        total = 0
        for index, (a, b) in enumerate(zip(maps_a, maps_b, strict=True)):
            a = a / (a.pow(2).sum(1, keepdim=True).sqrt() + 1e-10)
            b = b / (b.pow(2).sum(1, keepdim=True).sqrt() + 1e-10)
            head = getattr(self, f"lin{index}").model[1]
            total = total + head((a - b) ** 2).mean((2, 3))[:, 0]
        return total


class Basic(nn.Module):
    def __init__(self, cin, cout, kernel, stride=1, padding=0):
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(cout, eps=0.001)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)))


def inner_average(x):
    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


class InceptionA(nn.Module):
    def __init__(self, cin, pool, s):
        super().__init__()
        self.branch1x1 = Basic(cin, some(64, s), 1)
        self.branch5x5_1 = Basic(cin, some(48, s), 1)
        self.branch5x5_2 = Basic(some(48, s), some(64, s), 5, padding=2)
        self.branch3x3dbl_1 = Basic(cin, some(64, s), 1)
        self.branch3x3dbl_2 = Basic(some(64, s), some(96, s), 3, padding=1)
        self.branch3x3dbl_3 = Basic(some(96, s), some(96, s), 3, padding=1)
        self.branch_pool = Basic(cin, some(pool, s), 1)

    def forward(self, x):
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        five = self.branch5x5_2(self.branch5x5_1(x))
        return torch.cat([self.branch1x1(x), five, double, self.branch_pool(inner_average(x))], 1)


class InceptionB(nn.Module):
    def __init__(self, cin, s):
        super().__init__()
        self.branch3x3 = Basic(cin, some(384, s), 3, 2)
        self.branch3x3dbl_1 = Basic(cin, some(64, s), 1)
        self.branch3x3dbl_2 = Basic(some(64, s), some(96, s), 3, padding=1)
        self.branch3x3dbl_3 = Basic(some(96, s), some(96, s), 3, 2)

    def forward(self, x):
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), double, F.max_pool2d(x, 3, 2)], 1)


class InceptionC(nn.Module):
    def __init__(self, cin, inner, s):
        super().__init__()
        c, out, row, column = some(inner, s), some(192, s), (1, 7), (7, 1)
        self.branch1x1 = Basic(cin, out, 1)
        self.branch7x7_1 = Basic(cin, c, 1)
        self.branch7x7_2 = Basic(c, c, row, padding=(0, 3))
        self.branch7x7_3 = Basic(c, out, column, padding=(3, 0))
        self.branch7x7dbl_1 = Basic(cin, c, 1)
        self.branch7x7dbl_2 = Basic(c, c, column, padding=(3, 0))
        self.branch7x7dbl_3 = Basic(c, c, row, padding=(0, 3))
        self.branch7x7dbl_4 = Basic(c, c, column, padding=(3, 0))
        self.branch7x7dbl_5 = Basic(c, out, row, padding=(0, 3))
        self.branch_pool = Basic(cin, out, 1)

    def forward(self, x):
        single = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        pool = self.branch_pool(inner_average(x))
        return torch.cat([self.branch1x1(x), single, double, pool], 1)


class InceptionD(nn.Module):
    def __init__(self, cin, s):
        super().__init__()
        c = some(192, s)
        self.branch3x3_1 = Basic(cin, c, 1)
        self.branch3x3_2 = Basic(c, some(320, s), 3, 2)
        self.branch7x7x3_1 = Basic(cin, c, 1)
        self.branch7x7x3_2 = Basic(c, c, (1, 7), padding=(0, 3))
        self.branch7x7x3_3 = Basic(c, c, (7, 1), padding=(3, 0))
        self.branch7x7x3_4 = Basic(c, c, 3, 2)

    def forward(self, x):
        long = self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x)))
        short = self.branch3x3_2(self.branch3x3_1(x))
        return torch.cat([short, self.branch7x7x3_4(long), F.max_pool2d(x, 3, 2)], 1)


class InceptionE(nn.Module):
    def __init__(self, cin, pool, s):
        super().__init__()
        c, d, row, column = some(384, s), some(448, s), (1, 3), (3, 1)
        self.pool = pool
        self.branch1x1 = Basic(cin, some(320, s), 1)
        self.branch3x3_1 = Basic(cin, c, 1)
        self.branch3x3_2a = Basic(c, c, row, padding=(0, 1))
        self.branch3x3_2b = Basic(c, c, column, padding=(1, 0))
        self.branch3x3dbl_1 = Basic(cin, d, 1)
        self.branch3x3dbl_2 = Basic(d, c, 3, padding=1)
        self.branch3x3dbl_3a = Basic(c, c, row, padding=(0, 1))
        self.branch3x3dbl_3b = Basic(c, c, column, padding=(1, 0))
        self.branch_pool = Basic(cin, some(192, s), 1)

    def forward(self, x):
        one, two = self.branch3x3_1(x), self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        outputs = [self.branch1x1(x), self.branch3x3_2a(one), self.branch3x3_2b(one)]
        outputs += [self.branch3x3dbl_3a(two), self.branch3x3dbl_3b(two)]
        return torch.cat([*outputs, self.branch_pool(self.pool(x))], 1)


class Inception(nn.Module):
    """pytorch-fid's network up to the pooled features, with the unused classifier."""

    def __init__(self, s: int = 1):
        super().__init__()
        self.Conv2d_1a_3x3 = Basic(3, some(32, s), 3, 2)
        self.Conv2d_2a_3x3 = Basic(some(32, s), some(32, s), 3)
        self.Conv2d_2b_3x3 = Basic(some(32, s), some(64, s), 3, padding=1)
        self.Conv2d_3b_1x1 = Basic(some(64, s), some(80, s), 1)
        self.Conv2d_4a_3x3 = Basic(some(80, s), some(192, s), 3)
        five = [sum(some(n, s) for n in (64, 64, 96, p)) for p in (32, 64, 64)]
        six = some(384, s) + some(96, s) + five[2]
        wide = 4 * some(192, s)
        seven = some(320, s) + some(192, s) + wide
        last = some(320, s) + 4 * some(384, s) + some(192, s)
        self.Mixed_5b = InceptionA(some(192, s), 32, s)
        self.Mixed_5c = InceptionA(five[0], 64, s)
        self.Mixed_5d = InceptionA(five[1], 64, s)
        self.Mixed_6a = InceptionB(five[2], s)
        self.Mixed_6b = InceptionC(six, 128, s)
        self.Mixed_6c = InceptionC(wide, 160, s)
        self.Mixed_6d = InceptionC(wide, 160, s)
        self.Mixed_6e = InceptionC(wide, 192, s)
        self.Mixed_7a = InceptionD(wide, s)
        self.Mixed_7b = InceptionE(seven, inner_average, s)
        self.Mixed_7c = InceptionE(last, lambda x: F.max_pool2d(x, 3, 1, 1), s)
        self.fc = nn.Linear(last, some(1008, s))

    def forward(self, x):
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, 2)))
        x = F.max_pool2d(x, 3, 2)
        for name, block in self.named_children():
            if name.startswith("Mixed"):
                x = block(x)
        return F.adaptive_avg_pool2d(x, 1)[..., 0, 0]


class Bottleneck(nn.Module):
    def __init__(self, cin, planes, stride=1, projects=False):
        super().__init__()
        self.conv1 = nn.Conv3d(cin, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm3d(planes)
        self.conv2 = nn.Conv3d(planes, planes, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm3d(planes)
        self.conv3 = nn.Conv3d(planes, 4 * planes, 1, bias=False)
        self.bn3 = nn.BatchNorm3d(4 * planes)
        if projects:
            conv = nn.Conv3d(cin, 4 * planes, 1, stride, bias=False)
            self.downsample = nn.Sequential(conv, nn.BatchNorm3d(4 * planes))
        else:
            self.downsample = nn.Identity()

    def forward(self, x):
        hidden = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))
        return F.relu(self.bn3(self.conv3(hidden)) + self.downsample(x))


class ResNet3D(nn.Module):
    def __init__(self, s: int = 1):
        super().__init__()
        width = some(64, s)
        self.conv1 = nn.Conv3d(3, width, 7, (1, 2, 2), 3, bias=False)
        self.bn1 = nn.BatchNorm3d(width)
        for number, (depth, stride) in enumerate(((3, 1), (4, 2), (6, 2), (3, 2))):
            planes = some(64 * 2**number, s)
            blocks = [Bottleneck(width, planes, stride, True)]
            blocks += [Bottleneck(4 * planes, planes) for _ in range(depth - 1)]
            setattr(self, f"layer{number + 1}", nn.Sequential(*blocks))
            width = 4 * planes
        self.fc = nn.Linear(width, some(400, s))

    def forward(self, x):
        x = F.max_pool3d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return F.avg_pool3d(x, x.shape[2:]).flatten(1)


def same_border(x, kernel, stride):
    """Pad with zeros as TensorFlow's SAME does."""
    pads = []
    for size, k, s in reversed(list(zip(x.shape[2:], kernel, stride, strict=True))):
        total = max(k - s, 0) if size % s == 0 else max(k - size % s, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads)


def same_max_pool(x, kernel, stride):
    return F.max_pool3d(same_border(x, kernel, stride), kernel, stride)


class Unit3D(nn.Module):
    def __init__(self, cin, cout, size=1, stride=1, norm=True):
        super().__init__()
        self.kernel, self.stride = (size,) * 3, (stride,) * 3
        self.conv3d = nn.Conv3d(cin, cout, size, stride, bias=not norm)
        self.bn = nn.BatchNorm3d(cout, eps=0.001) if norm else None

    def forward(self, x):
        x = self.conv3d(same_border(x, self.kernel, self.stride))
        return x if self.bn is None else F.relu(self.bn(x))


class I3DMixed(nn.Module):
    def __init__(self, cin, widths):
        super().__init__()
        self.b0 = Unit3D(cin, widths[0])
        self.b1a, self.b1b = Unit3D(cin, widths[1]), Unit3D(widths[1], widths[2], 3)
        self.b2a, self.b2b = Unit3D(cin, widths[3]), Unit3D(widths[3], widths[4], 3)
        self.b3b = Unit3D(cin, widths[5])

    def forward(self, x):
        pooled = same_max_pool(x, (3, 3, 3), (1, 1, 1))
        branches = [self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(pooled)]
        return torch.cat(branches, 1)


class I3D(nn.Module):
    MIXED = (
        ("3b", (64, 96, 128, 16, 32, 32)),
        ("3c", (128, 128, 192, 32, 96, 64)),
        ("4b", (192, 96, 208, 16, 48, 64)),
        ("4c", (160, 112, 224, 24, 64, 64)),
        ("4d", (128, 128, 256, 24, 64, 64)),
        ("4e", (112, 144, 288, 32, 64, 64)),
        ("4f", (256, 160, 320, 32, 128, 128)),
        ("5b", (256, 160, 320, 32, 128, 128)),
        ("5c", (384, 192, 384, 48, 128, 128)),
    )

    def __init__(self, s: int = 1):
        super().__init__()
        self.Conv3d_1a_7x7 = Unit3D(3, some(64, s), 7, 2)
        self.Conv3d_2b_1x1 = Unit3D(some(64, s), some(64, s))
        self.Conv3d_2c_3x3 = Unit3D(some(64, s), some(192, s), 3)
        width = some(192, s)
        for name, published in self.MIXED:
            widths = [some(n, s) for n in published]
            setattr(self, f"Mixed_{name}", I3DMixed(width, widths))
            width = widths[0] + widths[2] + widths[4] + widths[5]
        self.logits = Unit3D(width, some(400, s), norm=False)

    def forward(self, x):
        x = same_max_pool(self.Conv3d_1a_7x7(x), (1, 3, 3), (1, 2, 2))
        x = same_max_pool(self.Conv3d_2c_3x3(self.Conv3d_2b_1x1(x)), (1, 3, 3), (1, 2, 2))
        x = same_max_pool(self.Mixed_3c(self.Mixed_3b(x)), (3, 3, 3), (2, 2, 2))
        for name in ("4b", "4c", "4d", "4e", "4f"):
            x = getattr(self, f"Mixed_{name}")(x)
        x = self.Mixed_5c(self.Mixed_5b(same_max_pool(x, (2, 2, 2), (2, 2, 2))))
        x = self.logits(F.avg_pool3d(x, (1, 7, 7), 1))
        return x[..., 0, 0].mean(2)
