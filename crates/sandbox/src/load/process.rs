//! What a process or thread has used, as Linux tells it; nothing elsewhere.

use std::time::Duration;

/// Clock ticks a second in `/proc/*/stat`: a constant of the Linux interface.
const TICKS: u64 = 100;

/// Memory of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory {
    /// Resident now, in bytes.
    pub resident: u64,
    /// The most that was ever resident, in bytes.
    pub peak: u64,
}

/// Processor time of all threads of this process, in steps of 10 ms.
pub fn cpu_time() -> Option<Duration> {
    parse_stat(&std::fs::read_to_string("/proc/self/stat").ok()?)
}

/// Processor time of the calling thread.
pub fn thread_cpu_time() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(text.split_whitespace().next()?.parse().ok()?))
}

/// Memory of this process.
pub fn memory() -> Option<Memory> {
    parse_status(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// Fields 14 and 15 (user and system time), counted behind the program's name, which may hold anything.
fn parse_stat(text: &str) -> Option<Duration> {
    let (_, behind) = text.rsplit_once(')')?;
    let mut fields = behind.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(Duration::from_millis((next()? + next()?) * (1000 / TICKS)))
}

fn parse_status(text: &str) -> Option<Memory> {
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib * 1024)
    };
    Some(Memory { resident: field("VmRSS:")?, peak: field("VmHWM:")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found() {
        let stat = "17 (a) b) c) S 1 17 17 0 -1 4194560 100 0 0 0 12 34 0 0 20 0 1 0 5 6 7";
        assert_eq!(parse_stat(stat), Some(Duration::from_millis(460)));
        assert_eq!(parse_stat("17 (x) S 1"), None);
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(parse_status(status), Some(Memory { resident: 1 << 20, peak: 2 << 20 }));
        if cfg!(target_os = "linux") {
            assert!(cpu_time().is_some() && thread_cpu_time().is_some() && memory().is_some());
        }
    }
}
