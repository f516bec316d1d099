//! The central registry's program: see `central-registry help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    central_registry::cli::main()
}
