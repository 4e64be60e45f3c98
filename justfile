# What people repeat. `just` lists it.

_default:
    @just --list

# Evaluate the phantoms with the bundled weights
demo:
    cargo run --release -- demo

# Everything that the tests cover
test:
    cargo test --release

# Formatting and lints, as CI has them
lint:
    cargo fmt --check
    cargo clippy --release --all-targets -- -D warnings

# The benchmarks in benches/
bench:
    cargo bench --bench metrics --bench models --bench tui

# Beside OpenVINO, ONNX Runtime and PyTorch (downloads them; minutes)
bench-peers *ARGS:
    python3 benches/peers.py {{ARGS}}

# Beside PyTorch on a card (builds with CUDA and downloads PyTorch; minutes)
bench-gpu *ARGS:
    python3 benches/gpu.py {{ARGS}}

# A card against the CPU, over a dataset: `just check-gpu MODEL DATA --root ROOT --split test`; without arguments the phantoms
check-gpu *ARGS:
    cargo build --release --features cuda
    python3 benches/check_gpu.py target/release/roentgen {{ARGS}}

# How often the intervals of the AUROC hold: the table of docs/coverage.md
coverage:
    cargo run --release --example coverage

# Take over changed snapshots after looking at them
snapshots:
    INSTA_UPDATE=always cargo test --release
    git diff

# Train recipes 003 and 004 from scratch on ROOT (the folder with train and test), and report on their test images, signed
# with KEY (hours on two cores; a training that was stopped goes on)
reproduce-kermany ROOT KEY:
    cargo build --release
    for recipe in 004-from-scratch 003-from-scratch; do \
        out=reports/train--$recipe; \
        [ -e $out/README.md ] || target/release/roentgen train $recipe --device cpu --root {{ROOT}} --out $out --resume || exit $?; \
        table=readme-$(echo $recipe | cut -c1-3); \
        target/release/roentgen report $out/test --sign {{KEY}} --published $table --root {{ROOT}} --model $out/model.toml || exit $?; \
    done

# The demonstration's weights, by their recipe, into weights/ (some minutes)
demo-weights:
    cargo run --release -- train phantom-densenet --device cpu --out reports/train--phantom-densenet --resume
    cp reports/train--phantom-densenet/weights.safetensors weights/phantom-densenet.safetensors
    sha256sum weights/phantom-densenet.safetensors
