//! How much memory the process may use, and how much it does.

use std::fs;
use std::path::{Path, PathBuf};

/// What it may use: the lowest limit of its cgroups and the machine's memory. Bytes.
pub(crate) fn ceiling_bytes() -> u64 {
    let read = |path: &Path| fs::read_to_string(path).ok();
    let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let machine = read(Path::new("/proc/meminfo")).and_then(|text| bytes_of(&text, "MemTotal:")).unwrap_or(u64::MAX);
    limits(&groups).iter().filter_map(|path| read(path)?.trim().parse().ok()).fold(machine, u64::min)
}

/// What it uses now: resident pages, those of its files included.
pub(crate) fn resident_bytes() -> Option<u64> {
    bytes_of(&fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")
}

/// Files that may hold a limit: those of the process's cgroup and of each above it, of either version (cgroups(7)).
fn limits(groups: &str) -> Vec<PathBuf> {
    let of = |line: &str| {
        let mut fields = line.splitn(3, ':').skip(1);
        match (fields.next()?, fields.next()?) {
            ("", group) => Some(("/sys/fs/cgroup", "memory.max", group.to_owned())),
            (controllers, group) if controllers.split(',').any(|name| name == "memory") => {
                Some(("/sys/fs/cgroup/memory", "memory.limit_in_bytes", group.to_owned()))
            }
            _ => None,
        }
    };
    let mut files = Vec::new();
    for (root, name, group) in groups.lines().filter_map(of) {
        for above in Path::new(&group).ancestors() {
            let below_root = above.strip_prefix("/").unwrap_or(above);
            files.push(Path::new(root).join(below_root).join(name));
        }
    }
    files
}

/// An amount of `/proc/meminfo` or `/proc/self/status`, where it stands in KiB.
fn bytes_of(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_all_groups_above_are_looked_at() {
        let files = |text| limits(text).iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
        assert_eq!(
            files("0::/system.slice/penstock.service\n"),
            [
                "/sys/fs/cgroup/system.slice/penstock.service/memory.max",
                "/sys/fs/cgroup/system.slice/memory.max",
                "/sys/fs/cgroup/memory.max",
            ]
        );
        assert_eq!(
            files("5:cpu,cpuacct:/a\n4:memory:/b\n1:name=systemd:/c\n"),
            ["/sys/fs/cgroup/memory/b/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        );
        assert!(files("nonsense\n").is_empty());
    }

    #[test]
    fn this_process_fits_into_this_machine() {
        assert!(resident_bytes().is_some_and(|bytes| bytes > 0 && bytes < ceiling_bytes()));
        assert_eq!(bytes_of("MemFree: 1 kB\nMemTotal:       16 kB\n", "MemTotal:"), Some(16_384));
    }
}
