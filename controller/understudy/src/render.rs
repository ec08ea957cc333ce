//! Text for people: cleaned of what could steer a terminal, aligned, with ages and times. It formats what it is given and asks nobody.

use comfy_table::{ContentArrangement, Table, presets};
use console::Style;
use serde_json::Value;
use std::time::{SystemTime, UNIX_EPOCH};

const MS_A_SECOND: u64 = 1000;
const MS_A_MINUTE: u64 = 60 * MS_A_SECOND;
const MS_AN_HOUR: u64 = 60 * MS_A_MINUTE;
const MS_A_DAY: u64 = 24 * MS_AN_HOUR;

/// True for what moves cursors, changes colours, rings bells or turns the direction of writing.
fn steers(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Text from outside as it may be printed: one line, and nothing that a terminal obeys.
pub fn clean(text: &str) -> String {
    text.trim_end().chars().map(|c| if c == '\n' || c == '\t' { ' ' } else { c }).filter(|c| !steers(*c)).collect()
}

/// Every string of a view, and every key, cleaned.
pub fn clean_value(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(clean(&text)),
        Value::Array(items) => Value::Array(items.into_iter().map(clean_value).collect()),
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(key, value)| (clean(&key), clean_value(value))).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

/// Rows under a header, in columns. `width` is the terminal's; without one nothing is wrapped.
pub fn table(header: &[&str], rows: Vec<Vec<String>>, width: Option<usize>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).force_no_tty().set_header(header.to_vec());
    if let Some(width) = width {
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(u16::try_from(width).unwrap_or(u16::MAX));
    }
    table.add_rows(rows);
    let last = header.len().saturating_sub(1);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if index == last { 0 } else { 2 }));
    }
    table.trim_fmt()
}

/// Milliseconds since 1970, now.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A length of time in the two largest units that matter: `3.2 s`, `4m 05s`, `2h 10m`, `3d 4h`.
pub fn length(ms: u64) -> String {
    match ms {
        0..MS_A_MINUTE => format!("{:.1} s", ms as f64 / MS_A_SECOND as f64),
        MS_A_MINUTE..MS_AN_HOUR => format!("{}m {:02}s", ms / MS_A_MINUTE, ms % MS_A_MINUTE / MS_A_SECOND),
        MS_AN_HOUR..MS_A_DAY => format!("{}h {:02}m", ms / MS_AN_HOUR, ms % MS_AN_HOUR / MS_A_MINUTE),
        _ => format!("{}d {}h", ms / MS_A_DAY, ms % MS_A_DAY / MS_AN_HOUR),
    }
}

/// How far one moment is from another, signed, in seconds: `+3.214s`.
pub fn offset(at: u64, from: u64) -> String {
    let (sign, ms) = if at >= from { ('+', at - from) } else { ('-', from - at) };
    format!("{sign}{}.{:03}s", ms / MS_A_SECOND, ms % MS_A_SECOND)
}

/// A moment as UTC, to the second.
pub fn utc(ms: u64) -> String {
    let (days, rest) = (ms / MS_A_DAY, ms % MS_A_DAY);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (rest / MS_AN_HOUR, rest % MS_AN_HOUR / MS_A_MINUTE, rest % MS_A_MINUTE / MS_A_SECOND);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}Z")
}

