//! `hindsight rules explain`: why does a rule fire on an event, or not?

use std::path::PathBuf;

use clap::Args;

use crate::cli::client::{Client, Reach};
use crate::cli::event::{Format, read};
use crate::cli::output::{Rows, print, second, section};
use crate::cli::{ConfigFile, Error, ask};
use crate::clock;
use crate::config::Config;
use crate::model::Status;
use crate::worker::{
    BY_HAND, EventView, ExplainAnswer, ExplainRequest, ExplainedEvent, ExplainedRule, explain,
    format_named,
};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The file that holds the payload; `-` reads standard input.
    #[arg(long, value_name = "FILE|-")]
    event: PathBuf,
    /// How the payload is written. Default: as the configuration says of the source, else by a look
    /// at it.
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
    /// The source that the payload is taken to come through.
    #[arg(long, value_name = "NAME", default_value = BY_HAND)]
    source: String,
    /// Only this rule, with every condition.
    #[arg(long, value_name = "NAME")]
    rule: Option<String>,
    #[command(flatten)]
    file: ConfigFile,
    /// Ask the running worker: its rules, and what its state makes of the event now. Without this, the
    /// configuration alone is asked.
    #[arg(long, conflicts_with = "config")]
    live: bool,
    #[command(flatten)]
    reach: Reach,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Error> {
    let body = read(&arguments.event)?;
    let answer =
        if arguments.live { ask_worker(arguments, body) } else { ask_rules(arguments, body) }?;
    print(arguments.reach.output, &answer, |answer| table(answer, arguments.rule.is_some()))
}

fn ask_rules(arguments: &Arguments, body: Vec<u8>) -> Result<ExplainAnswer, Error> {
    let config = Config::load(arguments.file.config.as_deref()).map_err(Error::Configuration)?;
    let format = arguments.format.map(|format| format_named(format.word()));
    let request = ExplainRequest {
        source: arguments.source.clone(),
        format: format.transpose()?,
        body,
        rule: arguments.rule.clone(),
    };
    Ok(explain(&config.rules, &config.sources, &request, clock::wall_time())?)
}

fn ask_worker(arguments: &Arguments, body: Vec<u8>) -> Result<ExplainAnswer, Error> {
    let mut query = vec![("source", arguments.source.as_str())];
    query.extend(arguments.format.map(|format| ("format", format.word())));
    query.extend(arguments.rule.as_deref().map(|rule| ("rule", rule)));
    let mut answer = None;
    ask(async {
        answer =
            Some(Client::new(&arguments.reach)?.post(&["rules", "explain"], &query, body).await?);
        Ok(())
    })?;
    Ok(answer.expect("a conversation that went well has its answer"))
}

fn table(answer: &ExplainAnswer, with_steps: bool) -> String {
    if answer.events.is_empty() {
        return "The payload holds no event.".to_owned();
    }
    let events: Vec<String> = answer.events.iter().map(|one| event(one, with_steps)).collect();
    events.join("\n\n")
}

fn event(explained: &ExplainedEvent, with_steps: bool) -> String {
    let mut parts = vec![section("Event", &about(&explained.event))];
    if let Some(expired) = &explained.expired {
        parts.push(format!("No rule acts on it: {expired}."));
    }
    parts.push(section("Rules", &overview(&explained.rules)));
    if with_steps {
        parts.extend(explained.rules.iter().map(steps));
    }
    parts.join("\n\n")
}

fn about(event: &EventView) -> String {
    let mut rows = Rows::plain();
    rows.row(["name", &event.name]);
    rows.row(["source", &event.source]);
    rows.row(["status", status(event.status)]);
    rows.row(["severity", event.severity.as_deref().unwrap_or_default()]);
    rows.row(["value", &event.value.map(|value| value.to_string()).unwrap_or_default()]);
    rows.row(["began", &event.starts_at.map(second).unwrap_or_default()]);
    for (label, value) in &event.labels {
        rows.row([&format!("label {label}"), value]);
    }
    rows.finish()
}

const fn status(status: Status) -> &'static str {
    match status {
        Status::Firing => "firing",
        Status::Resolved => "resolved",
    }
}

fn overview(rules: &[ExplainedRule]) -> String {
    if rules.is_empty() {
        return "no rules".to_owned();
    }
    let is_live = rules.iter().any(|rule| rule.now.is_some());
    let mut rows = if is_live {
        Rows::with_header(&["RULE", "VERDICT", "NOW", "WHY"])
    } else {
        Rows::with_header(&["RULE", "VERDICT", "WHY"])
    };
    for rule in rules {
        match &rule.now {
            Some(now) => {
                let why = if now.reason.is_empty() { &rule.reason } else { &now.reason };
                rows.row([&rule.rule, &rule.verdict, &now.decision, why]);
            }
            None if is_live => rows.row([&rule.rule, &rule.verdict, "", &rule.reason]),
            None => rows.row([&rule.rule, &rule.verdict, &rule.reason]),
        }
    }
    rows.finish()
}

fn steps(rule: &ExplainedRule) -> String {
    let mut rows = Rows::with_header(&["HOLDS", "CONDITION", "SEEN"]);
    for (number, step) in rule.steps.iter().enumerate() {
        let held = match step.held {
            Some(true) => "yes",
            Some(false) if rule.failed == Some(number) => "NO",
            Some(false) => "no",
            None => "",
        };
        rows.row([held, &step.condition, &step.saw]);
    }
    section(&format!("Conditions of {}", rule.rule), &rows.finish())
}
