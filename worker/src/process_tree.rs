//! Which process descends from which, as `/proc` tells it.

use std::{collections::BTreeMap, fs};

use nix::unistd::Pid;

/// The direct children of `parent`, zombies included.
pub(crate) fn children_of(parent: Pid) -> Vec<Pid> {
    processes().into_iter().filter(|(_, process)| process.parent == parent).map(|(pid, _)| pid).collect()
}

/// Every process that descends from `ancestor`, zombies included.
pub(crate) fn descendants_of(ancestor: Pid) -> Vec<Pid> {
    let processes = processes();
    let mut found = vec![ancestor];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(processes.iter().filter(|(_, process)| process.parent == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found.split_off(1)
}

/// Whether a process of this group still runs. A zombie does not: in a container nobody may ever reap it.
pub(crate) fn group_lives(group: Pid) -> bool {
    processes().values().any(|process| process.group == group && !process.is_zombie)
}

/// Every process whose environment has exactly this entry, such as `HOME=/x`, as far as they may be looked at.
pub(crate) fn with_environment(entry: &[u8]) -> Vec<Pid> {
    let has = |pid: &Pid| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|found| found == entry)
    };
    processes().into_keys().filter(has).collect()
}

#[derive(Debug, PartialEq, Eq)]
struct Process {
    parent: Pid,
    group: Pid,
    is_zombie: bool,
}

/// Every process there is. One that ends meanwhile is left out.
fn processes() -> BTreeMap<Pid, Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return BTreeMap::new() };
    entries
        .filter_map(|entry| {
            let pid: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
            Some((Pid::from_raw(pid), parse(&String::from_utf8_lossy(&stat))?))
        })
        .collect()
}

/// State, parent and group: the third to fifth field. The second, the program's name, may contain spaces,
/// parentheses and bytes that are no text.
fn parse(stat: &str) -> Option<Process> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace();
    let is_zombie = matches!(fields.next()?, "Z" | "X");
    let mut pid = || Some(Pid::from_raw(fields.next()?.parse().ok()?));
    Some(Process { parent: pid()?, group: pid()?, is_zombie })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_hide_the_parent() {
        let process = Process { parent: Pid::from_raw(7), group: Pid::from_raw(9), is_zombie: false };
        assert_eq!(parse("12 (a) Z (c) S 7 9 12 0"), Some(process));
        assert!(parse("12 (a) Z 7 9").is_some_and(|process| process.is_zombie));
        assert_eq!(parse("12"), None);
    }
}
