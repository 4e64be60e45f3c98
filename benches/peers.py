"""Our time per image beside OpenVINO's, ONNX Runtime's and PyTorch's, on the same two cores.

    python3 benches/peers.py [--rounds 9] [--cores 0,1] [--models densenet121,resnet18] [--batches 1,16]
    python3 benches/peers.py --train [--rounds 9] [--cores 0,1] [--models densenet121,resnet18] [--batches 32]
    python3 benches/peers.py --images FOLDER [--rounds 9] [--cores 0,1]

Makes a virtual environment in target/peers, builds `benches/peer.rs`, gives all of them the same weights and input by
formula, checks that their logits agree, and lets them take turns: every round each program runs each case for about a
second while the others wait. Prints medians in milliseconds an image, the ratios of ours to theirs, and peak memory.
With --train, steps of training (forward, backward, Adam) beside PyTorch's. With --images, DenseNet-121 over a folder of PNGs instead, from the files to the logits: `evaluate` beside Pillow's threads and ONNX
Runtime, and beside our network alone.
On a machine that others use, too, take one core and compare the processor time, which waits for nobody. All compute in f32: OpenVINO, which would choose bf16 where the processor has it, is told so.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / "target" / "peers"
PACKAGES = ["numpy", "onnx", "onnxruntime==1.31.*", "openvino==2026.4.*", "torch==2.15.*", "torchvision"]
CLASSES = {"densenet121": 14, "resnet18": 1, "mobilenet_v2": 2}
PEERS = ["openvino", "onnxruntime", "pytorch"]
# How often a run goes over a folder's pictures, so that its start and its end weigh little.
TIMES = 4
# Largest difference of logits, as a fraction of the largest logit; in training, norms by the batch's own moments amplify it.
AGREEMENT = {False: 1e-4, True: 1e-3}


def formula(name, shape):
    """The values of a tensor: SplitMix64 from the FNV-1a hash of its name, scaled by what the name says it is."""
    import numpy as np

    state = 0xCBF29CE484222325
    for byte in f"1/{name}".encode():
        state = (state ^ byte) * 0x100000001B3 % 2**64
    count = int(np.prod(shape))
    with np.errstate(over="ignore"):
        z = np.uint64(state) + np.uint64(0x9E3779B97F4A7C15) * np.arange(1, count + 1, dtype=np.uint64)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    u = (z >> np.uint64(40)).astype(np.float64) / 2**24
    if name.endswith(("running_mean", "bias")):
        values = 0.1 * (2 * u - 1)
    elif name.endswith("running_var") or (name.endswith("weight") and len(shape) == 1):
        values = 0.75 + 0.5 * u
    elif name.endswith("weight"):
        values = np.sqrt(6 / np.prod(shape[1:])) * (2 * u - 1)
    else:
        values = 4 * u - 2
    return values.astype(np.float32).reshape(shape)


def network(name):
    """torchvision's network with weights by formula."""
    import torch
    import torchvision

    model = getattr(torchvision.models, name)(weights=None, num_classes=CLASSES[name])
    state = model.state_dict()
    for key, value in state.items():
        if not key.endswith("num_batches_tracked"):
            state[key] = torch.from_numpy(formula(key, tuple(value.shape)))
    model.load_state_dict(state)
    return model.eval()


def export(name):
    """The network as an ONNX file."""
    import torch

    path = HOME / f"{name}.onnx"
    axes = {"input": {0: "n"}, "logits": {0: "n"}}
    example = torch.from_numpy(formula("input", (1, 3, 224, 224)))
    torch.onnx.export(
        network(name), example, str(path), opset_version=17, dynamo=False, input_names=["input"],
        output_names=["logits"], dynamic_axes=axes,
    )


def runner(peer, name, x, threads):
    """A function that runs `name` over `x` in `peer` and gives its logits."""
    path = str(HOME / f"{name}.onnx")
    if peer == "openvino":
        import openvino

        core = openvino.Core()
        graph = core.read_model(path)
        graph.reshape(list(x.shape))
        options = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
        request = core.compile_model(graph, "CPU", options).create_infer_request()
        return lambda: request.infer({0: x}, share_inputs=True)[0]
    if peer == "onnxruntime":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return lambda: session.run(None, {"input": x})[0]
    import torch

    torch.set_num_threads(threads)
    model = network(name).to(memory_format=torch.channels_last)
    tensor = torch.from_numpy(x).to(memory_format=torch.channels_last)

    def run():
        with torch.inference_mode():
            return model(tensor).numpy()

    return run


