//! `understudy explain`: the page of a fault code, from the binary itself, so that it is there when nothing else is.

use crate::exit::{Exit, Failure};
use crate::forms::Output;
use crate::out;
use crate::render::Look;
use console::Style;
use serde_json::{Value, json};
use vocabulary::Fault;
use vocabulary::fault::Code;

include!(concat!(env!("OUT_DIR"), "/pages.rs"));

/// Shows the page of a code; without one, all codes with their titles.
pub fn explain(code: Option<&str>, output: Output, look: Look) -> Result<(), Failure> {
    let Some(text) = code else {
        return match output {
            Output::Json => out::json(&PAGES.iter().map(|(code, page)| about(*code, page)).collect::<Vec<_>>()),
            Output::Text => {
                let titles: Vec<&str> = PAGES.iter().map(|(_, page)| title(page)).collect();
                out::line(&titles.join("\n"))
            }
        };
    };
    let found = number(text).and_then(|number| PAGES.iter().find(|(code, _)| *code == number));
    let (code, page) = found.ok_or_else(|| unknown(text))?;
    match output {
        Output::Json => out::json(&about(*code, page)),
        Output::Text => out::line(&drawn(page, look)),
    }
}

fn unknown(text: &str) -> Failure {
    let message = format!("there is no fault code `{}`", crate::render::clean(text));
    Failure::new(Exit::NotFound, Fault::new(63, message, "`understudy explain` lists all codes"))
}

/// `F0401`, `f0401`, `0401` and `401` are one code.
fn number(text: &str) -> Option<u16> {
    text.trim().trim_start_matches(['F', 'f']).parse().ok()
}

fn title(page: &str) -> &str {
    page.lines().next().unwrap_or_default().trim_start_matches("# ")
}

fn about(code: u16, page: &str) -> Value {
    json!({"code": Code(code), "title": title(page), "page": page})
}

/// The page as it is; on a terminal its headings stand out.
fn drawn(page: &str, look: Look) -> String {
    let styled = |line: &str| match line.strip_prefix("# ").or_else(|| line.strip_prefix("## ")) {
        Some(heading) if look.colour => look.paint(Style::new().bold(), heading),
        _ => line.to_owned(),
    };
    let mut fenced = false;
    let mut lines = Vec::new();
    for line in page.lines() {
        fenced ^= line.starts_with("```");
        lines.push(if fenced { line.to_owned() } else { styled(line) });
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_names_its_code_and_says_what_to_do() {
        assert!(PAGES.len() > 40);
        for (code, page) in PAGES {
            assert!(page.starts_with(&format!("# {}: ", Code(*code))), "{}", Code(*code));
            assert!(page.contains("## What to do"), "{}", Code(*code));
        }
    }

    #[test]
    fn a_code_is_found_however_it_is_written() {
        assert_eq!(["F0401", "f0401", "0401", "401", "x"].map(number), [Some(401), Some(401), Some(401), Some(401), None]);
    }
}
