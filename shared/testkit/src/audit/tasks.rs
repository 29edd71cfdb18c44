//! Whether the records of a specialty and its indexes say the same.

use super::{
    Limits,
    shelf::{EntryId, PRIORITIES, Record, SETTLED, Shelf, entry_id},
};

/// Pending entries that nobody works on are at this consumer.
const PARKED: &str = "-";

/// Streams are trimmed by whole nodes of so many entries.
const STREAM_NODE: usize = 100;

/// Counters are named after transitions; there are no more than these.
const STATS_MAX: usize = 32;

pub fn is_settled(record: &Record) -> bool {
    SETTLED.iter().any(|(status, _)| field(record, "status") == *status)
}

/// Whether the task is on its way to or from another specialty.
pub fn moves(record: &Record) -> bool {
    matches!(field(record, "status"), "moving" | "arriving")
}

/// One sentence for each contradiction.
pub fn contradictions(specialty: &str, shelf: &Shelf, limits: &Limits) -> Vec<String> {
    let mut found = Vec::new();
    for (id, record) in &shelf.records {
        for what in of_record(id, record, shelf, limits) {
            found.push(format!("{specialty} {id}: {what}; its record is {record:?}"));
        }
    }
    let ownerless = of_members(shelf).into_iter().chain(of_lines(shelf)).chain(of_limits(shelf, limits));
    found.extend(ownerless.chain(of_counters(shelf)).map(|what| format!("{specialty}: {what}")));
    found
}

/// What a task has cost was charged by one of its leases.
fn of_cost(record: &Record) -> Option<String> {
    let (cost, charged) = (field(record, "micro_usd"), field(record, "charged"));
    if cost.is_empty() && charged.is_empty() {
        return None;
    }
    let fence = charged.split_once(':').and_then(|(fence, _)| fence.parse::<u64>().ok());
    let sound = cost.parse::<u64>().is_ok_and(|cost| cost > 0)
        && fence.is_some_and(|fence| field(record, "fence").parse().is_ok_and(|latest: u64| fence <= latest));
    (!sound).then(|| format!("cost {cost:?} charged by {charged:?}"))
}

/// A record against all indexes and streams.
fn of_record(id: &str, record: &Record, shelf: &Shelf, limits: &Limits) -> Vec<String> {
    let status = field(record, "status");
    let mut found = Vec::new();
    let entry = entry_id(field(record, "entry")).ok();
    let returned = shelf.index("again").contains_key(id);
    let settled = SETTLED.iter().find(|(name, _)| *name == status).map(|(_, index)| *index);
    let home = match status {
        "held" => "held",
        "active" => "leases",
        "delayed" => "delayed",
        "pending" if returned => "again",
        // On its way to another specialty a task is in no index.
        "pending" | "moving" | "arriving" => "",
        _ => match settled {
            Some(index) => index,
            None => return vec![format!("'{status}' is no status")],
        },
    };
    for (name, members) in &shelf.indexes {
        if members.contains_key(id) != (*name == home) {
            found.push(format!("{status}, and {}in '{name}'", if *name == home { "not " } else { "" }));
        }
    }
    let under_way = matches!(status, "active" | "delayed");
    if shelf.direct.contains(id) != (under_way && entry.is_none()) {
        found.push(format!("{status} with entry {entry:?} and 'direct' disagree"));
    }
    match entry {
        Some(entry) if status == "pending" || under_way => {
            found.extend(of_entry(id, record, entry, returned, shelf));
        }
        Some(_) => found.push(format!("{status}, and it names an entry")),
        None if status == "pending" => found.push("pending without an entry".to_owned()),
        None => {}
    }
    found.extend(of_cost(record));
    found.extend(of_spec(id, record, status, entry, shelf));
    if status == "delayed" && shelf.index("delayed").get(id) != number(record, "due_at").as_ref() {
        found.push("due_at is not its place in 'delayed'".to_owned());
    }
    let place = place(record, limits);
    if returned && shelf.index("again").get(id) != place.as_ref() {
        found.push(format!("its place in 'again' is not {place:?}"));
    }
    found
}

/// The entry of a task under way: in the stream of its priority, and pending where it belongs.
fn of_entry(id: &str, record: &Record, entry: EntryId, returned: bool, shelf: &Shelf) -> Vec<String> {
    let Some(line) = shelf.lines.get(field(record, "priority")) else {
        return vec!["it has no known priority".to_owned()];
    };
    let mut found = Vec::new();
    if line.entries.get(&entry).map(String::as_str) != Some(id) {
        found.push(format!("its entry {entry:?} is not in its stream, or is another task's"));
    }
    let status = field(record, "status");
    let expected = match status {
        "active" => Some(field(record, "worker")),
        "delayed" => Some(PARKED),
        _ if returned => Some(PARKED),
        _ => None,
    };
    let at = line.pending.get(&entry).map(String::as_str);
    if at != expected {
        found.push(format!("{status}, and its entry is pending at {at:?} instead of {expected:?}"));
    }
    if expected.is_none() && entry <= line.delivered {
        found
            .push(format!("its entry {entry:?} was delivered and is in nobody's hands: it is never claimed"));
    }
    found
}

