//! The security server's program, as `security-server` is: built with the tests, so that those
//! that end it by force always run what they were built with.

/// The same allocator as that of `security-server`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    security_server::cli::main()
}
