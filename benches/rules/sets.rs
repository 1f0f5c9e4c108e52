//! The sets of rules, and events for them.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use hindsight::clock::WallTime;
use hindsight::model::{Event, EventId, Status};
use hindsight::rules::{Defaults, Host, Known, RuleSet, Settings, load};

use crate::support::rule_defaults::defaults;

/// A file has a bound; rules come in several.
const RULES_OF_A_FILE: u64 = 1_000;

/// What the rules of a set ask of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Equality,
    Alternation,
    RegexStart,
    RegexWithin,
    When,
    /// A fifth of each.
    Mixed,
}

impl Kind {
    pub(crate) const ALL: [Self; 6] = [
        Self::Equality,
        Self::Alternation,
        Self::RegexStart,
        Self::RegexWithin,
        Self::When,
        Self::Mixed,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Equality => "equality",
            Self::Alternation => "alternation of words",
            Self::RegexStart => "regex only, of how a value begins",
            Self::RegexWithin => "regex only, of what is within",
            Self::When => "equality and `when`",
            Self::Mixed => "a fifth of each",
        }
    }

    /// What rule `number` asks, as YAML.
    pub(crate) fn matchers(self, number: u64) -> Vec<String> {
        let severity = r#"severity =~ "warning|critical""#.to_owned();
        match self {
            Self::Equality | Self::When => vec![format!("alertname = \"A{number}\""), severity],
            Self::Alternation => {
                vec![format!("service =~ \"api-{number}|web-{number}|db-{number}\""), severity]
            }
            Self::RegexStart => vec![format!("instance =~ \"edge-{number}-.*\""), severity],
            Self::RegexWithin => {
                vec![format!("instance =~ \"[a-z]+-{number}-[a-z.]+:[0-9]+\""), severity]
            }
            Self::Mixed => Self::ALL[usize::try_from(number % 5).unwrap()].matchers(number),
        }
    }

    fn has_when(self, number: u64) -> bool {
        self == Self::When || (self == Self::Mixed && number % 5 == 4)
    }

    /// As YAML.
    fn rule(self, number: u64) -> String {
        let matchers = self.matchers(number);
        let quoted: Vec<String> = matchers.iter().map(|matcher| format!("'{matcher}'")).collect();
        let when = match self.has_when(number) {
            true => "    when: value > 0.05 && labels.env == \"prod\"\n",
            false => "",
        };
        format!(
            "  - name: rule-{number}\n    match: [{}]\n{when}    group_by: [alertname, instance]\n    \
             cooldown: 15m\n    capture: {{ filters: [{{ protocol: tcp, remote_ip: \"${{labels.peer | ip}}\", \
             remote_port: \"443;8000-8999\" }}] }}\n",
            quoted.join(", ")
        )
    }

    pub(crate) fn rules(self, size: u64) -> RuleSet {
        let folder = tempfile::tempdir().unwrap();
        for first in (0..size).step_by(usize::try_from(RULES_OF_A_FILE).unwrap()) {
            let numbers = first..size.min(first + RULES_OF_A_FILE);
            let rules: String = numbers.map(|number| self.rule(number)).collect();
            let path = folder.path().join(format!("{first}.yaml"));
            fs::write(path, format!("version: 1\nrules:\n{rules}")).unwrap();
        }
        let settings = Settings {
            paths: vec![folder.path().to_owned()],
            defaults: with_notifier(),
            dry_run: false,
        };
        load(&settings, &known()).unwrap_or_else(|problems| panic!("{}", problems[0]))
    }

    /// An event that concerns one rule of so many.
    pub(crate) fn event(self, number: u64, size: u64) -> Event {
        // Steps of a large prime: neighbours are far from each other.
        let rule = number * 7_919 % size;
        let labels = [
            ("alertname", format!("A{rule}")),
            ("cluster", "fra1".to_owned()),
            ("env", "prod".to_owned()),
            ("instance", format!("edge-{rule}-rack.example:9100")),
            ("job", "node".to_owned()),
            ("peer", format!("10.0.{}.7", number % 256)),
            ("service", format!("web-{rule}")),
            ("severity", "critical".to_owned()),
        ];
        let owned = |(key, value): (&str, String)| (key.to_owned(), value);
        Event {
            id: EventId::from_text("01jd0000000000000000000000"),
            source: "plant".to_owned(),
            name: format!("A{rule}"),
            status: Status::Firing,
            severity: Some("critical".to_owned()),
            labels: labels.into_iter().map(owned).collect(),
            annotations: [owned(("summary", "packets are sent again".to_owned()))].into(),
            value: Some(0.2),
            starts_at: Some(WallTime::from_nanos(1_800_000_000_000_000_000)),
            received_at: WallTime::from_nanos(1_800_000_001_000_000_000),
            fingerprint: format!("{number:016x}"),
            payload: String::new(),
        }
    }
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn known() -> Known {
    Known {
        complete: true,
        sources: set(&["plant"]),
        storages: set(&["local"]),
        notifiers: set(&["bus"]),
        interfaces: vec!["eth0".to_owned()],
        duration: Duration::from_secs(5 * 3_600),
        bytes: 1 << 30,
        host: Host::new("edge-7", [].into(), []),
    }
}

fn with_notifier() -> Defaults {
    Defaults { notify: vec!["bus".to_owned()], ..defaults() }
}
