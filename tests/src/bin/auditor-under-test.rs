//! The program `auditor`, for tests that run it as a process of its own: Cargo builds for tests only the
//! programs of their own package.

fn main() -> std::process::ExitCode {
    auditor::cli::run()
}
