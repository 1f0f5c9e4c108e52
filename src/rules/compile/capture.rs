//! What a rule captures.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::filter::{Addresses, Filter, Mac, Ports, Protocol};
use crate::model::{FileForm, FileFormat, Limits};
use crate::rules::compile::here::Here;
use crate::rules::filling::{Filling, Length, OnMissing};
use crate::rules::look_back::{LookBack, MAX_LOOK_BACK};
use crate::rules::placeholder::{Placeholder, Type, Value, is_interface};
use crate::rules::template::{EntryTemplate, Field, Name, Template};
use crate::rules::{Known, limits, raw};
use crate::units::Span;
use crate::yaml::{Place, Placed};

/// Reads a text of the rule as what it stands for.
type Parser<'p, T> = &'p dyn Fn(&str) -> Result<T, String>;

impl<'a> Here<'_, 'a> {
    pub(super) fn template(&mut self, rule: &Placed<raw::Rule>) -> Template {
        let capture = &rule.value.capture;
        let on_missing = self.compiler.settings.defaults.on_missing;
        let noted = self.compiler.problems.len();
        let limits = self.limits(&capture.limits, rule.whole);
        let template = Template {
            interfaces: capture.interfaces.as_ref().map(|names| self.interfaces(names)),
            look_back: self.look_back(capture.look_back.as_ref()),
            entries: capture.filters.iter().map(|entry| self.entry(entry)).collect(),
            expression: capture.bpf.as_ref().map(|bpf| self.expression(bpf)),
            duration: self.length(
                ("limits.duration", false),
                capture.limits.duration.as_ref().map(|given| (&given.value, given.place)),
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

    fn look_back(&mut self, given: Option<&Placed<raw::LookBack>>) -> LookBack {
        let inherited = self.compiler.settings.defaults.look_back;
        let Some(given) = given else {
            return LookBack::Given(Length::Given(inherited));
        };
        let (span, place) = match &given.value {
            raw::LookBack::From(raw::Before { by, .. }) => (Some(by.value), by.place),
            raw::LookBack::Length(raw::OpenSpan::Given(span)) => (Some(*span), given.place),
            raw::LookBack::Length(raw::OpenSpan::Open(_)) => (None, given.place),
        };
        let longest = Span(MAX_LOOK_BACK);
        if let Some(span) = span.filter(|span| *span > longest) {
            self.note(place, format!("`look_back` {span} is above {longest}, the longest"))
                .set_hint("lower it");
        }
        match &given.value {
            raw::LookBack::From(raw::Before { by, .. }) => LookBack::BeforeStart(by.value.0),
            raw::LookBack::Length(length) => {
                let key = ("look_back", true);
                LookBack::Given(self.length(key, Some((length, place)), inherited))
            }
        }
    }

    /// A duration: a value, or a placeholder of one. `key` says besides whether it may be zero.
    fn length(
        &mut self,
        (key, may_be_zero): (&'static str, bool),
        given: Option<(&raw::OpenSpan, Place)>,
        otherwise: Duration,
    ) -> Length {
        let Some((given, place)) = given else { return Length::Given(otherwise) };
        let text = match given {
            raw::OpenSpan::Given(span) => return Length::Given(span.0),
            raw::OpenSpan::Open(text) => text,
        };
        let most = self.compiler.known.duration;
        match Placeholder::parse(text, &[Type::Duration]) {
            Ok(Some(placeholder)) => {
                return Length::Open { key, placeholder, otherwise, most, may_be_zero };
            }
            Ok(None) => {}
            Err(error) => drop(self.note(place, error)),
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
        if raw.texts().next().is_none() {
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
