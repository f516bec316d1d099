//! The sandbox's program: see `sandbox --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    sandbox::cli::main()
}
