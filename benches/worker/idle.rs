//! What a worker takes of the host while nothing happens: one recorder, a broker on each side.

use std::fs;
use std::time::Duration;

use crate::figures;
use crate::support::broker::Broker;
use crate::support::namespaces::Pair;
use crate::support::worker::{Configuration, Worker};

/// Of one processor, in per cent.
const PROCESSOR_AT_MOST: f64 = 1.0;

/// In MiB, beside the ring.
const MEMORY_AT_MOST: f64 = 40.0;

/// What is not idling: connections, first looks, the journal's first pages.
const SETTLE: Duration = Duration::from_secs(5);

const MEASURED: Duration = Duration::from_secs(30);

/// Of `utime` and `stime` in proc_pid_stat(5): USER_HZ, 100 on every Linux that we know.
const TICKS_PER_SECOND: f64 = 100.0;

pub(crate) fn run(pair: &Pair) {
    figures::heading(&format!("Idle: one recorder, for {} s", MEASURED.as_secs()));
    let broker = Broker::start_forgetful(&pair.near);
    let url = broker.url();
    let configuration = Configuration {
        sources: vec![format!(
            "plant: {{ mqtt: {{ url: \"{url}\", topics: [{{ filter: \"alerts/#\", format: json }}] }} }}"
        )],
        storages: vec!["local: { directory: { path: stored } }".to_owned()],
        notifiers: vec![format!("bus: {{ mqtt: {{ url: \"{url}\", topic: notices }} }}")],
        rest: vec!["recorder: { interfaces: auto, memory: 64MiB }".to_owned()],
        rules: "version: 1\nrules:\n  - name: r\n    match: ['alertname = \"A\"']\n".to_owned(),
    };
    let worker = Worker::start(&pair.near, &configuration);
    worker.wait_for_source("plant");
    std::thread::sleep(SETTLE);
    let before = processor_seconds(worker.id());
    std::thread::sleep(MEASURED);
    let used = processor_seconds(worker.id()) - before;
    let share = used / MEASURED.as_secs_f64() * 100.0;
    figures::judge("processor, per cent of one", share, PROCESSOR_AT_MOST);
    let (ring_mib, rest_mib) = memory_mib(worker.id());
    figures::say(&format!("memory of the ring that is mapped: {ring_mib:.1} MiB"));
    figures::judge("memory beside the ring, MiB", rest_mib, MEMORY_AT_MOST);
}

/// User and system time so far.
fn processor_seconds(id: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    // The name of the program, in brackets, may hold spaces; utime and stime are fields 14 and 15.
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks = |field: usize| fields[field - 3].parse::<f64>().unwrap();
    (ticks(14) + ticks(15)) / TICKS_PER_SECOND
}

/// What is resident: of the packet sockets' rings, and of all else.
fn memory_mib(id: u32) -> (f64, f64) {
    let maps = fs::read_to_string(format!("/proc/{id}/smaps")).unwrap();
    let (mut ring, mut rest, mut is_ring) = (0.0, 0.0, false);
    for line in maps.lines() {
        if let Some(kib) = line.strip_prefix("Rss:") {
            let kib = kib.trim().trim_end_matches(" kB").parse::<f64>().unwrap();
            *(if is_ring { &mut ring } else { &mut rest }) += kib / 1024.0;
        } else if line.split(' ').next().is_some_and(|range| range.contains('-')) {
            is_ring = line.contains("socket:[");
        }
    }
    (ring, rest)
}
