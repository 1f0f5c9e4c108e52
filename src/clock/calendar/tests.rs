use std::collections::BTreeSet;

use chrono::{Datelike, Timelike};
use proptest::prelude::*;

use super::*;

const MINUTE: i64 = 60 * 1_000_000_000;

fn at(text: &str) -> WallTime {
    text.parse().unwrap()
}

fn cron(text: &str) -> Cron {
    Cron::parse(text).unwrap()
}

/// The instants after `from`, one by one, as text to the minute (or the second, where it counts).
fn series(expression: &str, zone: &str, from: &str, count: usize) -> Vec<String> {
    let (cron, zone) = (cron(expression), Zone::parse(zone).unwrap());
    let follow = |time: &WallTime| cron.next_after(*time, &zone);
    std::iter::successors(follow(&at(from)), follow)
        .take(count)
        .map(|time| time.to_string().replace(":00.000000000Z", "Z").replace(".000000000Z", "Z"))
        .collect()
}

#[test]
fn a_night_job_happens_once_on_each_day_in_berlin() {
    assert_eq!(
        series("0 30 2 * * *", "Europe/Berlin", "2026-03-27T12:00:00Z", 4),
        ["2026-03-28T01:30Z", "2026-03-29T01:00Z", "2026-03-30T00:30Z", "2026-03-31T00:30Z"]
    );
    assert_eq!(
        series("0 30 2 * * *", "Europe/Berlin", "2026-10-23T12:00:00Z", 4),
        ["2026-10-24T00:30Z", "2026-10-25T00:30Z", "2026-10-26T01:30Z", "2026-10-27T01:30Z"]
    );
}

#[test]
fn several_that_fall_into_one_gap_happen_together_at_its_end() {
    assert_eq!(
        series("0 0,20,40 2,3 * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", 4),
        ["2026-03-29T01:00Z", "2026-03-29T01:20Z", "2026-03-29T01:40Z", "2026-03-30T00:00Z"]
    );
}

#[test]
fn every_hour_goes_on_as_time_does_in_berlin_and_new_york() {
    assert_eq!(
        series("0 30 * * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", 3),
        ["2026-03-29T00:30Z", "2026-03-29T01:30Z", "2026-03-29T02:30Z"]
    );
    assert_eq!(
        series("0 30 * * * *", "America/New_York", "2026-11-01T04:00:00Z", 4),
        ["2026-11-01T04:30Z", "2026-11-01T05:30Z", "2026-11-01T06:30Z", "2026-11-01T07:30Z"]
    );
    assert_eq!(
        series("0 0 * * * *", "America/New_York", "2026-03-08T05:30:00Z", 4),
        ["2026-03-08T06:00Z", "2026-03-08T07:00Z", "2026-03-08T08:00Z", "2026-03-08T09:00Z"]
    );
    assert_eq!(
        series("0 30 1 * * *", "America/New_York", "2026-10-31T00:00:00Z", 3),
        ["2026-10-31T05:30Z", "2026-11-01T05:30Z", "2026-11-02T06:30Z"]
    );
}

#[test]
fn half_an_hour_is_set_in_lord_howe() {
    assert_eq!(
        series("0 45 1 * * *", "Australia/Lord_Howe", "2026-04-03T15:00:00Z", 3),
        ["2026-04-04T14:45Z", "2026-04-05T15:15Z", "2026-04-06T15:15Z"]
    );
    assert_eq!(
        series("0 15,45 * * * *", "Australia/Lord_Howe", "2026-04-04T14:00:00Z", 5),
        [
            "2026-04-04T14:15Z",
            "2026-04-04T14:45Z",
            "2026-04-04T15:15Z",
            "2026-04-04T15:45Z",
            "2026-04-04T16:15Z"
        ]
    );
    assert_eq!(
        series("0 10 2 * * *", "Australia/Lord_Howe", "2026-10-02T12:00:00Z", 3),
        ["2026-10-02T15:40Z", "2026-10-03T15:30Z", "2026-10-04T15:10Z"]
    );
}

#[test]
fn a_midnight_that_is_not_there_comes_when_its_day_begins() {
    assert_eq!(
        series("0 0 0 * * *", "Africa/Cairo", "2026-04-22T12:00:00Z", 3),
        ["2026-04-22T22:00Z", "2026-04-23T22:00Z", "2026-04-24T21:00Z"]
    );
    assert_eq!(
        series("0 30 23 * * *", "Africa/Cairo", "2026-10-28T21:00:00Z", 3),
        ["2026-10-29T20:30Z", "2026-10-30T21:30Z", "2026-10-31T21:30Z"]
    );
    assert_eq!(
        series("0 0 0 4 11 *", "America/Sao_Paulo", "2018-01-01T00:00:00Z", 2),
        ["2018-11-04T03:00Z", "2019-11-04T03:00Z"]
    );
}

