//! The central registry's program: see `central-registry help`.

use std::process::ExitCode;

/// Returns memory better than the system's allocator under many threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    central_registry::cli::main()
}