/// The specification is in the entry, or apart for those without one and for those to be run again.
fn of_spec(id: &str, record: &Record, status: &str, entry: Option<EntryId>, shelf: &Shelf) -> Option<String> {
    let own = field(record, "own") == "1";
    let needed = matches!(status, "held" | "failed" | "cancelled")
        || (status != "completed" && entry.is_none())
        || own;
    let kept = shelf.specs.contains(id);
    (needed != kept)
        .then(|| format!("{status}, and its own specification is {}", if kept { "kept" } else { "missing" }))
}

/// Members of indexes, and other keys, without a record.
fn of_members(shelf: &Shelf) -> Vec<String> {
    let mut found: Vec<String> =
        shelf.strangers.iter().map(|name| format!("'{name}' is of no family")).collect();
    let mut named: Vec<(&str, &String)> = Vec::new();
    for (name, members) in &shelf.indexes {
        named.extend(members.keys().map(|id| (*name, id)));
    }
    named.extend(shelf.direct.iter().map(|id| ("direct", id)));
    named.extend(shelf.specs.iter().map(|id| ("spec", id)));
    for (name, id) in named.into_iter().filter(|(_, id)| !shelf.records.contains_key(*id)) {
        found.push(format!("'{name}' has {id}, which has no record"));
    }
    found
}

/// Entries that no record names, and pending ones that are in no stream.
fn of_lines(shelf: &Shelf) -> Vec<String> {
    let mut found = Vec::new();
    for priority in PRIORITIES {
        let line = &shelf.lines[priority];
        for (entry, id) in &line.entries {
            let record = shelf.records.get(id);
            let named = record.filter(|record| field(record, "priority") == priority);
            if named.and_then(|record| entry_id(field(record, "entry")).ok()) != Some(*entry) {
                found
                    .push(format!("entry {entry:?} of {priority} is of {id}, whose record does not name it"));
            }
        }
        for (entry, consumer) in line.pending.iter().filter(|(entry, _)| !line.entries.contains_key(*entry)) {
            found
                .push(format!("entry {entry:?} of {priority} is pending at '{consumer}' and does not exist"));
        }
    }
    found
}

fn of_limits(shelf: &Shelf, limits: &Limits) -> Vec<String> {
    let mut found = Vec::new();
    let mut bound = |what: &str, is: usize, max: usize| {
        if is > max {
            found.push(format!("{what}: {is} is more than {max}"));
        }
    };
    for (status, index) in SETTLED {
        bound(&format!("{status} tasks"), shelf.index(index).len(), limits.finished_count_max);
    }
    bound("events", shelf.events, limits.events_count_max + STREAM_NODE);
    bound("counters", shelf.stats.len(), STATS_MAX);
    for (id, (lines, _)) in &shelf.logs {
        bound(&format!("lines of {id}"), *lines, limits.log_lines_max + STREAM_NODE);
    }
    for (id, _) in shelf.logs.iter().filter(|(_, (_, life_ms))| *life_ms < 0) {
        found.push(format!("the log of {id} has no end"));
    }
    found
}

/// What came in and did not end is under way.
fn of_counters(shelf: &Shelf) -> Option<String> {
    let count = |name: &str| shelf.stats.get(name).copied().unwrap_or(0);
    let sum = |names: &[&str]| names.iter().map(|name| count(name)).sum::<i64>();
    let came = sum(&["enqueued", "held", "rerun", "moved_in"]);
    let ended = sum(&["completed", "failed", "cancelled", "withdrawn", "moved_out"]);
    let under_way = shelf.records.values().filter(|record| !is_settled(record)).count();
    (came - ended != under_way as i64).then(|| {
        format!("{came} came in, {ended} ended, and {under_way} are under way; counters: {:?}", shelf.stats)
    })
}

/// Place in `again`: rank, which is the priority, and another of suspects; then age.
fn place(record: &Record, limits: &Limits) -> Option<f64> {
    let priority = PRIORITIES.iter().position(|priority| *priority == field(record, "priority"))?;
    let suspect = number(record, "lost").unwrap_or(0.0) + 1.0 >= f64::from(limits.lost_workers_max.max(2));
    let rank = 1 + priority + if suspect { PRIORITIES.len() } else { 0 };
    format!("{rank}{:014}", number(record, "created_at")? as u64).parse().ok()
}

fn number(record: &Record, name: &str) -> Option<f64> {
    field(record, name).parse().ok()
}

fn field<'a>(record: &'a Record, name: &str) -> &'a str {
    record.get(name).map_or("", String::as_str)
}