#[test]
fn a_day_that_was_left_out_in_apia_comes_at_its_end() {
    assert_eq!(
        series("0 0 12 * * *", "Pacific/Apia", "2011-12-29T00:00:00Z", 3),
        ["2011-12-29T22:00Z", "2011-12-30T10:00Z", "2011-12-30T22:00Z"]
    );
    assert_eq!(
        series("0 0 12 30 12 *", "Pacific/Apia", "2011-01-01T00:00:00Z", 1),
        ["2011-12-30T10:00Z"]
    );
}

#[test]
fn zones_that_are_never_set_are_only_shifted() {
    assert_eq!(
        series("0 0 6 * * Mon", "Asia/Kathmandu", "2026-03-25T00:00:00Z", 2),
        ["2026-03-30T00:15Z", "2026-04-06T00:15Z"]
    );
    assert_eq!(
        series("30 59 23 31 12 *", "UTC", "2026-01-01T00:00:00Z", 2),
        ["2026-12-31T23:59:30Z", "2027-12-31T23:59:30Z"]
    );
}

#[test]
fn the_next_is_strictly_after_also_within_a_second() {
    let (cron, utc) = (cron("* * * * * *"), Zone::UTC);
    for (from, next) in [
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"),
        ("2026-01-01T00:00:00.000000001Z", "2026-01-01T00:00:01Z"),
        ("2026-01-01T00:00:00.999999999Z", "2026-01-01T00:00:01Z"),
    ] {
        assert_eq!(cron.next_after(at(from), &utc), Some(at(next)));
    }
}

#[test]
fn an_end_is_an_end() {
    let cron = cron("0 0 0 1 1 * 2026");
    assert_eq!(
        cron.next_after(at("2025-06-01T00:00:00Z"), &Zone::UTC),
        Some(at("2026-01-01T00:00:00Z"))
    );
    assert_eq!(cron.next_after(at("2026-01-01T00:00:00Z"), &Zone::UTC), None);
    assert_eq!(self::cron("@yearly").next_after(at("2100-06-01T00:00:00Z"), &Zone::UTC), None);
    assert_eq!(self::cron("@daily").next_after(at("2200-01-01T00:00:00Z"), &Zone::UTC), None);
    let error = Cron::parse("0 0 0 30 2 *").unwrap_err();
    assert_eq!(error, "'0 0 0 30 2 *' never comes: no month has such a day");
}

#[test]
fn leap_days_come_when_they_do() {
    assert_eq!(
        series("0 0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", 2),
        ["2028-02-29T00:00Z", "2032-02-29T00:00Z"]
    );
}

#[test]
fn office_hours_are_those_of_the_zone() {
    let (office, berlin) = (cron("* * 8-18 * * Mon-Fri"), Zone::parse("Europe/Berlin").unwrap());
    for (time, covered) in [
        ("2026-03-27T06:59:59.999Z", false),
        ("2026-03-27T07:00:00Z", true),
        ("2026-03-27T17:59:59.999Z", true),
        ("2026-03-27T18:00:00Z", false),
        ("2026-03-28T12:00:00Z", false),
        ("2026-03-30T06:00:00Z", true),
        ("2026-03-30T17:00:00Z", false),
    ] {
        assert_eq!(office.covers(at(time), &berlin), covered, "{time}");
    }
    let night = cron("* 30-59 2 * * *");
    assert!(night.covers(at("2026-10-25T00:30:00Z"), &berlin), "the first pass");
    assert!(night.covers(at("2026-10-25T01:30:00Z"), &berlin), "the second pass");
}

#[test]
fn what_is_accepted_is_understood() {
    for text in [
        "@daily",
        "0 0 0 ? * MON,Wednesday-Fri/2 2026-2030/2",
        " 0  0\t0 1,15 Jan-March * ",
        "0 5/15 * * * *",
    ] {
        assert!(Cron::parse(text).is_ok(), "{text}");
    }
    assert_eq!(cron(" 0  0\t0 * * * ").to_string(), "0 0 0 * * *");
    assert_eq!(cron("0 0 0 * * *"), cron("0 0  0 * * *"));
}

/// Zones with days on which their clocks were set, one of each kind.
const CHANGES: [(&str, &str); 12] = [
    ("Europe/Berlin", "2026-03-29T01:00:00Z"),
    ("Europe/Berlin", "2026-10-25T01:00:00Z"),
    ("America/New_York", "2026-03-08T07:00:00Z"),
    ("America/New_York", "2026-11-01T06:00:00Z"),
    ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
    ("Australia/Lord_Howe", "2026-10-03T15:30:00Z"),
    ("Africa/Cairo", "2026-04-23T22:00:00Z"),
    ("Africa/Cairo", "2026-10-29T21:00:00Z"),
    ("America/Sao_Paulo", "2018-11-04T03:00:00Z"),
    ("Pacific/Apia", "2011-12-30T10:00:00Z"),
    ("Asia/Kathmandu", "2026-01-01T00:00:00Z"),
    ("UTC", "2026-01-01T00:00:00Z"),
];

