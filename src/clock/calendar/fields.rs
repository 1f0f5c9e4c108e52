//! The text of a cron expression, checked field by field.
//!
//! The parser behind it says where it stopped; people need to hear what the field takes. What is
//! accepted here is what that parser takes, in one spelling: fields stand apart by white space and
//! hold none.

/// The most characters of an expression: every second and minute listed one by one fits twice.
const MAX_CHARS: usize = 1024;

/// What stands for a whole expression.
const SHORTHANDS: [&str; 5] = ["@hourly", "@daily", "@weekly", "@monthly", "@yearly"];

/// One field: its name, the numbers that it takes and the words that stand for some of them.
struct Field {
    name: &'static str,
    least: u32,
    most: u32,
    words: &'static [&'static [&'static str]],
    /// Whether `?` may stand for `*`.
    any: bool,
    /// What to write, for people.
    takes: &'static str,
}

const MONTHS: [&[&str]; 12] = [
    &["jan", "january"],
    &["feb", "february"],
    &["mar", "march"],
    &["apr", "april"],
    &["may"],
    &["jun", "june"],
    &["jul", "july"],
    &["aug", "august"],
    &["sep", "september"],
    &["oct", "october"],
    &["nov", "november"],
    &["dec", "december"],
];

const WEEKDAYS: [&[&str]; 7] = [
    &["sun", "sunday"],
    &["mon", "monday"],
    &["tue", "tues", "tuesday"],
    &["wed", "wednesday"],
    &["thu", "thurs", "thursday"],
    &["fri", "friday"],
    &["sat", "saturday"],
];

const FIELDS: [Field; 7] = [
    Field { name: "seconds", least: 0, most: 59, words: &[], any: false, takes: "0 to 59" },
    Field { name: "minutes", least: 0, most: 59, words: &[], any: false, takes: "0 to 59" },
    Field { name: "hours", least: 0, most: 23, words: &[], any: false, takes: "0 to 23" },
    Field {
        name: "days of the month",
        least: 1,
        most: 31,
        words: &[],
        any: true,
        takes: "1 to 31",
    },
    Field {
        name: "months",
        least: 1,
        most: 12,
        words: &MONTHS,
        any: false,
        takes: "1 to 12, or names as in Jan",
    },
    Field {
        name: "weekdays",
        least: 1,
        most: 7,
        words: &WEEKDAYS,
        any: true,
        takes: "1 (Sunday) to 7 (Saturday), or better names as in Mon-Fri",
    },
    Field { name: "years", least: 1970, most: 2100, words: &[], any: false, takes: "1970 to 2100" },
];

/// Whether the text is a cron expression, with one space between its fields if so.
///
/// # Errors
///
/// For people: which field, what stands there, and what may.
pub(super) fn check(text: &str) -> Result<String, String> {
    if text.chars().count() > MAX_CHARS {
        return Err(format!("a cron expression has at most {MAX_CHARS} characters"));
    }
    let fields: Vec<&str> = text.split_whitespace().collect();
    if let [word] = fields.as_slice()
        && word.starts_with('@')
    {
        let known = SHORTHANDS.contains(word);
        return known
            .then(|| (*word).to_owned())
            .ok_or_else(|| format!("'{word}' is not known; known are {}", SHORTHANDS.join(", ")));
    }
    match fields.len() {
        6 | 7 => {}
        5 => {
            return Err(format!(
                "'{text}' has 5 fields, and a cron expression 6 or 7: seconds come first, as in \
                 '0 {}'",
                fields.join(" ")
            ));
        }
        count => {
            return Err(format!(
                "'{text}' has {count} field{}, and a cron expression 6 or 7: seconds, minutes, \
                 hours, days of the month, months, weekdays and, if wanted, years",
                if count == 1 { "" } else { "s" }
            ));
        }
    }
    for (field, text) in FIELDS.iter().zip(&fields) {
        for item in text.split(',') {
            field.check(item).map_err(|problem| format!("{}: {problem}", field.name))?;
        }
    }
    Ok(fields.join(" "))
}

impl Field {
    /// One item of the field's list.
    fn check(&self, item: &str) -> Result<(), String> {
        if item.is_empty() {
            return Err("an item of the list is missing".to_owned());
        }
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (item, None),
        };
        self.check_range(range, item)?;
        let Some(step) = step else { return Ok(()) };
        let counts = step.parse().is_ok_and(|step: u32| (1..=self.most).contains(&step));
        if !counts || !step.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(format!("the step of '{item}' is a number from 1 to {}", self.most));
        }
        if range.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            return Err(format!("'{item}': a step follows `*`, a number or a range"));
        }
        Ok(())
    }

    fn check_range(&self, range: &str, item: &str) -> Result<(), String> {
        if range == "*" || (range == "?" && self.any) {
            return Ok(());
        }
        let Some((first, last)) = range.split_once('-') else {
            return self.value(range).map(drop);
        };
        if first.is_empty() || last.is_empty() {
            return Err(format!("'{item}': a range has two ends"));
        }
        let (from, to) = (self.value(first)?, self.value(last)?);
        if first.as_bytes().first().is_some_and(u8::is_ascii_digit)
            != last.as_bytes().first().is_some_and(u8::is_ascii_digit)
        {
            return Err(format!("'{item}': a range has two numbers or two names"));
        }
        if from <= to {
            return Ok(());
        }
        let (most, least) = (self.text(self.most, first), self.text(self.least, last));
        let head = if from == self.most { most } else { format!("{first}-{most}") };
        let tail = if to == self.least { least } else { format!("{least}-{last}") };
        Err(format!("the range '{item}' goes backwards; write '{head},{tail}'"))
    }

    /// The number that a word of the field stands for.
    fn value(&self, word: &str) -> Result<u32, String> {
        let not_known = || format!("'{word}' is not known; {} are {}", self.name, self.takes);
        if word.starts_with(|first: char| first.is_ascii_digit()) {
            let value: u32 = word.parse().map_err(|_unhelpful| not_known())?;
            return (self.least..=self.most)
                .contains(&value)
                .then_some(value)
                .ok_or_else(not_known);
        }
        let lower = word.to_ascii_lowercase();
        let numbered = (self.least..).zip(self.words);
        numbered
            .filter(|(_, words)| words.contains(&lower.as_str()))
            .map(|(value, _)| value)
            .next()
            .ok_or_else(not_known)
    }

    /// A number as the user writes them: as a name where `like` is one.
    fn text(&self, value: u32, like: &str) -> String {
        let named = !like.starts_with(|first: char| first.is_ascii_digit());
        let words = (self.least..).zip(self.words).find(|(number, _)| *number == value);
        match words {
            Some((_, words)) if named => {
                let (head, tail) = words[0].split_at(1);
                format!("{}{tail}", head.to_ascii_uppercase())
            }
            _ => value.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_with_what_is_right() {
        for (text, says) in [
            ("*/5 * * * *", "seconds come first, as in '0 */5 * * * *'"),
            ("", "has 0 fields, and a cron expression 6 or 7"),
            ("0 0 * * * * * *", "has 8 fields"),
            ("0 0 0 * * 0", "weekdays: '0' is not known; weekdays are 1 (Sunday) to 7 (Saturday)"),
            ("0 0 0 * * 8", "weekdays: '8' is not known"),
            ("0 0 0 L * *", "days of the month: 'L' is not known; days of the month are 1 to 31"),
            ("0 60 * * * *", "minutes: '60' is not known; minutes are 0 to 59"),
            ("0 0 24 * * *", "hours: '24' is not known; hours are 0 to 23"),
            ("0 0 22-6 * * *", "hours: the range '22-6' goes backwards; write '22-23,0-6'"),
            ("0 0 0 * * Sat-Mon", "write 'Sat,Sun-Mon'"),
            ("0 0 0 * 11-Feb *", "months: '11-Feb': a range has two numbers or two names"),
            ("0 0 0 * Foo *", "months: 'Foo' is not known; months are 1 to 12, or names as in Jan"),
            ("0 0/0 * * * *", "minutes: the step of '0/0' is a number from 1 to 59"),
            ("0 0 0 * * Mon/2", "a step follows `*`, a number or a range"),
            ("0, 0 * * * * *", "seconds: an item of the list is missing"),
            ("? 0 * * * *", "seconds: '?' is not known"),
            ("0 0 0 1 1 * 1969", "years: '1969' is not known; years are 1970 to 2100"),
            ("@fortnightly", "'@fortnightly' is not known; known are @hourly, @daily"),
            ("0 0 99999999999 * * *", "hours: '99999999999' is not known"),
            ("0 0 -1 * * *", "hours: '-1': a range has two ends"),
        ] {
            let error = check(text).unwrap_err();
            assert!(error.contains(says), "{text:?}: {error}");
        }
        assert!(check(&"1,".repeat(MAX_CHARS)).unwrap_err().contains("at most 1024 characters"));
    }
}