def reader(folder, name, batch, threads):
    """A function that reads a folder's PNGs several times, by Pillow, and gives the logits of ONNX Runtime."""
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np
    import onnxruntime
    from PIL import Image

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(HOME / f"{name}.onnx"), options, providers=["CPUExecutionProvider"])
    files = sorted(Path(folder).glob("*.png")) * TIMES

    def read(path):
        picture = Image.open(path).convert("L").resize((224, 224), Image.Resampling.BILINEAR)
        gray = np.asarray(picture, dtype=np.float32) * np.float32(2 / 255) - np.float32(1)
        return np.broadcast_to(gray, (3, 224, 224))

    def run():
        logits = []
        with ThreadPoolExecutor(threads) as pool:
            pictures = pool.map(read, files)
            while batched := list(itertools.islice(pictures, batch)):
                logits.append(session.run(None, {"input": np.stack(batched)})[0])
        return np.concatenate(logits)

    return run


def trainer(name, batch, threads):
    """A function that makes a step of training in PyTorch and gives its logits; see `train` in peer.rs."""
    import torch

    torch.set_num_threads(threads)
    model = network(name).to(memory_format=torch.channels_last).train()
    # The formula's weights are the head's, too; nothing drops out, so that both train the same.
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    x = torch.from_numpy(formula("input", (batch, 3, 224, 224))).to(memory_format=torch.channels_last)
    y = (torch.arange(batch) % 2).float()[:, None].expand(batch, CLASSES[name])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-9)

    def run():
        optimizer.zero_grad()
        logits = model(x)
        torch.nn.functional.binary_cross_entropy_with_logits(logits, y).backward()
        optimizer.step()
        return logits.detach().numpy()

    return run


def serve(peer, name, batch, threads, folder=None):
    """A peer's part: see `answer`."""
    if folder == "train":
        run = trainer(name, int(batch), int(threads))
    elif folder:
        run = reader(folder, name, int(batch), int(threads))
    else:
        run = runner(peer, name, formula("input", (int(batch), 3, 224, 224)), int(threads))
    answer(run, [float(v) for v in run().ravel()])


def answer(run, logits):
    """Prints the logits, then answers each number of runs on stdin with a line of milliseconds."""
    print(json.dumps(logits), flush=True)
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            start = time.perf_counter()
            run()
            times.append((time.perf_counter() - start) * 1e3)
        print(json.dumps(times), flush=True)


class Ended(Exception):
    """A program went where its answer was waited for; what it said of that stands above."""


