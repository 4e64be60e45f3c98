"""Our images a second on a card beside PyTorch's, eager and compiled, on the same card.

    python3 benches/gpu.py [--device 0] [--rounds 9] [--models densenet121,resnet18] [--batches 1,32,256] [--precisions f32,bf16]

Builds `benches/peer.rs` with CUDA, gives all the same weights and input by formula, checks that our logits agree, and lets
them take turns: every round each program runs for about half a second while the others wait. PyTorch runs channels-last, in
f32 without TF32 on both sides; its convolutions choose their algorithm by trying. A run goes from an input on the card to
logits on the host. A program that fails, for want of memory or of a compiler, has no figures. The last column is the time that
the card would need at least, as a share of ours: each convolution and dense layer at the rate of its arithmetic or of its
memory, whichever is slower, with norms and activations for nothing. Takes the PyTorch and torchvision at hand; where there are
none, an environment of its own is made in target/peers.
"""

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import time

import peers

# Operations a streaming multiprocessor does in a clock, dense, by compute capability: f32, and bf16 summed in f32, of which
# the GeForce cards of 8.6, 8.9 and 12.0 do half.
RATES = {
    (7, 0): (128, None), (7, 5): (128, None), (8, 0): (128, 2048), (8, 6): (256, 1024), (8, 7): (256, 1024),
    (8, 9): (256, 1024), (9, 0): (256, 4096), (10, 0): (256, 8192), (12, 0): (256, 1024),
}
# How far our logits may lie from PyTorch's in f32, as a fraction of the largest; in bf16 twice as far as PyTorch's own do.
AGREEMENT = 1e-4


def serve(way, name, batch, precision, device):
    """PyTorch's part, with its logits and those in f32: see `peers.answer`."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    device = torch.device("cuda", int(device))
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[precision]
    layout = {"device": device, "dtype": dtype, "memory_format": torch.channels_last}
    model, x = peers.network(name).to(device), torch.from_numpy(peers.formula("input", (int(batch), 3, 224, 224))).to(device)
    with torch.inference_mode():
        single = model(x).cpu().numpy()
    model, x = model.to(**layout), x.to(**layout)
    if way == "compiled":
        model = torch.compile(model, mode="max-autotune")

    def run():
        with torch.inference_mode():
            return model(x).float().cpu().numpy()

    for _ in range(3):
        logits = run()
    peers.answer(run, [values.ravel().tolist() for values in (logits, single)])


def least(name, batch, precision, card):
    """Milliseconds that the card needs at least for a batch, or None where its rate is not known."""
    import torch

    rates = RATES.get(tuple(card["capability"]))
    if rates is None or rates[precision == "bf16"] is None:
        return None
    rate = rates[precision == "bf16"] * card["processors"] * card["clock"]
    size = 2 if precision == "bf16" else 4
    seconds = 0.0

    def layer(module, inputs, output):
        nonlocal seconds
        weights = module.weight.numel()
        operations = 2 * batch * output[0].numel() * weights // module.weight.shape[0]
        moved = size * (batch * (inputs[0][0].numel() + output[0].numel()) + weights)
        seconds += max(operations / rate, moved / card["bandwidth"])

    model = peers.network(name)
    for module in model.modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
            module.register_forward_hook(layer)
    with torch.inference_mode():
        model(torch.zeros(1, 3, 224, 224))
    return 1e3 * seconds


def compare(name, batch, precision, rounds, binary, card):
    """Runs one case and prints its line; whether the logits agreed."""
    number = str(card["number"])
    commands = {"ours": [binary, name, str(batch), f"cuda:{number}", precision]}
    for way in ["eager", "compiled"]:
        commands[way] = [sys.executable, __file__, "--serve", way, name, str(batch), precision, number]
    programs, counts = {}, {}
    for who, command in commands.items():
        try:
            programs[who] = peers.Program(command, {})
            counts[who] = max(1, round(500 / statistics.median(programs[who].run(5))))
        except peers.Ended as e:
            programs.pop(who, None)
            print(e, file=sys.stderr)
    for _ in range(rounds):
        for who, program in programs.items():
            program.times.extend(program.run(counts[who]))
    ms = {who: statistics.median(program.times) for who, program in programs.items()}
    for program in programs.values():
        program.end()
    bound = least(name, batch, precision, card)
    cells = [f"{1e3 * batch / ms[who]:.0f}" if who in ms else "failed" for who in commands]
    cells += [f"{ms[who] / ms['ours']:.2f}" if {who, "ours"} <= ms.keys() else "" for who in ["eager", "compiled"]]
    cells += [f"{bound / ms['ours']:.0%}" if bound and "ours" in ms else "not known"]
    print("| " + " | ".join([name, str(batch), precision, *cells]) + " |", flush=True)
    if not {"ours", "eager"} <= programs.keys():
        return "ours" in programs
    eager, single = programs["eager"].logits

    def off(logits):
        return max(abs(a - b) for a, b in zip(logits, single, strict=True)) / max(abs(v) for v in single)

    found, most = off(programs["ours"].logits), max(AGREEMENT, 2 * off(eager))
    if found > most:
        print(f"the logits are off PyTorch's in f32 by {found:.1e} of the largest, for {most:.1e}", file=sys.stderr)
    return found <= most


def main():
    if sys.argv[1:2] == ["--serve"]:
        return serve(*sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--models", default=",".join(peers.CLASSES))
    parser.add_argument("--batches", default="1,32,256")
    parser.add_argument("--precisions", default="f32,bf16")
    options = parser.parse_args()
    command = ["cargo", "run", "--release", "--quiet", "--features", "cuda", "--", "devices", "--format", "json"]
    found = subprocess.run(command, cwd=peers.ROOT, check=True, capture_output=True, text=True).stdout
    devices = json.loads(found)
    if options.device >= len(devices["cards"]):
        sys.exit(f"nothing is measured: {devices['no_card'] or 'there is no such card'}")
    if not all(importlib.util.find_spec(package) for package in ["torch", "torchvision"]):
        peers.enter()
    card = devices["cards"][options.device]
    binary = peers.ours("--features", "cuda")
    print(f"{time.strftime('%Y-%m-%d %H:%M')}, {card['name']}, {options.rounds} rounds. Images a second, and their ratios.\n")
    print("| network | batch | numbers | ours | PyTorch eager | PyTorch compiled | ours / eager | ours / compiled | of the card |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    agreed = [
        compare(name, int(batch), precision, options.rounds, binary, card)
        for precision in options.precisions.split(",")
        for name in options.models.split(",")
        for batch in options.batches.split(",")
    ]
    sys.exit(0 if all(agreed) else 1)


if __name__ == "__main__":
    main()
