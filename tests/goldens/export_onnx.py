"""Exports torchvision's three families to ONNX, for the test that looks for them in ROENTGEN_ONNX.

    pip install torch torchvision onnx onnxscript numpy
    python tests/goldens/export_onnx.py DIR

Writes DIR/ARCHITECTURE-EXPORTER-OPSET.onnx (weights by formula would be folded differently by each exporter, so they are
PyTorch's own of a fixed seed) and DIR/ARCHITECTURE.json: the logits of PyTorch for an input by formula.
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
import torchvision

warnings.filterwarnings("ignore")


def networks():
    torch.manual_seed(7)
    yield "densenet121", torchvision.models.densenet121(num_classes=3)
    yield "resnet18", torchvision.models.resnet18(num_classes=3)
    yield "resnet50", torchvision.models.resnet50(num_classes=3)
    yield "mobilenet_v2", torchvision.models.mobilenet_v2(num_classes=3)


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    # x[c, i, j] = sin(c + 0.1 i + 0.05 j)
    c, i, j = np.meshgrid(np.arange(3), np.arange(64), np.arange(64), indexing="ij")
    x = torch.from_numpy(np.sin(c + 0.1 * i + 0.05 * j).astype(np.float32))[None]
    for name, net in networks():
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.data.uniform_(0.75, 1.25)
                module.bias.data.uniform_(-0.1, 0.1)
                module.running_mean.uniform_(-0.1, 0.1)
                module.running_var.uniform_(0.75, 1.25)
        net.eval()
        with torch.no_grad():
            logits = net(x)[0].tolist()
        (folder / f"{name}.json").write_text(json.dumps({"torch": torch.__version__, "logits": logits}))
        for opset in (13, 17, 18):
            for exporter, dynamo in (("torchscript", False), ("dynamo", True)):
                path = folder / f"{name}-{exporter}-{opset}.onnx"
                try:
                    torch.onnx.export(net, (x,), str(path), opset_version=opset, dynamo=dynamo)
                except Exception as error:  # An exporter that does not have this opset.
                    print(path.name, type(error).__name__, str(error)[:200])


main(Path(sys.argv[1]))
