//! `hindsight reload`: the configuration and the rules, read again by the worker that runs.

use super::Error;
use super::client::{Client, Reach};
use super::output::print;
use crate::worker::ReloadAnswer;

pub(super) async fn run(reach: &Reach) -> Result<(), Error> {
    let answer: ReloadAnswer = Client::new(reach)?.post(&["reload"], &[], Vec::new()).await?;
    print(reach.output, &answer, text)
}

fn text(answer: &ReloadAnswer) -> String {
    let mut lines = vec![match &answer.changed[..] {
        [] => "Nothing has changed.".to_owned(),
        changed => format!("Changed: {}.", changed.join(", ")),
    }];
    lines.push(match answer.rules {
        1 => "1 rule is loaded.".to_owned(),
        rules => format!("{rules} rules are loaded."),
    });
    if !answer.needs_restart.is_empty() {
        let keys = answer.needs_restart.join(", ");
        lines.push(format!("These act after a restart only: {keys}."));
    }
    lines.join("\n")
}
