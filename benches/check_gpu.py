"""A card against the CPU over a dataset: are the predictions the same, and the same every time?

    python3 benches/check_gpu.py ROENTGEN [MODEL DATA] [--root ROOT] [--split S] [--device 0]

ROENTGEN is the program, built with CUDA. Without MODEL and DATA the bundled model runs over the phantoms. Evaluates on the CPU,
on the card twice in f32, and on the card in bf16 and f16; says how far probabilities and AUROCs lie from the CPU's. Wanted in
f32: probabilities within 1e-4, AUROCs within 1e-6, and the same bytes both times. For half precision only the effect is told.
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path


def probabilities(run):
    with open(run / "predictions.csv", newline="") as file:
        return {
            (row["image"], key): float(value)
            for row in csv.DictReader(file)
            for key, value in row.items()
            if key.startswith("p_")
        }


def aurocs(run):
    labels = json.loads((run / "evaluation.json").read_text())["labels"]
    return {label["label"]: label["auroc"]["value"] for label in labels if not label["not_evaluable"]}


def gap(a, b):
    if a.keys() != b.keys():
        sys.exit("the runs are not of the same images and labels")
    return max(abs(a[key] - b[key]) for key in a)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("model", nargs="?", default="phantom-densenet")
    parser.add_argument("data", nargs="?", default="phantom")
    parser.add_argument("--root")
    parser.add_argument("--split")
    parser.add_argument("--device", type=int, default=0)
    options = parser.parse_args()
    devices = json.loads(subprocess.run([options.program, "devices", "--format", "json"], check=True, capture_output=True).stdout)
    if options.device >= len(devices["cards"]):
        sys.exit(f"nothing is checked: {devices['no_card'] or 'there is no such card'}")
    print(f"{devices['cards'][options.device]['name']} against {devices['cpu']['instructions']}")
    card = f"cuda:{options.device}"
    with tempfile.TemporaryDirectory() as folder:

        def evaluate(name, device, precision):
            run = Path(folder) / name
            command = [options.program, "evaluate", "--headless", "--model", options.model, "--data", options.data]
            command += ["--device", device, "--precision", precision, "--out", run]
            command += ["--root", options.root] if options.root else []
            command += ["--split", options.split] if options.split else []
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            return run

        cpu = evaluate("cpu", "cpu", "f32")
        first, second = evaluate("first", card, "f32"), evaluate("second", card, "f32")
        half = {precision: evaluate(precision, card, precision) for precision in ["bf16", "f16"]}
        same = all((first / file).read_bytes() == (second / file).read_bytes() for file in ["run.toml", "predictions.csv"])
        good = same
        print(f"f32, twice: {'the same bytes' if same else 'OTHER BYTES'}")
        for precision, run in {"f32": first, **half}.items():
            p, auroc = gap(probabilities(run), probabilities(cpu)), gap(aurocs(run), aurocs(cpu))
            print(f"{precision}: probabilities within {p:.1e} of the CPU's, AUROCs within {auroc:.1e}")
            if precision == "f32":
                good = good and p <= 1e-4 and auroc <= 1e-6
    sys.exit(0 if good else "the card is off: f32 is to be within 1e-4 (probabilities) and 1e-6 (AUROCs), bytes the same")


if __name__ == "__main__":
    main()
