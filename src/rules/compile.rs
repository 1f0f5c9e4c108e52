//! From what a rule file says to compiled rules, noting every mistake.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use crate::filter::{Addresses, Filter, Mac, Ports, Protocol};
use crate::model::{FileForm, FileFormat, Limits};
use crate::rules::filling::{Filling, Length, OnMissing};
use crate::rules::limits;
use crate::rules::matcher::Matcher;
use crate::rules::placeholder::{Placeholder, Type, Value, is_interface};
use crate::rules::template::{EntryTemplate, Field, Name, Template};
use crate::rules::{Known, Rule, Settings, raw};
use crate::yaml::{File, Place, Placed, Problem, did_you_mean};

/// The longest name of a rule, in characters: it becomes a part of file names.
const MAX_NAME_CHARS: usize = 64;

/// Reads a text of the rule as what it stands for.
type Parser<'p, T> = &'p dyn Fn(&str) -> Result<T, String>;

/// Where compiling stands.
pub(super) struct Compiler<'a> {
    pub(super) settings: &'a Settings,
    pub(super) known: &'a Known,
    pub(super) problems: Vec<Problem>,
    /// Names that are taken, with the file and line of the rule that has them.
    names: BTreeMap<String, String>,
}

impl<'a> Compiler<'a> {
    pub(super) fn new(settings: &'a Settings, known: &'a Known) -> Self {
        Self { settings, known, problems: Vec::new(), names: BTreeMap::new() }
    }

    /// Compiles a rule. With mistakes in it the result is not for use.
    pub(super) fn rule(&mut self, file: &File, rule: &Placed<raw::Rule>) -> Rule {
        let mut at = Here { compiler: self, file };
        let raw = &rule.value;
        at.name(&raw.name);
        let has_source = raw.source.as_ref().is_some_and(|sources| !sources.0.is_empty());
        if rule.whole && raw.matchers.is_empty() && !has_source {
            at.note(rule.place, "the rule would act on every event")
                .set_hint("give it a `match`, or at least a `source`");
        }
        let known = at.compiler.known;
        let defaults = &at.compiler.settings.defaults;
        let sources = raw.source.as_ref().map_or(&[][..], |sources| &sources.0);
        let storage = match &raw.storage {
            Some(name) => at.reference("storage", name, &known.storages),
            None => defaults.storage.clone(),
        };
        Rule {
            name: raw.name.value.clone(),
            description: raw.description.clone().unwrap_or_default(),
            sources: at.references("source", sources, &known.sources),
            matchers: at.matchers(&raw.matchers),
            group_by: raw.group_by.iter().map(|label| label.value.clone()).collect(),
            cooldown: at.cooldown(rule),
            on_resolved: raw.on_resolved.unwrap_or(defaults.on_resolved),
            template: at.template(rule),
            storage,
            notify: match &raw.notify {
                Some(names) => at.references("notifier", names, &known.notifiers),
                None => defaults.notify.clone(),
            },
        }
    }
}

/// The compiler at one file.
struct Here<'c, 'a> {
    compiler: &'c mut Compiler<'a>,
    file: &'c File,
}

/// A problem just noted, to be given a hint.
struct Noted<'p>(&'p mut Problem);

impl Noted<'_> {
    fn set_hint(self, hint: impl Into<String>) {
        self.0.hint = Some(hint.into());
    }
}

