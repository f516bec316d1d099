//! What the operating system says of the machine and of this process (Linux; elsewhere, nothing).

use std::collections::VecDeque;
use std::path::Path;

use causeway_monitoring::environment::{Histogram, Metric, OPERATING_SYSTEM};

/// How many looks a distribution covers: five minutes of them.
const LOOKS: usize = 60;

/// What was seen lately.
#[derive(Debug, Default)]
pub(super) struct Machine {
    looks: VecDeque<Look>,
    cpu: Option<Cpu>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Look {
    cpu_load: Option<u64>,
    free_memory: Option<u64>,
    free_swap: Option<u64>,
    open_files: Option<u64>,
    virtual_memory: Option<u64>,
}

/// Ticks since the machine started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cpu {
    all: u64,
    idle: u64,
}

impl Machine {
    /// Looks, and remembers what was seen.
    pub(super) fn look(&mut self) {
        let memory = read("/proc/meminfo");
        let cpu = Cpu::of(&read("/proc/stat"));
        let load = cpu.zip(self.cpu).and_then(|(now, before)| now.load_since(before));
        self.cpu = cpu;
        self.looks.push_back(Look {
            cpu_load: load,
            free_memory: kibibytes(&memory, "MemFree:"),
            free_swap: kibibytes(&memory, "SwapFree:"),
            open_files: std::fs::read_dir("/proc/self/fd").ok().map(|files| files.count() as u64),
            virtual_memory: kibibytes(&read("/proc/self/status"), "VmSize:"),
        });
        if self.looks.len() > LOOKS {
            self.looks.pop_front();
        }
    }

    /// What is known, under X-Road's names and in its order; `now` is `xs:dateTime`.
    pub(super) fn metrics(&self, data_dir: &Path, now: &str) -> Vec<Metric> {
        let memory = read("/proc/meminfo");
        let mut metrics = Vec::new();
        let mut number = |name: &str, value: Option<u64>| {
            metrics.extend(value.map(|value| Metric::Number(name.to_owned(), value)));
        };
        let roots = [Path::new("/"), data_dir];
        let disks: Vec<(String, Disk)> = roots
            .iter()
            .filter_map(|path| Some((path.display().to_string(), Disk::at(path)?)))
            .collect();
        // The data folder is told of when it is on another file system.
        let others = disks
            .iter()
            .enumerate()
            .filter(|(i, (_, disk))| disks[..*i].iter().all(|(_, before)| before.id != disk.id));
        let disks: Vec<&(String, Disk)> = others.map(|(_, disk)| disk).collect();
        disks.iter().for_each(|(path, d)| number(&format!("DiskSpaceFree_{path}"), Some(d.free)));
        disks.iter().for_each(|(path, d)| number(&format!("DiskSpaceTotal_{path}"), Some(d.total)));
        number("MaxFileDescriptorCount", most_files(&read("/proc/self/limits")));
        let system = read("/proc/version");
        if !system.is_empty() {
            metrics.push(Metric::Text(OPERATING_SYSTEM.into(), system.trim().to_owned()));
        }
        for (name, value) in [
            ("TotalPhysicalMemory", kibibytes(&memory, "MemTotal:")),
            ("TotalSwapSpace", kibibytes(&memory, "SwapTotal:")),
        ] {
            metrics.extend(value.map(|value| Metric::Number(name.to_owned(), value)));
        }
        type Seen = fn(&Look) -> Option<u64>;
        let seen: [(&str, Seen); 5] = [
            ("CommittedVirtualMemory", |look| look.virtual_memory),
            ("FreePhysicalMemory", |look| look.free_memory),
            ("FreeSwapSpace", |look| look.free_swap),
            ("OpenFileDescriptorCount", |look| look.open_files),
            ("SystemCpuLoad", |look| look.cpu_load),
        ];
        for (name, seen) in seen {
            let histogram = Histogram::of(self.looks.iter().filter_map(seen), now.to_owned());
            metrics.extend(histogram.map(|h| Metric::Histogram(name.to_owned(), h)));
        }
        metrics
    }
}

impl Cpu {
    /// From `/proc/stat`.
    fn of(stat: &str) -> Option<Self> {
        let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
        let ticks: Vec<u64> = line.split_whitespace().map_while(|n| n.parse().ok()).collect();
        // user nice system idle iowait irq softirq steal; guests are in user already.
        let idle = ticks.get(3)?.saturating_add(ticks.get(4).copied().unwrap_or(0));
        Some(Self { all: ticks.iter().take(8).sum(), idle })
    }

    /// How busy the processors were, in percent of all of them.
    fn load_since(self, before: Self) -> Option<u64> {
        let all = self.all.checked_sub(before.all).filter(|all| *all > 0)?;
        let idle = self.idle.saturating_sub(before.idle).min(all);
        Some((all - idle) * 100 / all)
    }
}

#[derive(Debug)]
struct Disk {
    id: u64,
    total: u64,
    free: u64,
}

impl Disk {
    fn at(path: &Path) -> Option<Self> {
        let stat = rustix::fs::statvfs(path).ok()?;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        Some(Self { id: stat.f_fsid, total: bytes(stat.f_blocks), free: bytes(stat.f_bfree) })
    }
}

/// A file of the operating system; empty when there is none.
fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// A line such as `MemFree:  1234 kB`, in bytes.
fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The soft limit of open files.
fn most_files(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn what_the_system_writes_is_understood() {
        let memory = "MemTotal:       2048 kB\nMemFree:         1024 kB\n";
        assert_eq!(kibibytes(memory, "MemFree:"), Some(1 << 20));
        assert_eq!(kibibytes(memory, "SwapFree:"), None);
        let limits = "Max open files            1024                 4096                 files\n";
        assert_eq!(most_files(limits), Some(1024));
        let before = Cpu::of("cpu  10 0 10 80 0 0 0 0 0 0\ncpu0 1\n").unwrap();
        let now = Cpu::of("cpu  30 0 20 140 10 0 0 0 0 0\n").unwrap();
        assert_eq!(now.load_since(before), Some(30));
        assert_eq!(before.load_since(before), None);
        assert_eq!(Cpu::of("intr 5"), None);
    }

    #[test]
    fn this_machine_says_something() {
        let mut machine = Machine::default();
        machine.look();
        machine.look();
        let metrics = machine.metrics(Path::new("/"), "2026-01-31T12:00:00Z");
        let names: Vec<&str> = metrics.iter().map(Metric::name).collect();
        assert!(names.contains(&OPERATING_SYSTEM), "{names:?}");
        assert!(names.contains(&"FreePhysicalMemory") && names.contains(&"DiskSpaceFree_/"));
        let once: std::collections::HashSet<&&str> = names.iter().collect();
        assert_eq!(once.len(), names.len());
    }
}
