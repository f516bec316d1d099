//! The security server's program; see [`security_server::cli`].

fn main() -> std::process::ExitCode {
    security_server::cli::main()
}
