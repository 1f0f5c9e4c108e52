//! What the figures were measured on, printed with them.

use std::fs;
use std::process::Command;

use crate::figures;

/// The first line that each program says about itself.
const VERSIONS: [(&str, &str); 4] = [
    ("tcpdump", "--version"),
    ("dumpcap", "--version"),
    ("netsniff-ng", "--version"),
    ("trafgen", "--version"),
];

pub(crate) fn say() {
    let file = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let processors = file("/proc/cpuinfo");
    let models = processors.lines().filter_map(|line| line.strip_prefix("model name\t: "));
    let models: Vec<&str> = models.collect();
    figures::heading("The machine");
    figures::say(&format!("Linux {}", file("/proc/sys/kernel/osrelease")));
    figures::say(&format!("{} x {}", models.len(), models.first().unwrap_or(&"?")));
    figures::say(&format!("load (the last 1, 5, 15 minutes): {}", load(&file("/proc/loadavg"))));
    for (program, argument) in VERSIONS {
        if let Ok(output) = Command::new(program).arg(argument).output() {
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said).into_owned();
            figures::say(said.lines().next().unwrap_or(program));
        }
    }
}

/// The three averages, without what else stands in the file.
fn load(text: &str) -> String {
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}
