"""Logits of formula weights for the architectures that the shared goldens leave out.

An implementation of its own in NumPy and float64, written down from the papers and torchvision's tensor names. Before
it writes anything it checks itself against PyTorch's logits of DenseNet-121 and ResNet-18 in models-1.json.

    pip install numpy
    PYTHONPATH=SHARED/goldens python generate_models.py SHARED/goldens/models-1.json > models.json
"""
import json
import sys

import numpy as np

import formula

SEED = 1


def weight(name, *shape):
    return formula.tensor(name, shape, SEED).astype(np.float64)


def windows(x, kernel, stride, pad, fill):
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), constant_values=fill)
    view = np.lib.stride_tricks.sliding_window_view(x, (kernel, kernel), axis=(2, 3))
    return view[:, :, ::stride, ::stride]


def conv(x, name, outputs, kernel, stride=1):
    w = weight(name + ".weight", outputs, x.shape[1], kernel, kernel)
    view = windows(x, kernel, stride, kernel // 2, 0.0)
    return np.moveaxis(np.tensordot(view, w, ((1, 4, 5), (1, 2, 3))), 3, 1)


def norm(x, name):
    g, b, m, v = (weight(f"{name}.{p}", x.shape[1])[:, None, None] for p in ("weight", "bias", "running_mean", "running_var"))
    return (x - m) / np.sqrt(v + 1e-5) * g + b


def relu(x):
    return np.maximum(x, 0)


def max_pool(x):
    return windows(x, 3, 2, 1, -np.inf).max((4, 5))


def classify(x, name, classes):
    return x.mean((2, 3)) @ weight(name + ".weight", classes, x.shape[1]).T + weight(name + ".bias", classes)


def densenet(x, growth, blocks, classes):
    x = max_pool(relu(norm(conv(x, "features.conv0", 2 * growth, 7, 2), "features.norm0")))
    for i, layers in enumerate(blocks, 1):
        for j in range(1, layers + 1):
            name = f"features.denseblock{i}.denselayer{j}."
            y = conv(relu(norm(x, name + "norm1")), name + "conv1", 4 * growth, 1)
            y = conv(relu(norm(y, name + "norm2")), name + "conv2", growth, 3)
            x = np.concatenate([x, y], 1)
        if i < 4:
            name = f"features.transition{i}."
            x = conv(relu(norm(x, name + "norm")), name + "conv", x.shape[1] // 2, 1)
            h, w = x.shape[2] // 2, x.shape[3] // 2
            x = x[:, :, : 2 * h, : 2 * w].reshape(x.shape[0], x.shape[1], h, 2, w, 2).mean((3, 5))
    return classify(relu(norm(x, "features.norm5")), "classifier", classes)


def resnet(x, blocks, bottleneck, classes):
    x = max_pool(relu(norm(conv(x, "conv1", 64, 7, 2), "bn1")))
    for i, count in enumerate(blocks):
        width = 64 << i
        for j in range(count):
            name, stride = f"layer{i + 1}.{j}.", 2 if i > 0 and j == 0 else 1
            convs = [(width, 1, 1), (width, 3, stride), (4 * width, 1, 1)] if bottleneck else [(width, 3, stride), (width, 3, 1)]
            y = x
            for k, (outputs, kernel, s) in enumerate(convs, 1):
                y = norm(conv(y, f"{name}conv{k}", outputs, kernel, s), f"{name}bn{k}")
                y = relu(y) if k < len(convs) else y
            if stride > 1 or x.shape[1] != y.shape[1]:
                x = norm(conv(x, name + "downsample.0", y.shape[1], 1, stride), name + "downsample.1")
            x = relu(x + y)
    return classify(x, "fc", classes)


def logits(name, shape, classes):
    x = weight("input", *shape)
    return {
        "densenet121": lambda: densenet(x, 32, (6, 12, 24, 16), classes),
        "densenet161": lambda: densenet(x, 48, (6, 12, 36, 24), classes),
        "densenet169": lambda: densenet(x, 32, (6, 12, 32, 32), classes),
        "densenet201": lambda: densenet(x, 32, (6, 12, 48, 32), classes),
        "resnet18": lambda: resnet(x, (2, 2, 2, 2), False, classes),
        "resnet34": lambda: resnet(x, (3, 4, 6, 3), False, classes),
        "resnet50": lambda: resnet(x, (3, 4, 6, 3), True, classes),
    }[name]().ravel()


def main():
    golden = json.load(open(sys.argv[1]))["models"]
    for name, classes in (("densenet121", 14), ("resnet18", 1)):
        off = np.abs(logits(name, (2, 3, 224, 224), classes) - golden[name]["logits"]).max()
        print(f"{name}: {off:.1e} from PyTorch", file=sys.stderr)
        assert off < 1e-3
    doc = {"input": "tensor('input', (1, 3, 70, 64))", "classes": 3, "logits": {}}
    for name in ("densenet161", "densenet169", "densenet201", "resnet34", "resnet50"):
        doc["logits"][name] = list(logits(name, (1, 3, 70, 64), 3))
    json.dump(doc, sys.stdout, indent=1)
    print()


main()
