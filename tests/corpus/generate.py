"""Small weight files as PyTorch and its ONNX exporters write them, and what they hold.

    pip install torch torchvision onnx onnxscript
    python generate.py          (run in this folder; PyTorch 2.x on a CPU)
"""
import io
import json
import math
import os
import warnings
from collections import OrderedDict

import torch
from torch import nn
import torchvision

warnings.filterwarnings("ignore")
torch.manual_seed(9)


class Evil:
    def __reduce__(self):
        return os.system, ("true",)


def net():
    """Two tensors of a DenseNet, and a norm with its counter."""
    features = nn.Sequential(OrderedDict(conv0=nn.Conv2d(1, 2, (1, 2), bias=False), norm0=nn.BatchNorm2d(2)))
    return nn.Sequential(OrderedDict(features=features, classifier=nn.Linear(2, 3))).eval()


def image(channels, side):
    values = [math.sin(c + 0.1 * i + 0.05 * j) for c in range(channels) for i in range(side) for j in range(side)]
    return torch.tensor(values, dtype=torch.float32).reshape(1, channels, side, side)


class Squeeze(nn.Module):
    """Squeeze and excitation: a pooling that is not the last one."""

    def __init__(self, channels):
        super().__init__()
        self.down, self.up = nn.Conv2d(channels, 2, 1), nn.Conv2d(2, channels, 1)

    def forward(self, x):
        return x * torch.sigmoid(self.up(torch.nn.functional.silu(self.down(x.mean((2, 3), keepdim=True)))))


class Mixed(nn.Module):
    """No known network: what graphs of other networks are made of."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 5, padding=2, groups=8)
        self.squeeze = Squeeze(8)
        self.dilated = nn.Conv2d(8, 12, 3, padding=2, dilation=2)
        self.wide = nn.Conv2d(12, 12, (1, 3), padding=(0, 1))
        self.mix = nn.LayerNorm(12)
        self.dense = nn.Sequential(nn.Linear(12, 6), nn.ReLU(), nn.Dropout(0.2), nn.Linear(6, 3, bias=False))

    def maps(self, x):
        x = torch.nn.functional.hardswish(self.norm(self.stem(x)))
        x = torch.nn.functional.max_pool2d(x, 2)
        x = x + self.squeeze(torch.nn.functional.silu(self.depthwise(x)))
        x = torch.nn.functional.gelu(self.dilated(x))
        x = torch.nn.functional.max_pool2d(torch.nn.functional.pad(x, (1, 0, 0, 1)), 3, stride=2, padding=1)
        x = torch.nn.functional.avg_pool2d(self.wide(x), 3, stride=1, padding=1, count_include_pad=False)
        tokens = self.mix(x.flatten(2).transpose(1, 2))
        weights = torch.softmax(tokens @ tokens.transpose(1, 2) / 3.0, -1)
        x = x + (weights @ tokens).transpose(1, 2).reshape(x.shape)
        return torch.cat(torch.split(torch.nn.functional.relu6(x), [6, 6], 1)[::-1], 1)

    def logits(self, maps):
        return self.dense(maps.mean((2, 3)))

    def forward(self, x):
        return torch.sigmoid(self.logits(self.maps(x)))


class Vgg(nn.Module):
    """Maps that are lined up for dense layers, without a global pooling."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3), nn.ReLU())
        self.classifier = nn.Sequential(nn.Linear(6 * 14 * 14, 5), nn.ReLU(), nn.Linear(5, 3))

    def maps(self, x):
        return self.features(x)

    def logits(self, maps):
        return self.classifier(maps.flatten(1))

    def forward(self, x):
        return torch.softmax(self.logits(self.maps(x)), 1)


class DenseNet(torchvision.models.DenseNet):
    """A small one."""

    def maps(self, x):
        return torch.relu(self.features(x))

    def logits(self, maps):
        return self.classifier(maps.mean((2, 3)))


def randomised(model):
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.3, 0.3)
            module.running_var.uniform_(0.6, 1.4)
            nn.init.uniform_(module.weight, 0.7, 1.3)
            nn.init.uniform_(module.bias, -0.2, 0.2)
    return model.eval()


def exports(name, model, x, versions):
    """Writes the graph by the old exporter and the new one."""
    for opset in versions:
        with open(f"{name}-torchscript-{opset}.onnx", "wb") as file:
            buffer = io.BytesIO()
            torch.onnx.export(model, (x,), buffer, opset_version=opset, dynamo=False)
            file.write(buffer.getvalue())
    program = torch.onnx.export(model, (x,), dynamo=True, opset_version=18, verbose=False)
    for node in program.model.graph:  # stack traces, which are most of the file
        node.metadata_props.clear()
    program.save(f"{name}-dynamo-18.onnx", external_data=False)


def main():
    model = randomised(net())
    state = model.state_dict()
    torch.save(state, "zip.pth")
    torch.save(state, "legacy.pth", _use_new_zipfile_serialization=False)
    torch.save(model, "module.pt")
    optimizer = torch.optim.Adam(model.parameters())
    sum(p.sum() for p in model.parameters()).backward()
    optimizer.step()
    state = model.state_dict()
    parallel = OrderedDict((f"module.{k}", v) for k, v in state.items())
    checkpoint = {"epoch": 3, "best_loss": 0.5, "state_dict": parallel, "optimizer": optimizer.state_dict()}
    torch.save(checkpoint, "checkpoint.pth.tar", _use_new_zipfile_serialization=False)
    torch.save({k: v.half() if v.is_floating_point() else v for k, v in state.items()}, "half.pth")
    torch.save({"state_dict": state, "callback": Evil()}, "evil.pth")
    torch.jit.save(torch.jit.script(nn.Linear(2, 1)), "script.pt")
    quantised = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(2, 3)), {nn.Linear})
    torch.save(quantised.state_dict(), "quantised.pth")
    listed = lambda s: {k: [list(v.shape), v.double().flatten().tolist()] for k, v in s.items() if v.is_floating_point()}
    golden = {"torch": torch.__version__, "net": listed(torch.load("zip.pth")), "checkpoint": listed(state), "graphs": {}}
    densenet = DenseNet(4, (1, 2, 1, 1), 8, num_classes=3)
    for name, model, output in [("densenet", densenet, None), ("mixed", Mixed(), "sigmoid"), ("vgg", Vgg(), "softmax")]:
        model = randomised(model)
        x = image(3, 32).requires_grad_()
        maps = model.maps(x)
        logits = model.logits(maps)
        by_maps, by_image = torch.autograd.grad(logits[0, 1], [maps, x])
        golden["graphs"][name] = {
            "output": output,
            "logits": logits.flatten().tolist(),
            "maps": list(maps.shape[1:]),
            "map_means": maps.mean((0, 2, 3)).tolist(),
            "gradient_by_maps": by_maps.sum((0, 2, 3)).tolist(),
            "gradient_by_image": by_image.abs().sum((0, 2, 3)).tolist(),
            "gradient_by_image_row_9": by_image[0, 1, 9].tolist(),
        }
        exports(name, model, x.detach(), [13, 18] if name != "vgg" else [17])
    with open("golden.json", "w") as file:
        json.dump(golden, file)


if __name__ == "__main__":
    main()
