//! The security server's program; see [`security_server::cli`].

/// Returns memory better than the system's allocator under many threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    security_server::cli::main()
}
