//! Times as systemd's timers take them: `daily`, `*-*-* 03:30`, `Mon..Fri 04:00 UTC`.

const WORDS: [&str; 10] = [
    "minutely",
    "hourly",
    "daily",
    "weekly",
    "monthly",
    "quarterly",
    "semiannually",
    "biannually",
    "yearly",
    "annually",
];
const DAYS: [&str; 14] = [
    "mon",
    "tue",
    "wed",
    "thu",
    "fri",
    "sat",
    "sun",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];

/// Whether it has the form of such times. systemd itself is asked too, where there is one.
pub(super) fn is_calendar(text: &str) -> bool {
    if WORDS.contains(&text) {
        return true;
    }
    let mut words: Vec<&str> = text.split(' ').collect();
    if words.len() > 1 && words.last().is_some_and(|zone| is_zone(zone)) {
        words.pop();
    }
    if words.len() > 1 && words.first().is_some_and(|days| is_days(days)) {
        words.remove(0);
    }
    match words.as_slice() {
        [one] => is_date(one) || is_time(one) || is_days(one),
        [date, time] => is_date(date) && is_time(time),
        _ => false,
    }
}

fn is_days(text: &str) -> bool {
    let day = |text: &str| DAYS.contains(&text.to_ascii_lowercase().as_str());
    text.split(',')
        .all(|part| part.split_once("..").map_or_else(|| day(part), |(from, to)| day(from) && day(to)))
}

fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split(['-', '~']).collect();
    match parts.as_slice() {
        [year, month, day] => is_numbers(year, 2199) && is_numbers(month, 12) && is_numbers(day, 31),
        [month, day] => is_numbers(month, 12) && is_numbers(day, 31),
        _ => false,
    }
}

fn is_time(text: &str) -> bool {
    let parts: Vec<&str> = text.split(':').collect();
    match parts.as_slice() {
        [hour, minute] => is_numbers(hour, 23) && is_numbers(minute, 59),
        [hour, minute, second] => is_numbers(hour, 23) && is_numbers(minute, 59) && is_numbers(second, 59),
        _ => false,
    }
}

// `*`, `7`, `1,15`, `8..18`, and each of them with `/2`.
fn is_numbers(text: &str, most: u32) -> bool {
    let number = |text: &str| text.len() <= 4 && text.parse::<u32>().is_ok_and(|number| number <= most);
    let range = |text: &str| {
        text.split_once("..").map_or_else(|| number(text), |(from, to)| number(from) && number(to))
    };
    let one = |text: &str| match text.split_once('/') {
        Some((start, step)) => (start == "*" || range(start)) && step != "0" && number(step),
        None => text == "*" || range(text),
    };
    !text.is_empty() && text.split(',').all(one)
}

fn is_zone(text: &str) -> bool {
    let fit = |c: char| c.is_ascii_alphanumeric() || "_+-/".contains(c);
    let area = text.split_once('/').is_some_and(|(area, city)| {
        area.starts_with(|c: char| c.is_ascii_uppercase())
            && city.starts_with(|c: char| c.is_ascii_uppercase())
    });
    text == "UTC" || (area && text.chars().all(fit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_what_is_none() {
        for good in [
            "daily",
            "*-*-* 03:30",
            "03:30",
            "*:0/15",
            "Mon..Fri 04:00",
            "Sat,Sun *-*-* 02:00:00",
            "*-*-01 05:00 UTC",
            "Mon *-*-* 03:30 Europe/Berlin",
            "*-*~1 00:00",
            "Sun",
            "2026-01-01",
            "8..18:00",
        ] {
            assert!(is_calendar(good), "{good}");
        }
        for wrong in [
            "",
            "at night",
            "3",
            "25:00",
            "*-13-01",
            "*-*-* 03:30 mars",
            "daily\nExec=x",
            "*-*-* 03:30%",
            "03:60",
            "Mon Tue 03:00",
            "*:0/0",
            " 03:30",
        ] {
            assert!(!is_calendar(wrong), "{wrong:?}");
        }
    }
}