/// Fields of an expression as sets, for a model that knows no cron.
#[derive(Clone, Debug)]
struct Fields {
    minutes: BTreeSet<u32>,
    /// None: every hour.
    hours: Option<BTreeSet<u32>>,
    /// Weekdays from 1, Sunday. None: every day.
    weekdays: Option<BTreeSet<u32>>,
}

impl Fields {
    fn text(&self) -> String {
        let list =
            |set: &BTreeSet<u32>| set.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let or_all = |set: &Option<_>| set.as_ref().map_or_else(|| "*".to_owned(), list);
        format!("0 {} {} * * {}", list(&self.minutes), or_all(&self.hours), or_all(&self.weekdays))
    }

    fn hold(&self, wall: NaiveDateTime) -> bool {
        let within = |set: &Option<BTreeSet<u32>>, value| {
            set.as_ref().is_none_or(|set| set.contains(&value))
        };
        self.minutes.contains(&wall.minute())
            && within(&self.hours, wall.hour())
            && within(&self.weekdays, wall.weekday().number_from_sunday())
    }

    /// All instants in `minutes` whole minutes after `from`, found by looking at each of them.
    fn model(&self, zone: Zone, from: WallTime, minutes: i64) -> Vec<WallTime> {
        let mut found = Vec::new();
        // What was shown before, because the first pass of an overlap may lie before the window.
        let mut shown = BTreeSet::new();
        let mut last = None;
        for minute in -2 * 24 * 60..=minutes {
            let now = WallTime::from_nanos(from.as_nanos() + minute * MINUTE);
            let wall = zone.wall(now);
            let mut skipped =
                std::iter::successors(last, |wall| Some(*wall + TimeDelta::minutes(1)))
                    .skip(1)
                    .take_while(|skipped| *skipped < wall);
            let again = !shown.insert(wall) && self.hours.is_some();
            if ((self.hold(wall) && !again)
                || (self.hours.is_some() && skipped.any(|wall| self.hold(wall))))
                && minute > 0
            {
                found.push(now);
            }
            last = Some(wall);
        }
        found
    }
}

fn fields() -> impl Strategy<Value = Fields> {
    let set = |range: std::ops::Range<u32>, most| prop::collection::btree_set(range, 1..most);
    let hours = prop_oneof![set(0..24, 5), set(0..4, 4), Just(BTreeSet::from([23, 0]))];
    (set(0..60, 5), prop::option::weighted(0.6, hours), prop::option::weighted(0.3, set(1..8, 4)))
        .prop_map(|(minutes, hours, weekdays)| Fields { minutes, hours, weekdays })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_comes_when_a_model_that_looks_at_every_minute_says(
        fields in fields(),
        change in 0..CHANGES.len(),
        before in 0i64..36 * 60,
    ) {
        let (zone, changed) = CHANGES[change];
        let zone = Zone::parse(zone).unwrap();
        let cron = cron(&fields.text());
        let from = WallTime::from_nanos(at(changed).as_nanos() - before * MINUTE);
        let window = before + 36 * 60;
        let end = WallTime::from_nanos(from.as_nanos() + window * MINUTE);
        let follow = |time: &WallTime| cron.next_after(*time, &zone);
        let came: Vec<_> = std::iter::successors(follow(&from), follow)
            .take_while(|time| *time <= end)
            .collect();
        prop_assert_eq!(came, fields.model(zone, from, window), "{} from {}", fields.text(), from);
    }

    #[test]
    fn it_never_goes_back_and_leaves_nothing_out(
        fields in fields(),
        change in 0..CHANGES.len(),
        nanos in -3 * 86_400 * 1_000_000_000i64..3 * 86_400 * 1_000_000_000,
        step in 1i64..7_200_000_000_000,
    ) {
        let (zone, changed) = CHANGES[change];
        let zone = Zone::parse(zone).unwrap();
        let cron = cron(&fields.text());
        let earlier = WallTime::from_nanos(at(changed).as_nanos() + nanos);
        let later = WallTime::from_nanos(earlier.as_nanos() + step);
        let (first, second) = (cron.next_after(earlier, &zone).unwrap(), cron.next_after(later, &zone).unwrap());
        prop_assert!(first > earlier && first <= second);
        prop_assert!(first > later || second > first);
        prop_assert!(first <= later || second == first);
    }
}
