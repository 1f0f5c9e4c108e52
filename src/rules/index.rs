//! Which rules may match an event, so that those that cannot cost nothing.
//!
//! Each rule is found by one of its demands: the one that the fewest rules of the set share. Where
//! many share even that, the rules behind it are divided once more by what else they demand. What is
//! found is tried in full, so the index never decides. A set of regexes that are matched together
//! would be the other way, but its automaton is built while events come and outgrows every cache
//! with some hundred patterns, while what a pattern demands is looked up.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, DefaultHasher, Hasher};

use crate::model::Event;
use crate::rules::Rule;
use crate::rules::demand::{Demand, Part};

/// So few rules are tried and not divided.
const FEW: usize = 4;

/// An odd number without a pattern in its bits: 2^64 divided by the golden ratio.
const MIXER: u64 = 0x9e37_79b9_7f4a_7c15;

/// How often rules are divided at most.
const MAX_DEPTH: usize = 4;

/// Rules by what they demand.
#[derive(Clone, Debug, Default)]
pub(super) struct Index(Node);

#[derive(Clone, Debug)]
enum Node {
    /// The rules at these positions are tried.
    One(usize),
    Some(Vec<usize>),
    Divided(Box<Divided>),
}

impl Default for Node {
    fn default() -> Self {
        Self::Some(Vec::new())
    }
}

#[derive(Clone, Debug, Default)]
struct Divided {
    by_source: Vec<Table>,
    by_label: HashMap<String, Vec<Table>>,
    /// Positions of rules that demand nothing more: always tried.
    always: Vec<usize>,
}

/// The rules that demand something of the same part of the same value.
#[derive(Clone, Debug)]
struct Table {
    part: Part,
    /// Of the texts, in bytes, each once.
    lengths: BTreeSet<usize>,
    /// By a hash of the text: what finds too much costs a try, while the text itself would have to be
    /// fetched from memory for each look.
    by_text: HashMap<u64, Node, BuildHasherDefault<AsIs>>,
}

/// Takes a number that is a hash already.
#[derive(Clone, Copy, Debug, Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }

    fn write(&mut self, _bytes: &[u8]) {
        unreachable!("the keys are numbers");
    }
}

/// Short texts are most of what is looked up: they are a number already, which is only mixed.
fn hash(text: &[u8]) -> u64 {
    let mut short = [0; 8];
    if let Some(start) = short.get_mut(..text.len()) {
        start.copy_from_slice(text);
        let number = u64::from_le_bytes(short) ^ u64::try_from(text.len()).unwrap_or_default();
        let mixed = u128::from(number) * u128::from(MIXER);
        let [low, high] = [mixed, mixed >> 64].map(|half| half & u128::from(u64::MAX));
        return u64::try_from(low ^ high).unwrap_or_default();
    }
    let mut hasher = DefaultHasher::new();
    hasher.write(text);
    hasher.finish()
}

/// What a demand is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Subject<'r> {
    Source,
    Label(&'r str),
}

/// The positions behind one table, before they are divided further.
#[derive(Debug, Default)]
struct Group {
    lengths: BTreeSet<usize>,
    by_text: HashMap<u64, Vec<usize>>,
}

/// One demand of a rule.
#[derive(Debug)]
struct Asked<'r> {
    subject: Subject<'r>,
    demand: Demand,
}

impl Index {
    pub(super) fn new(rules: &[Rule]) -> Self {
        let asked: Vec<Vec<Asked<'_>>> = rules.iter().map(asked).collect();
        let acting = (0..rules.len()).filter(|position| rules[*position].idle().is_none());
        Self(Node::new(&asked, acting.collect(), &mut Vec::new()))
    }

    /// Positions of the rules that may match, in the order of the set, each once.
    pub(super) fn candidates(&self, event: &Event) -> Vec<usize> {
        let mut candidates = Vec::new();
        self.0.find(event, &mut candidates);
        candidates.sort_unstable();
        candidates.dedup();
        candidates
    }
}

fn asked(rule: &Rule) -> Vec<Asked<'_>> {
    let of_labels = rule.matchers().iter().flat_map(|matcher| {
        let subject = Subject::Label(matcher.label());
        Demand::of(matcher).into_iter().map(move |demand| Asked { subject, demand })
    });
    let of_sources = Demand::of_words(&rule.sources);
    let of_sources = of_sources.map(|demand| Asked { subject: Subject::Source, demand });
    of_labels.chain(of_sources).collect()
}

