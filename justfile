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

# How often the intervals of the AUROC hold: the table of docs/coverage.md
coverage:
    cargo run --release --example coverage

# Take over changed snapshots after looking at them
snapshots:
    INSTA_UPDATE=always cargo test --release
    git diff
