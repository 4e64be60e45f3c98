"""Makes imaging.json: CRC-32 of what Pillow makes of pictures that a formula draws.

    pip install "pillow<13" numpy
    python imaging.py > imaging.json

Pillow 13 runs the vertical pass first where the height shrinks much more than the width; the versions before it,
which published tables were made with, never do.
"""
import json
import zlib

import numpy as np
from PIL import Image, ImageOps

FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def draw(kind, w, h):
    y, x = np.mgrid[:h, :w]
    if kind == "F":
        return Image.fromarray(((x * x * 779 + y * 1803 + x * y * 1297) % 65536).astype(np.float32))
    planes = [(x * x * 3 + y * 7 + x * y * 5 + c * 91) % 256 for c in range(3)]
    if kind == "L":
        return Image.fromarray(planes[0].astype(np.uint8))
    return Image.fromarray(np.stack(planes, 2).astype(np.uint8))


def resize(im, size, mode, filter):
    w, h = im.size
    f = FILTERS[filter]
    if mode == "squash":
        return im.resize((size, size), f)
    if mode == "fit":
        return ImageOps.fit(im, (size, size), f)
    return im.resize((size, int(size * h / w)) if w <= h else (int(size * w / h), size), f)


def center_crop(im, size):
    w, h = im.size
    if size > w or size > h:
        left, top = max(size - w, 0) // 2, max(size - h, 0) // 2
        right, bottom = (max(size - w, 0) + 1) // 2, (max(size - h, 0) + 1) // 2
        im = ImageOps.expand(im, (left, top, right, bottom), fill=0)
        w, h = im.size
    left, top = int(round((w - size) / 2.0)), int(round((h - size) / 2.0))
    return im.crop((left, top, left + size, top + size))


STEPS = [
    [("squash", 16, "bilinear")],
    [("squash", 50, "lanczos")],
    [("shorter", 20, "bicubic"), 15],
    [("shorter", 33, "bilinear"), 40],
    [("fit", 24, "lanczos")],
    [("fit", 61, "bicubic"), ("squash", 37, "bilinear")],
]
cases = []
for kind in ("L", "RGB", "F"):
    for w, h in ((37, 23), (1, 9), (64, 1), (130, 259), (51, 50)):
        for steps in STEPS:
            im, card = draw(kind, w, h), []
            for step in steps:
                if isinstance(step, int):
                    im = center_crop(im, step)
                    card.append({"op": "center_crop", "size": step})
                else:
                    im = resize(im, step[1], step[0], step[2])
                    card.append({"op": "resize", "size": step[1], "mode": step[0], "filter": step[2]})
            a = np.asarray(im).astype("<f4")
            a = a.transpose(2, 0, 1) if a.ndim == 3 else a
            cases.append({"kind": kind, "size": [w, h], "steps": card, "crc32": zlib.crc32(np.ascontiguousarray(a).tobytes())})
print("[" + ",\n".join(json.dumps(c) for c in cases) + "]")
