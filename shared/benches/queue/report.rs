//! The table.

use std::{fmt::Write as _, fs, io::Write as _, path::Path};

use anyhow::{Context, Result};
use serde_json::json;

/// What is to be reached.
#[derive(Clone, Copy)]
pub enum Goal {
    None,
    AtLeast(f64),
    AtMost(f64),
    /// Of the raw figure.
    RatioAtLeast(f64),
}

pub struct Row {
    pub what: String,
    pub unit: &'static str,
    pub ours: f64,
    /// What bare Redis commands reach in the same run.
    pub raw: Option<f64>,
    pub goal: Goal,
}

pub struct Report {
    rows: Vec<Row>,
}

impl Row {
    pub fn new(what: impl Into<String>, unit: &'static str, ours: f64) -> Self {
        Self { what: what.into(), unit, ours, raw: None, goal: Goal::None }
    }

    pub fn raw(mut self, raw: f64) -> Self {
        self.raw = Some(raw);
        self
    }

    pub fn goal(mut self, goal: Goal) -> Self {
        self.goal = goal;
        self
    }

    fn ratio(&self) -> Option<f64> {
        self.raw.map(|raw| self.ours / raw)
    }

    fn reached(&self) -> Option<bool> {
        match self.goal {
            Goal::None => None,
            Goal::AtLeast(least) => Some(self.ours >= least),
            Goal::AtMost(most) => Some(self.ours <= most),
            Goal::RatioAtLeast(least) => self.ratio().map(|ratio| ratio >= least),
        }
    }

    fn goal_text(&self) -> String {
        let (text, limit) = match self.goal {
            Goal::None => return String::new(),
            Goal::AtLeast(limit) => (">= ", figure(limit)),
            Goal::AtMost(limit) => ("<= ", figure(limit)),
            Goal::RatioAtLeast(limit) => (">= ", format!("{limit} of raw")),
        };
        let verdict = if self.reached() == Some(true) { "" } else { ", missed" };
        format!("{text}{limit}{verdict}")
    }
}

impl Report {
    pub fn new() -> Self {
        Self { rows: Vec::new() }
    }

    pub fn add(&mut self, row: Row) {
        eprintln!("  {}: {} {}", row.what, figure(row.ours), row.unit);
        self.rows.push(row);
    }

    /// A Markdown table, as docs/benchmarks.md has it.
    pub fn print(&self) -> Result<()> {
        let mut text = "| What | Ours | Raw Redis | Ratio | Goal |\n|---|---|---|---|---|\n".to_owned();
        for row in &self.rows {
            let raw = row.raw.map(figure).unwrap_or_default();
            let ratio = row.ratio().map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
            let (what, unit, ours, goal) = (&row.what, row.unit, figure(row.ours), row.goal_text());
            writeln!(text, "| {what} | {ours} {unit} | {raw} | {ratio} | {goal} |")?;
        }
        Ok(std::io::stdout().write_all(text.as_bytes())?)
    }

    pub fn write_json(&self, path: &Path) -> Result<()> {
        let rows = self.rows.iter().map(|row| {
            json!({
                "what": row.what, "unit": row.unit, "ours": row.ours, "raw": row.raw,
                "ratio": row.ratio(), "reached": row.reached(),
            })
        });
        // Benchmarks run in the crate's directory; its target directory is the workspace's.
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
        let text = serde_json::to_string_pretty(&rows.collect::<Vec<_>>())?;
        fs::write(&path, text).with_context(|| path.display().to_string())
    }
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The value that `share` of all values do not exceed.
pub fn percentile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = ((values.len() as f64 * share).ceil() as usize).saturating_sub(1);
    values.get(at).copied().unwrap_or(f64::NAN)
}

fn figure(value: f64) -> String {
    match value {
        v if v >= 1_000.0 => {
            let digits = format!("{v:.0}");
            let places = digits.len();
            let mut text = String::new();
            for (place, digit) in digits.chars().enumerate() {
                if place > 0 && (places - place).is_multiple_of(3) {
                    text.push(',');
                }
                text.push(digit);
            }
            text
        }
        v if v >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}