impl Node {
    /// `path` holds what these rules were divided by already.
    fn new<'r>(
        asked: &[Vec<Asked<'r>>],
        positions: Vec<usize>,
        path: &mut Vec<(Subject<'r>, Part)>,
    ) -> Self {
        if let ([position], false) = (&positions[..], path.is_empty()) {
            return Self::One(*position);
        }
        if !path.is_empty() && (positions.len() <= FEW || path.len() > MAX_DEPTH) {
            return Self::Some(positions);
        }
        // Further down an entry for each of many texts would be one for each pair of texts.
        let is_open = |asked: &&Asked<'r>| {
            !path.contains(&(asked.subject, asked.demand.part))
                && (path.is_empty() || asked.demand.texts.len() == 1)
        };
        let open = |position: usize| asked[position].iter().filter(is_open);
        let mut shared: HashMap<(Subject<'r>, Part, &[u8]), usize> = HashMap::new();
        for Asked { subject, demand } in positions.iter().flat_map(|position| open(*position)) {
            for text in &demand.texts {
                *shared.entry((*subject, demand.part, text)).or_default() += 1;
            }
        }
        let cost = |asked: &&Asked<'r>| {
            let Asked { subject, demand } = asked;
            let shares = demand.texts.iter().map(|text| shared[&(*subject, demand.part, &**text)]);
            // A look within a value costs as many looks as it has bytes.
            (shares.max().unwrap_or_default(), demand.part, demand.texts.len())
        };
        let mut always = Vec::new();
        let mut groups: HashMap<(Subject<'r>, Part), Group> = HashMap::new();
        for position in positions {
            match open(position).min_by_key(cost) {
                None => always.push(position),
                Some(Asked { subject, demand }) => {
                    let group = groups.entry((*subject, demand.part)).or_default();
                    for text in &demand.texts {
                        group.lengths.insert(text.len());
                        group.by_text.entry(hash(text)).or_default().push(position);
                    }
                }
            }
        }
        let mut node = Divided { always, ..Divided::default() };
        for ((subject, part), group) in groups {
            path.push((subject, part));
            let by_text = group.by_text.into_iter();
            let table = Table {
                part,
                lengths: group.lengths,
                by_text: by_text
                    .map(|(text, positions)| (text, Self::new(asked, positions, path)))
                    .collect(),
            };
            path.pop();
            match subject {
                Subject::Source => node.by_source.push(table),
                Subject::Label(label) => {
                    node.by_label.entry(label.to_owned()).or_default().push(table);
                }
            }
        }
        Self::Divided(Box::new(node))
    }

    fn find(&self, event: &Event, found: &mut Vec<usize>) {
        match self {
            Self::One(position) => found.push(*position),
            Self::Some(positions) => found.extend(positions),
            Self::Divided(divided) => divided.find(event, found),
        }
    }
}

impl Divided {
    fn find(&self, event: &Event, found: &mut Vec<usize>) {
        found.extend(&self.always);
        search(&self.by_source, &event.source, event, found);
        // Whichever are fewer: a set may ask about a thousand labels, an event may have as many.
        if self.by_label.len() <= event.labels.len() + FALLING_BACK.len() {
            for (label, tables) in &self.by_label {
                search(tables, event.label(label), event, found);
            }
            return;
        }
        let fallen_back =
            FALLING_BACK.into_iter().filter(|label| !event.labels.contains_key(*label));
        for label in event.labels.keys().map(String::as_str).chain(fallen_back) {
            if let Some(tables) = self.by_label.get(label) {
                search(tables, event.label(label), event, found);
            }
        }
    }
}

/// What [`Event::label`] answers for an event that has no such label.
const FALLING_BACK: [&str; 2] = ["alertname", "severity"];

fn search(tables: &[Table], value: &str, event: &Event, found: &mut Vec<usize>) {
    for table in tables {
        let look = |piece: &[u8], found: &mut Vec<usize>| {
            if let Some(node) = table.by_text.get(&hash(piece)) {
                node.find(event, found);
            }
        };
        if table.part == Part::Whole {
            look(value.as_bytes(), found);
            continue;
        }
        for length in &table.lengths {
            table.part.pieces(value.as_bytes(), *length).for_each(|piece| look(piece, found));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::Verdict;
    use crate::rules::decide::tests::{event, rule_set};

    fn numbered(count: usize, matchers: impl Fn(usize) -> String) -> String {
        let rule = |number| format!("  - name: r{number}\n    match: [{}]\n", matchers(number));
        format!("version: 1\nrules:\n{}", (0..count).map(rule).collect::<String>())
    }

    #[test]
    fn rules_that_cannot_match_are_not_tried() {
        let mut text = numbered(1_000, |number| format!("alertname = A{number}"));
        text.push_str("  - name: by-severity\n    match: [team =~ .*, severity = critical]\n");
        text.push_str("  - name: always\n    match: [team != web]\n");
        text.push_str("  - { name: off, enabled: false, match: [team != web] }\n");
        let rules = rule_set(&text);
        let tried =
            rules.index.candidates(&event(&[("alertname", "A7"), ("severity", "critical")]));
        assert_eq!(tried, [7, 1_000, 1_001]);
        assert_eq!(rules.index.candidates(&event(&[("alertname", "B")])), [1_001]);
    }

    #[test]
    fn what_divides_the_set_best_finds_a_rule() {
        let labels = [("alertname", "Down"), ("severity", "critical"), ("host", "edge-123-x")];
        let cases: [&dyn Fn(usize) -> String; 5] = [
            &|number| format!("alertname = Down, host = edge-{number}-x"),
            &|number| format!("alertname = Down, \"host =~ \\\"edge-{number}-(x|y)\\\"\""),
            &|number| format!("\"host =~ \\\"edge-{number}-.*\\\"\""),
            &|number| format!("\"host =~ \\\".*-{number}-.\\\"\""),
            &|number| format!("\"host =~ \\\".+[a-z]-{number}-.*\\\"\""),
        ];
        for (number, matchers) in cases.iter().enumerate() {
            let rules = rule_set(&numbered(200, matchers));
            let tried = rules.index.candidates(&event(&labels));
            assert!(tried.contains(&123), "case {number}: {tried:?}");
            assert!(tried.len() <= 12, "case {number}: {tried:?}");
        }
    }

    #[test]
    fn two_labels_together_divide_what_neither_does() {
        let rules = rule_set(&numbered(400, |number| {
            format!("team = t{}, site = s{}", number / 20, number % 20)
        }));
        let tried = rules.index.candidates(&event(&[("team", "t3"), ("site", "s4")]));
        assert_eq!(tried, [64]);
    }

    const VALUES: [&str; 8] = ["", "a", "b", "ab", "aba", "web-1", "web-12", "x-web-1"];
    const PATTERNS: [&str; 16] = [
        "",
        "a",
        "a|b",
        "a.*",
        ".*a",
        "web-.*",
        ".*web.*",
        "(a|b)+",
        "[ab]b?",
        "(?i)WEB-1",
        ".*",
        ".+",
        "x?-?web-1",
        "web-(1|2|12)",
        "\\\\bweb.*",
        "a|b.*|.*2",
    ];
    const LABELS: [&str; 4] = ["alertname", "severity", "p", "q"];

    fn matcher() -> impl Strategy<Value = String> {
        let label = prop::sample::select(&LABELS[..]);
        let equal = (
            label.clone(),
            prop::sample::select(&["=", "!="][..]),
            prop::sample::select(&VALUES[..]),
        );
        let regex =
            (label, prop::sample::select(&["=~", "!~"][..]), prop::sample::select(&PATTERNS[..]));
        prop_oneof![equal, regex]
            .prop_map(|(label, operator, value)| format!("'{label} {operator} \"{value}\"'"))
    }

    fn rule() -> impl Strategy<Value = String> {
        let source = prop::sample::select(&["[plant]", "[hook]", "[plant, hook]"][..]);
        (prop::collection::vec(matcher(), 0..4), source)
            .prop_map(|(matchers, source)| (matchers.join(", "), source))
            .prop_flat_map(|(matchers, source)| {
                let bare = !matchers.is_empty();
                any::<bool>().prop_map(move |with| match with || !bare {
                    true => format!("source: {source}, match: [{matchers}]"),
                    false => format!("match: [{matchers}]"),
                })
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_index_finds_what_trying_every_rule_finds(
            rules in prop::collection::vec(rule(), 1..25),
            events in prop::collection::vec(
                (
                    prop::collection::btree_map(
                        prop::sample::select(&LABELS[..]),
                        prop::sample::select(&VALUES[..]),
                        0..5,
                    ),
                    prop::sample::select(&["plant", "hook"][..]),
                    prop::sample::select(&VALUES[..]),
                    prop::option::of(prop::sample::select(&VALUES[..])),
                ),
                1..8,
            ),
        ) {
            let rule = |(number, rule): (usize, &String)| format!("  - {{ name: r{number}, {rule} }}\n");
            let text: String = rules.iter().enumerate().map(rule).collect();
            let rules = rule_set(&format!("version: 1\nrules:\n{text}"));
            for (labels, source, name, severity) in events {
                let labels: Vec<(&str, &str)> = labels.into_iter().collect();
                let event = Event {
                    source: source.to_owned(),
                    name: name.to_owned(),
                    severity: severity.map(str::to_owned),
                    ..event(&labels)
                };
                let verdicts = rules.decide(&event);
                let indexed: Vec<&str> = verdicts.iter().map(Verdict::rule).collect();
                let concerned = rules.rules.iter().filter(|rule| rule.concerns(&event, &rules.host));
                let linear: Vec<&str> = concerned.map(|rule| rule.name.as_str()).collect();
                prop_assert_eq!(indexed, linear, "{:?}\n{}", event, text);
            }
        }
    }
}
