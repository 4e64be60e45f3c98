//! The `roentgen` program; everything is in the library.

fn main() -> std::process::ExitCode {
    roentgen::cli::main()
}
