//! The binary `auditor`; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    auditor::cli::run()
}
