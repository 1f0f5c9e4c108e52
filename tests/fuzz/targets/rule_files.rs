//! A rule file of any bytes: it loads, or every problem is told, with a place inside the file where
//! it is not about the file as a whole.

#![no_main]

use fuzz::rule_files::load_text;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    // A carriage return alone ends a line of YAML too.
    let lines = u32::try_from(text.split(|byte| b"\r\n".contains(byte)).count()).unwrap();
    match load_text(text) {
        Ok(rules) => assert_eq!(rules.is_empty(), rules.describe().is_empty()),
        Err(problems) => {
            assert!(!problems.is_empty());
            for problem in problems {
                let told = problem.to_string();
                assert!(told.chars().all(|c| c == '\n' || !c.is_control()), "{told:?}");
                let whole = ["holds nothing", "is no UTF-8", "is larger"];
                let Some(place) = problem.place else {
                    assert!(whole.iter().any(|what| told.contains(what)), "{told}");
                    continue;
                };
                // What is missing at the end is told behind it.
                assert!((1..=lines + 1).contains(&place.line) && place.column >= 1, "{told}");
            }
        }
    }
});
