//! The plan as text: by phase, each change with its diff, then the units, then the room that it takes.
//!
//! What is foreign in it is written out here, since its colours go to the terminal as they are. Marks say what colour only repeats: `+` comes, `-` goes, `~` changes, `!` is refused, `=` stays.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style as Ansi};
use chom_format::shown;
use chom_format::step::Phase;

use super::{Plan, Room};
use crate::step::{Change, Decision, Planned, Undo};

const MARGIN: &str = "      ";

/// How much is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Style {
    /// With colour, which never carries meaning.
    pub color: bool,
    /// Also the steps that change nothing, and diffs of any length.
    pub all: bool,
}

// A new file is as long as it is; a person wants to see what kind of file it is.
const MOST_LINES: usize = 60;

pub(super) fn plan(plan: &Plan, style: Style) -> String {
    let mut text = String::new();
    for phase in [Phase::Prepare, Phase::Install, Phase::Activate, Phase::Expose] {
        let steps: Vec<&Planned> =
            plan.steps.iter().filter(|step| step.phase == phase && is_shown(&step.decision, style)).collect();
        if steps.is_empty() {
            continue;
        }
        let _ = writeln!(text, "{}", paint(style, Ansi::new().bold(), name(phase)));
        steps.iter().for_each(|planned| step(&mut text, planned, style));
    }
    units(&mut text, plan, style);
    rooms(&mut text, plan);
    text.push_str(&totals(plan));
    text
}

fn is_shown(decision: &Decision, style: Style) -> bool {
    style.all || !matches!(decision, Decision::Keep { .. })
}

fn name(phase: Phase) -> &'static str {
    match phase {
        Phase::Prepare => "prepare",
        Phase::Install => "install",
        Phase::Activate => "activate",
        Phase::Expose => "expose",
    }
}

// Writing to a String cannot fail.
fn step(text: &mut String, planned: &Planned, style: Style) {
    match &planned.decision {
        Decision::Keep { why } => {
            let _ = writeln!(text, "  = {}: {}", planned.id, shown(why));
        }
        Decision::Refuse { conflict, remedy } => {
            let mark = paint(style, AnsiColor::Red.on_default().bold(), "! refused");
            let _ = writeln!(
                text,
                "  {mark} {}: {}\n{MARGIN}hint: {}",
                planned.id,
                shown(conflict),
                shown(remedy)
            );
        }
        Decision::Change(change) => {
            let verb = paint(style, color(change.verb), &format!("{} {}", mark(change.verb), change.verb));
            let _ = writeln!(text, "  {verb} {}{}", shown(&change.summary), undo(change.undo));
            lines(text, change, style);
        }
    }
}

fn lines(text: &mut String, change: &Change, style: Style) {
    let most = if style.all { change.diff.len() } else { MOST_LINES };
    for line in change.diff.iter().take(most) {
        let paint_as = match line.chars().next() {
            Some('+') => AnsiColor::Green.on_default(),
            Some('-') => AnsiColor::Red.on_default(),
            Some('@') => AnsiColor::Cyan.on_default(),
            _ => Ansi::new(),
        };
        let _ = writeln!(text, "{MARGIN}{}", paint(style, paint_as, &shown(line)));
    }
    if change.diff.len() > most {
        let _ = writeln!(text, "{MARGIN}... and {} lines more", change.diff.len() - most);
    }
}

fn mark(verb: &str) -> &'static str {
    match verb {
        "create" | "install" | "open" | "start" | "enable" => "+",
        "remove" | "stop" | "disable" => "-",
        _ => "~",
    }
}

fn color(verb: &str) -> Ansi {
    match mark(verb) {
        "+" => AnsiColor::Green.on_default(),
        "-" => AnsiColor::Red.on_default(),
        _ => AnsiColor::Yellow.on_default(),
    }
}

fn undo(undo: Undo) -> &'static str {
    match undo {
        Undo::Exactly => "",
        Undo::Copy => " (undone from a copy)",
        Undo::Never => " (CANNOT BE UNDONE)",
    }
}

fn paint(style: Style, ansi: Ansi, text: &str) -> String {
    if style.color { format!("{ansi}{text}{ansi:#}") } else { text.to_owned() }
}

fn units(text: &mut String, plan: &Plan, style: Style) {
    if plan.units.is_empty() {
        return;
    }
    let _ = writeln!(text, "{}", paint(style, Ansi::new().bold(), "units"));
    let width = plan.units.iter().map(|fate| fate.unit.as_str().len()).max().unwrap_or(0);
    for fate in &plan.units {
        let _ = writeln!(text, "  {:width$}  {}", fate.unit, fate.fate.words());
    }
}

fn rooms(text: &mut String, plan: &Plan) {
    for room in &plan.room {
        let _ = writeln!(text, "{}", shown(&line(room)));
    }
}

fn line(room: &Room) -> String {
    let Room { path, writes, rollback, free_bytes, read_only, .. } = room;
    let way_back =
        if *rollback == 0 { String::new() } else { format!(", and {} for the way back", size(*rollback)) };
    let free =
        if *read_only { "it is read-only".to_owned() } else { format!("{} are free", size(*free_bytes)) };
    format!("writes {} to the file system of {path}{way_back}; {free}", size(*writes))
}

fn totals(plan: &Plan) -> String {
    let count =
        |wanted: fn(&Decision) -> bool| plan.steps.iter().filter(|step| wanted(&step.decision)).count();
    let changes = count(|decision| matches!(decision, Decision::Change(_)));
    let refused = count(|decision| matches!(decision, Decision::Refuse { .. }));
    let kept = plan.steps.len() - changes - refused;
    let mut text = format!("{changes} to change, {kept} as they should be");
    if refused > 0 {
        let _ = write!(text, ", {refused} refused");
    }
    text.push('\n');
    text
}

fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["B", "KiB", "MiB", "GiB"];
    let mut value = bytes;
    let mut rest = 0;
    let mut unit = 0;
    while value >= 1024 && unit + 1 < UNITS.len() {
        rest = value % 1024 * 10 / 1024;
        value /= 1024;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or_default();
    if unit == 0 { format!("{value} {name}") } else { format!("{value}.{rest} {name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_down_to_a_tenth() {
        for (bytes, shown) in
            [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 30, "5.0 GiB"), (3 << 40, "3072.0 GiB")]
        {
            assert_eq!(size(bytes), shown);
        }
    }
}
