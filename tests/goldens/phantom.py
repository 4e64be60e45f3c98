"""PyTorch's logits of the demonstration's first images, and scikit-learn's AUROCs over its first patients, with the
bundled weights. Licence: MIT OR Apache-2.0.

    cargo run --release --example phantoms -- DIR 2024 75 128
    pip install torch torchvision safetensors pillow scikit-learn
    python tests/goldens/phantom.py DIR

writes tests/goldens/phantom.json. The weights are from `just demo-weights`; the card's golden is the first image's.
"""

import csv
import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file
from sklearn.metrics import roc_auc_score

LABELS = ["Cardiomegaly", "Effusion", "Nodule", "Pneumothorax", "Consolidation"]
GROWTH, BLOCKS = 8, (2, 4, 6, 6)
HERE = Path(__file__).resolve().parent


def read(folder):
    """Names, pixels (n, 1, 128, 128) as bytes and truths (n, 5)."""
    rows = list(csv.DictReader(open(folder / "labels.csv", newline="")))
    names = [row["image"] for row in rows]
    pixels = np.stack([np.asarray(Image.open(folder / f"{name}.png")) for name in names])[:, None]
    truths = np.array([[float(row["y_" + label]) for label in LABELS] for row in rows], dtype=np.float32)
    return names, torch.from_numpy(pixels), truths


def network():
    net = torchvision.models.DenseNet(GROWTH, BLOCKS, 2 * GROWTH, bn_size=4, num_classes=len(LABELS))
    net.features.conv0 = torch.nn.Conv2d(1, 2 * GROWTH, kernel_size=7, stride=2, padding=3, bias=False)
    missing, unexpected = net.load_state_dict(load_file(HERE.parents[1] / "weights/phantom-densenet.safetensors"), strict=False)
    assert not unexpected and all(name.endswith("num_batches_tracked") for name in missing), (missing, unexpected)
    return net.eval()


@torch.no_grad()
def logits(net, pixels):
    return torch.cat([net(part.float() / 127.5 - 1.0) for part in pixels.split(64)])


def main():
    torch.set_num_threads(1)
    names, pixels, truths = read(Path(sys.argv[1]))
    scores = logits(network(), pixels)
    golden = {
        "cohort": {"seed": 2024, "patients": 75, "size": 128},
        "labels": LABELS,
        "pytorch": torch.__version__,
        "auroc": {label: round(roc_auc_score(truths[:, i], scores[:, i]), 4) for i, label in enumerate(LABELS)},
        "images": [
            {
                "image": name,
                "sha256_of_pixels": hashlib.sha256(image.numpy().tobytes()).hexdigest(),
                "logits": [float(value) for value in row],
            }
            for name, image, row in zip(names[:16], pixels, scores)
        ],
    }
    (HERE / "phantom.json").write_text(json.dumps(golden, indent=1) + "\n")
    print(golden["auroc"])


main()