/// Days since 1970 as year, month, day of the Gregorian calendar; years begin in March while it counts, so that leap days come last.
fn civil(days: u64) -> (u64, u64, u64) {
    const DAYS_BEFORE_1970: u64 = 719_468;
    const DAYS_IN_400_YEARS: u64 = 146_097;
    let shifted = days + DAYS_BEFORE_1970;
    let (era, of_era) = (shifted / DAYS_IN_400_YEARS, shifted % DAYS_IN_400_YEARS);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// `1 machine`, `2 machines`, `no machine`.
pub fn count(number: usize, one: &str) -> String {
    match number {
        0 => format!("no {one}"),
        1 => format!("1 {one}"),
        many => format!("{many} {one}s"),
    }
}

/// A number of journal entries.
pub fn entries(number: u64) -> String {
    if number == 1 { "1 entry".to_owned() } else { format!("{number} entries") }
}

/// A server together with its machine, as screens always show it.
pub fn on(server: &str, machine: Option<&str>) -> String {
    format!("{server} on {}", machine.unwrap_or("no machine"))
}

/// How lines look on the terminal at hand.
#[derive(Clone, Copy, Debug, Default)]
pub struct Look {
    /// Whether it shows colours.
    pub colour: bool,
    /// Its columns, if it is a terminal.
    pub width: Option<usize>,
}

impl Look {
    /// Of standard output: colours only on a terminal, and never where NO_COLOR stands.
    pub fn of_stdout() -> Look {
        let terminal = console::Term::stdout();
        let is_terminal = terminal.features().is_attended();
        let refused = std::env::var_os("NO_COLOR").is_some_and(|text| !text.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let width =
            is_terminal.then(|| terminal.size_checked().map_or(crate::limits::WIDTH, |(_, columns)| usize::from(columns)));
        Look { colour: is_terminal && !refused && !dumb, width }
    }

    /// Text in a style, where colours are shown.
    pub fn paint(&self, style: Style, text: &str) -> String {
        style.force_styling(self.colour).apply_to(text).to_string()
    }

    /// A state's word in the colour that it deserves.
    pub fn state(&self, word: &str, text: &str) -> String {
        let style = match word {
            "running" | "done" | "spare" | "trusted" | "healthy" => Style::new().green(),
            "failed" | "held" | "untrusted" | "unreachable" | "quarantine" => Style::new().red(),
            "suspect" | "unknown" | "never-placed" | "not-enrolled" => Style::new().yellow(),
            _ => Style::new(),
        };
        self.paint(style, text)
    }

    /// A line cut to the terminal's width.
    pub fn fit(&self, line: &str) -> String {
        match self.width {
            Some(width) => console::truncate_str(line, width, "...").into_owned(),
            None => line.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_steers_the_terminal() {
        assert_eq!(clean("m1\u{1b}[31m\u{7}\u{9b}2J\u{202e}\n"), "m1[31m2J");
        let value = clean_value(serde_json::json!({"a\u{1b}": ["b\r\nc", 1, null]}));
        assert_eq!(value, serde_json::json!({"a": ["b c", 1, null]}));
    }

    #[test]
    fn times_read_well() {
        let met = [0, 3214, 59_999, 65_000, 7_800_000, 273_600_000].map(length);
        assert_eq!(met, ["0.0 s", "3.2 s", "60.0 s", "1m 05s", "2h 10m", "3d 4h"]);
        assert_eq!([offset(5214, 2000), offset(2000, 2001)], ["+3.214s", "-0.001s"]);
    }

    #[test]
    fn the_calendar_is_right_around_leap_days() {
        let met = [0, 951_782_399_000, 951_782_400_000, 1_709_164_800_000, 1_735_689_599_000, 4_107_542_400_000].map(utc);
        let meant = [
            "1970-01-01 00:00:00Z",
            "2000-02-28 23:59:59Z",
            "2000-02-29 00:00:00Z",
            "2024-02-29 00:00:00Z",
            "2024-12-31 23:59:59Z",
            "2100-03-01 00:00:00Z",
        ];
        assert_eq!(met, meant);
    }

    #[test]
    fn a_table_has_no_trailing_blanks_and_wraps_only_on_a_terminal() {
        let row = vec!["web1 on m1".to_owned(), "running ".repeat(30)];
        let wide = table(&["SERVER", "STATE"], vec![row.clone()], None);
        assert_eq!(wide.lines().count(), 2);
        assert!(wide.lines().all(|line| line == line.trim_end()));
        assert!(table(&["SERVER", "STATE"], vec![row], Some(60)).lines().all(|line| line.len() <= 60));
    }
}