class Program:
    """A child process that speaks as `serve` does."""

    def __init__(self, command, environment):
        self.child = subprocess.Popen(
            command, env=os.environ | environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.logits = self.answer()
        self.times = []
        self.seconds = 0.0

    def answer(self):
        """The numbers of its next line."""
        line = self.child.stdout.readline()
        if not line:
            raise Ended(f"a program ended with status {self.child.wait()}: {' '.join(self.child.args)}")
        return json.loads(line)

    def processor(self):
        """Seconds of processor time so far."""
        fields = Path(f"/proc/{self.child.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def turn(self, count):
        """Runs and keeps the times."""
        before = self.processor()
        self.times.extend(self.run(count))
        self.seconds += self.processor() - before

    def run(self, count):
        """Milliseconds of each of `count` runs."""
        self.child.stdin.write(f"{count}\n")
        self.child.stdin.flush()
        return self.answer()

    def end(self):
        """Ends the process; its peak memory in MB."""
        status = Path(f"/proc/{self.child.pid}/status").read_text()
        peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
        self.child.stdin.close()
        self.child.wait()
        return peak / 1024


def enter():
    """Goes on in the virtual environment, which is made where it is not there yet."""
    python = HOME / "bin" / "python"
    if Path(sys.prefix) != HOME:
        if not (HOME / "ready").exists():
            subprocess.run([sys.executable, "-m", "venv", HOME], check=True)
            subprocess.run([python, "-m", "pip", "install", "-q", *PACKAGES], check=True)
            (HOME / "ready").touch()
        os.execv(python, [python, *sys.argv])


def ours(*more):
    """Builds the benchmark and gives its path."""
    command = ["cargo", "build", "--release", "--bench", "peer", "--message-format=json", *more]
    lines = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    paths = [json.loads(line).get("executable") for line in lines if '"name":"peer"' in line]
    return next(path for path in paths if path)


def compare(name, batch, rounds, threads, binary, train):
    """Runs one case and prints its line; whether it agreed."""
    more = ["train"] if train else []
    programs = {"ours": Program([binary, name, str(batch), *more], {"RAYON_NUM_THREADS": str(threads)})}
    for peer in ["pytorch"] if train else PEERS:
        command = [sys.executable, __file__, "--serve", peer, name, str(batch), str(threads), *more]
        programs[peer] = Program(command, {"OMP_NUM_THREADS": str(threads)})
    scale = max(abs(v) for v in programs["pytorch"].logits)
    reference = programs["pytorch"].logits
    off = {
        who: max(abs(a - b) for a, b in zip(program.logits, reference, strict=True)) / scale
        for who, program in programs.items()
    }
    counts = {}
    for who, program in programs.items():
        one = statistics.median(program.run(3))
        counts[who] = max(1, round(1000 / one))
    for _ in range(rounds):
        for who, program in programs.items():
            time.sleep(0.1)
            program.turn(counts[who])
    median = {who: statistics.median(program.times) / batch for who, program in programs.items()}
    cpu = {who: 1e3 * program.seconds / len(program.times) / batch for who, program in programs.items()}
    peak = {who: program.end() for who, program in programs.items()}
    cells = [f"{median[who]:.2f} ({cpu[who]:.2f})" for who in programs]
    ratios = [f"{median['ours'] / median['pytorch']:.2f}"]
    if not train:
        ratios.insert(0, f"{median['ours'] / min(median['openvino'], median['onnxruntime']):.2f}")
    memory = [f"{peak[who]:.0f}" for who in programs]
    print("| " + " | ".join([name, str(batch), *cells, *ratios, " / ".join(memory)]) + " |", flush=True)
    for who, distance in off.items():
        if distance > AGREEMENT[train]:
            print(f"{who}'s logits are off PyTorch's by {distance:.1e} of the largest", file=sys.stderr)
    return max(off.values()) <= AGREEMENT[train]


def pipeline(folder, rounds, threads, binary, name="densenet121", batch=16):
    """Runs from the files to the logits and prints images a second; whether the logits agreed."""
    serve = [sys.executable, __file__, "--serve", "onnxruntime", name, str(batch), str(threads)]
    rayon, openmp = {"RAYON_NUM_THREADS": str(threads)}, {"OMP_NUM_THREADS": str(threads)}
    programs = {
        "evaluate": Program([binary, name, str(batch), folder], rayon),
        "our network alone": Program([binary, name, str(batch)], rayon),
        "Pillow and ONNX Runtime": Program([*serve, folder], openmp),
        "ONNX Runtime alone": Program(serve, openmp),
    }
    images = {who: len(program.logits) // CLASSES[name] for who, program in programs.items()}
    for _ in range(rounds):
        for who, program in programs.items():
            time.sleep(0.1)
            program.turn(max(1, round(100 / images[who])))
    print("| from files to logits | images/s: median | processor ms an image | peak MB |\n| --- | --- | --- | --- |")
    rate = {who: 1e3 * images[who] / statistics.median(program.times) for who, program in programs.items()}
    for who, program in programs.items():
        cpu = 1e3 * program.seconds / len(program.times) / images[who]
        print(f"| {who} | {rate[who]:.1f} | {cpu:.2f} | {program.end():.0f} |")
    ours, theirs = rate["evaluate"], rate["Pillow and ONNX Runtime"]
    print(f"\nevaluate / Pillow and ONNX Runtime: {ours / theirs:.2f}; / our network alone: {ours / rate['our network alone']:.2f}")
    a, b = programs["evaluate"].logits, programs["Pillow and ONNX Runtime"].logits
    off = max(abs(x - y) for x, y in zip(a, b, strict=True)) / max(abs(y) for y in b)
    print(f"logits off by {off:.1e} of the largest")
    return off <= AGREEMENT[False]


def main():
    if sys.argv[1:2] == ["--serve"]:
        return serve(*sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--cores", default="0,1")
    parser.add_argument("--models", default=",".join(CLASSES))
    parser.add_argument("--batches")
    parser.add_argument("--images")
    parser.add_argument("--train", action="store_true")
    options = parser.parse_args()
    enter()
    binary = ours()
    cores = {int(core) for core in options.cores.split(",")}
    os.sched_setaffinity(0, cores)
    print(f"{time.strftime('%Y-%m-%d %H:%M')}, load {os.getloadavg()[0]:.1f}, cores {options.cores}, {options.rounds} rounds")
    models = options.models.split(",")
    if not options.train:
        for name in models:
            if not (HOME / f"{name}.onnx").exists():
                export(name)
    if options.images:
        sys.exit(0 if pipeline(options.images, options.rounds, len(cores), binary) else 1)
    print("Milliseconds an image: median (processor time). Ratios of medians.\n")
    if options.train:
        print("| network | batch | ours | PyTorch | ours / PyTorch | peak MB |\n| --- | --- | --- | --- | --- | --- |")
    else:
        print("| network | batch | ours | OpenVINO | ONNX Runtime | PyTorch | ours / fastest | ours / PyTorch | peak MB |")
        print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    batches = options.batches or ("32" if options.train else "1,16")
    agreed = [
        compare(name, int(batch), options.rounds, len(cores), binary, options.train)
        for name in models
        for batch in batches.split(",")
    ]
    sys.exit(0 if all(agreed) else 1)


if __name__ == "__main__":
    main()
