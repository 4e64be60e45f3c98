"""Trains the bundled demonstration weights: a small DenseNet on phantoms. Licence: MIT OR Apache-2.0.

    cargo run --release --example phantoms -- DIR/train 1 2500 128      # patients to learn from
    cargo run --release --example phantoms -- DIR/tuning 2 250 128      # others, to watch the training
    cargo run --release --example phantoms -- DIR/demo 2024 75 128      # the demonstration's, never trained on
    python weights/phantom-densenet.py DIR

It needs torch, torchvision, safetensors, Pillow and scikit-learn, and five minutes of one CPU core. It writes
weights/phantom-densenet.safetensors and tests/goldens/phantom.json: PyTorch's logits of the first 16 demo images.
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
from safetensors.torch import save_file
from sklearn.metrics import roc_auc_score

LABELS = ["Cardiomegaly", "Effusion", "Nodule", "Pneumothorax", "Consolidation"]
GROWTH, BLOCKS = 8, (2, 4, 6, 6)
EPOCHS, BATCH, RATE = 14, 32, 5e-3


def read(folder):
    """Names, pixels (n, 1, 128, 128) as bytes and truths (n, 5)."""
    rows = list(csv.DictReader(open(folder / "labels.csv", newline="")))
    names = [row["image"] for row in rows]
    pixels = np.stack([np.asarray(Image.open(folder / f"{name}.png")) for name in names])[:, None]
    truths = np.array([[float(row["y_" + label]) for label in LABELS] for row in rows], dtype=np.float32)
    return names, torch.from_numpy(pixels), torch.from_numpy(truths)


def scale(pixels):
    """From bytes to [-1, 1]; all the preprocessing there is."""
    return (pixels.float() / 127.5 - 1.0).contiguous(memory_format=torch.channels_last)


def augment(x):
    """Another exposure and another place on the plate."""
    x = x * torch.empty(len(x), 1, 1, 1).uniform_(0.9, 1.1) + torch.empty(len(x), 1, 1, 1).uniform_(-0.1, 0.1)
    return torch.roll(x, tuple(torch.randint(-4, 5, (2,)).tolist()), (2, 3))


def network():
    net = torchvision.models.DenseNet(GROWTH, BLOCKS, 2 * GROWTH, bn_size=4, num_classes=len(LABELS))
    net.features.conv0 = torch.nn.Conv2d(1, 2 * GROWTH, kernel_size=7, stride=2, padding=3, bias=False)
    return net.to(memory_format=torch.channels_last)


@torch.no_grad()
def logits(net, pixels):
    net.eval()
    return torch.cat([net(scale(part)) for part in pixels.split(64)])


def aurocs(net, pixels, truths):
    scores = logits(net, pixels)
    return {label: round(roc_auc_score(truths[:, i], scores[:, i]), 4) for i, label in enumerate(LABELS)}


def train(pixels, truths, tuning):
    net = network()
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=0.02)
    steps = EPOCHS * (len(pixels) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps, pct_start=0.2)
    for epoch in range(EPOCHS):
        net.train()
        total = 0.0
        for batch in torch.randperm(len(pixels)).split(BATCH):
            if len(batch) < BATCH:
                continue
            loss = torch.nn.functional.binary_cross_entropy_with_logits(net(augment(scale(pixels[batch]))), truths[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * BATCH
        print(epoch, round(total / len(pixels), 4), aurocs(net, *tuning), flush=True)
    return net


def main():
    folder = Path(sys.argv[1])
    torch.manual_seed(1)
    torch.set_num_threads(1)
    _, pixels, truths = read(folder / "train")
    _, *tuning = read(folder / "tuning")
    names, *demo = read(folder / "demo")
    net = train(pixels, truths, tuning)
    scores = logits(net, demo[0])
    print("demo", aurocs(net, *demo))

    here = Path(__file__).resolve().parent
    state = {name: value for name, value in net.state_dict().items() if not name.endswith("num_batches_tracked")}
    about = {
        "made_by": f"weights/phantom-densenet.py, PyTorch {torch.__version__}, trained on phantoms of seed 1",
        "labels": ",".join(LABELS),
        "licence": "MIT OR Apache-2.0",
    }
    save_file({name: value.contiguous() for name, value in state.items()}, here / "phantom-densenet.safetensors", about)
    golden = {
        "cohort": {"seed": 2024, "patients": 75, "size": 128},
        "labels": LABELS,
        "pytorch": torch.__version__,
        "auroc": aurocs(net, *demo),
        "images": [
            {
                "image": name,
                "sha256_of_pixels": hashlib.sha256(image.numpy().tobytes()).hexdigest(),
                "logits": [float(value) for value in row],
            }
            for name, image, row in zip(names[:16], demo[0], scores)
        ],
    }
    (here.parent / "tests/goldens/phantom.json").write_text(json.dumps(golden, indent=1) + "\n")


main()