impl<'a> Here<'_, 'a> {
    fn note(&mut self, place: Place, message: impl fmt::Display) -> Noted<'_> {
        self.compiler.problems.push(self.file.problem(place, message.to_string()));
        Noted(self.compiler.problems.last_mut().expect("one was just pushed"))
    }

    fn name(&mut self, name: &Placed<String>) {
        let text = &name.value;
        let has_right_form = text.len() <= MAX_NAME_CHARS
            && text.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
            && text
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'));
        if !has_right_form {
            self.note(name.place, format!("`{text}` is no name for a rule")).set_hint(format!(
                "take lower-case letters, digits, `.`, `_` and `-`, at most {MAX_NAME_CHARS}"
            ));
        }
        let here = format!("{}:{}", self.file.path().display(), name.place.line);
        match self.compiler.names.get(text).cloned() {
            Some(first) => self
                .note(name.place, format!("the name `{text}` is taken by the rule at {first}"))
                .set_hint("names are unique in the whole set"),
            None => drop(self.compiler.names.insert(text.clone(), here)),
        }
    }

    fn reference(&mut self, what: &str, name: &Placed<String>, known: &BTreeSet<String>) -> String {
        if self.compiler.known.complete && !known.contains(&name.value) {
            let hint = did_you_mean(&name.value, known.iter().map(String::as_str));
            self.note(name.place, format!("unknown {what} `{}`", name.value))
                .set_hint(hint.unwrap_or_else(|| format!("the configuration names no {what}")));
        }
        name.value.clone()
    }

    fn references(
        &mut self,
        what: &str,
        names: &[Placed<String>],
        known: &BTreeSet<String>,
    ) -> Vec<String> {
        let mut list: Vec<String> = Vec::with_capacity(names.len());
        for name in names {
            let name = self.reference(what, name, known);
            if !list.contains(&name) {
                list.push(name);
            }
        }
        list
    }

    fn matchers(&mut self, texts: &[Placed<String>]) -> Vec<Matcher> {
        let mut matchers = Vec::with_capacity(texts.len());
        for text in texts {
            match Matcher::parse(&text.value) {
                Ok(matcher) => matchers.push(matcher),
                Err(error) => drop(self.note(text.place, error)),
            }
        }
        matchers
    }

    fn cooldown(&mut self, rule: &Placed<raw::Rule>) -> Duration {
        let Some(cooldown) = &rule.value.cooldown else {
            return Duration::ZERO;
        };
        if rule.whole && !cooldown.value.0.is_zero() && rule.value.group_by.is_empty() {
            self.note(cooldown.place, "`cooldown` needs `group_by`").set_hint(
                "name the labels that make alerts the same incident, as in [alertname, instance]"
                    .to_owned(),
            );
        }
        cooldown.value.0
    }

    fn template(&mut self, rule: &Placed<raw::Rule>) -> Template {
        let capture = &rule.value.capture;
        let defaults = &self.compiler.settings.defaults;
        let (look_back, on_missing) = (defaults.look_back, defaults.on_missing);
        let noted = self.compiler.problems.len();
        let limits = self.limits(&capture.limits, rule.whole);
        let template = Template {
            interfaces: capture.interfaces.as_ref().map(|names| self.interfaces(names)),
            look_back: self.length(("look_back", true), capture.look_back.as_ref(), look_back),
            entries: capture.filters.iter().map(|entry| self.entry(entry)).collect(),
            expression: capture.bpf.as_ref().map(|bpf| self.expression(bpf)),
            duration: self.length(
                ("limits.duration", false),
                capture.limits.duration.as_ref(),
                limits.duration,
            ),
            limits,
            file: self.file(rule),
            on_missing: capture.on_missing.unwrap_or(on_missing),
        };
        // Entries and expression are well each alone; together they can still be too long.
        let place = capture.bpf.as_ref().map(|bpf| bpf.place);
        if let (Some(place), true) = (place, self.compiler.problems.len() == noted)
            && !template.entries.is_empty()
        {
            let mut filling = Filling::new(&sample, OnMissing::Refuse);
            self.check_filter(place, template.filter(&mut filling));
        }
        template
    }

    /// A duration: a value, or a placeholder of one. `key` says besides whether it may be zero.
    fn length(
        &mut self,
        (key, may_be_zero): (&'static str, bool),
        given: Option<&Placed<raw::OpenSpan>>,
        otherwise: Duration,
    ) -> Length {
        let Some(given) = given else { return Length::Given(otherwise) };
        let text = match &given.value {
            raw::OpenSpan::Given(span) => return Length::Given(span.0),
            raw::OpenSpan::Open(text) => text,
        };
        let most = self.compiler.known.duration;
        match Placeholder::parse(text, &[Type::Duration]) {
            Ok(Some(placeholder)) => {
                return Length::Open { key, placeholder, otherwise, most, may_be_zero };
            }
            Ok(None) => {}
            Err(error) => drop(self.note(given.place, error)),
        }
        Length::Given(otherwise)
    }

    fn limits(&mut self, raw: &raw::Limits, whole: bool) -> Limits {
        let (defaults, known) = (&self.compiler.settings.defaults, self.compiler.known);
        let mut mistakes = Vec::new();
        let limits = limits::read(raw, defaults, known, whole, &mut mistakes);
        for mistake in mistakes {
            self.note(mistake.place, mistake.message).set_hint(mistake.hint);
        }
        limits
    }

    /// How the files are written. The classic format has no word for a second interface.
    fn file(&mut self, rule: &Placed<raw::Rule>) -> FileForm {
        let capture = &rule.value.capture;
        let inherited = self.compiler.settings.defaults.file;
        let given = capture.format.as_ref();
        let file = FileForm {
            format: given.map_or(inherited.format, |format| format.value),
            compression: capture.compression.unwrap_or(inherited.compression),
        };
        if !rule.whole || file.format != FileFormat::Pcap {
            return file;
        }
        let known: &'a Known = self.compiler.known;
        let named = capture.interfaces.as_ref();
        let (count, what) = match named {
            Some(names) => {
                let names: BTreeSet<&str> = names.value.iter().map(|n| n.value.as_str()).collect();
                (names.len(), format!("the rule names {}", names.len()))
            }
            // Where the configuration has mistakes, what is recorded may be one of them.
            None if !known.complete => return file,
            None => {
                let recorded = known.interfaces.len();
                (recorded, format!("the rule names none, and {recorded} are recorded"))
            }
        };
        if count > 1 {
            let place = given.map(|format| format.place).or_else(|| named.map(|names| names.place));
            let message = format!("the format pcap holds one interface only; {what}");
            self.note(place.unwrap_or(rule.place), message)
                .set_hint("name one interface, or take `format: pcapng`");
        }
        file
    }

    fn interfaces(&mut self, names: &Placed<Vec<Placed<String>>>) -> Vec<Name> {
        if names.whole && names.value.is_empty() {
            self.note(names.place, "no interface is named")
                .set_hint("name one, or remove the key to capture on all recorded");
        }
        let mut list = Vec::with_capacity(names.value.len());
        for name in &names.value {
            match Placeholder::parse(&name.value, &[Type::Iface]) {
                Ok(Some(placeholder)) => list.push(Name::Open(placeholder)),
                Ok(None) if is_interface(&name.value) => list.push(Name::Given(name.value.clone())),
                Ok(None) => self
                    .note(name.place, format!("`{}` is no name of an interface", name.value))
                    .set_hint("take one that `ip link` shows"),
                Err(error) => drop(self.note(name.place, error)),
            }
        }
        list
    }

    fn entry(&mut self, entry: &Placed<raw::Entry>) -> EntryTemplate {
        let raw = &entry.value;
        let noted = self.compiler.problems.len();
        let addresses = |field: &'static str| {
            move |text: &str| Addresses::parse_list(field, text).map_err(|e| e.to_string())
        };
        let ports = |field: &'static str| {
            move |text: &str| Ports::parse_list(field, text).map_err(|e| e.to_string())
        };
        const ADDRESS: [Type; 2] = [Type::Ip, Type::Cidr];
        let template = EntryTemplate {
            protocol: self.protocol(raw.protocol.as_ref()),
            local_ip: self.field(raw.local_ip.as_ref(), &ADDRESS, &addresses("local_ip")),
            remote_ip: self.field(raw.remote_ip.as_ref(), &ADDRESS, &addresses("remote_ip")),
            local_port: self.field(raw.local_port.as_ref(), &[Type::Port], &ports("local_port")),
            remote_port: self.field(raw.remote_port.as_ref(), &[Type::Port], &ports("remote_port")),
            mac: self.field(raw.mac.as_ref(), &[Type::Mac], &|text| {
                Mac::parse_list("mac", text).map_err(|e| e.to_string())
            }),
        };
        if entry.whole && self.compiler.problems.len() == noted {
            self.check_entry(entry, &template);
        }
        template
    }

    fn check_entry(&mut self, entry: &Placed<raw::Entry>, template: &EntryTemplate) {
        let raw = &entry.value;
        let fields = [
            &raw.protocol,
            &raw.local_ip,
            &raw.remote_ip,
            &raw.local_port,
            &raw.remote_port,
            &raw.mac,
        ];
        if fields.iter().all(|field| field.is_none()) {
            self.note(entry.place, "the entry is empty and would select everything")
                .set_hint("give it a protocol, an address or a port, or remove it");
            return;
        }
        let filled = template.sample(&sample);
        let alone = filled.map(|entry| Filter { entries: vec![entry], expression: None });
        self.check_filter(entry.place, alone);
    }

    fn protocol(&mut self, text: Option<&Placed<String>>) -> Option<Protocol> {
        let text = text?;
        Protocol::parse("protocol", &text.value).unwrap_or_else(|error| {
            self.note(text.place, error);
            None
        })
    }

    /// A field: a list of alternatives, or a placeholder of a type that fits.
    fn field<T>(
        &mut self,
        text: Option<&Placed<String>>,
        types: &[Type],
        parse: Parser<'_, Vec<T>>,
    ) -> Field<T> {
        let Some(text) = text else {
            return Field::default();
        };
        match Placeholder::parse(&text.value, types) {
            Ok(Some(placeholder)) => return Field::Open(placeholder),
            Ok(None) => match parse(&text.value) {
                Ok(alternatives) => return Field::Given(alternatives),
                Err(message) => drop(self.note(text.place, message)),
            },
            Err(error) => drop(self.note(text.place, error)),
        }
        Field::default()
    }

    /// An expression; compiled alone, so that it can only narrow what the entries select.
    fn expression(&mut self, text: &Placed<String>) -> String {
        if text.value.contains("${") {
            self.note(text.place, "a placeholder cannot stand in `bpf`")
                .set_hint("put it into a field of `filters`; both have to hold");
        } else {
            let expression = Some(text.value.clone());
            self.check_filter(text.place, Ok(Filter { entries: Vec::new(), expression }));
        }
        text.value.clone()
    }

    fn check_filter(&mut self, place: Place, filter: Result<Filter, String>) {
        if let Err(message) = filter.and_then(|filter| filter.check().map_err(|e| e.to_string())) {
            self.note(place, message);
        }
    }
}

fn sample(placeholder: &Placeholder) -> Result<Value, String> {
    Ok(placeholder.sample())
}
