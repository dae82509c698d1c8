//! What a load measured: names and values in the order in which they are printed.

use std::time::Duration;

use rtm_load::Latency;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

/// Figures by their names. A name ends with its unit, if it has one: `_ms`, `_bytes` or `_per_second`.
#[derive(Debug, Default)]
pub(super) struct Figures(Vec<(String, Value)>);

impl Figures {
    pub(super) fn add(&mut self, name: impl Into<String>, value: Value) {
        self.0.push((name.into(), value));
    }

    /// Adds those of another, behind its own.
    pub(super) fn extend(&mut self, more: Self) {
        self.0.extend(more.0);
    }

    /// How many there were in how much time.
    pub(super) fn add_rate(&mut self, what: &str, count: u64, took: Duration) {
        let seconds = took.as_secs_f64();
        self.add(what, json!(count));
        self.add("seconds", json!((seconds * 1e3).round() / 1e3));
        self.add(format!("{what}_per_second"), json!((count as f64 / seconds).round()));
    }

    pub(super) fn add_percentiles(&mut self, what: &str, latency: &Latency) {
        let ms = |took: Duration| json!((took.as_secs_f64() * 1e6).round() / 1e3);
        for (name, percent) in [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p999", 99.9)] {
            self.add(format!("{what}_{name}_ms"), ms(latency.percentile(percent)));
        }
        self.add(format!("{what}_max_ms"), ms(latency.max()));
    }

    /// A table with a row for each.
    pub(super) fn table(&self) -> String {
        let rows: Vec<_> = self.0.iter().map(|(name, value)| row(name, value)).collect();
        let names = rows.iter().map(|(name, ..)| name.len()).max().unwrap_or_default();
        let values = rows.iter().map(|(_, value, _)| value.len()).max().unwrap_or_default();
        let lines = rows.iter().map(|(name, value, unit)| format!("{name:<names$}  {value:>values$} {unit}"));
        lines.map(|line| line.trim_end().to_owned() + "\n").collect()
    }
}

impl Serialize for Figures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// A figure as people read it: name, value, unit.
fn row(name: &str, value: &Value) -> (String, String, &'static str) {
    let units = [("_ms", "ms"), ("_bytes", "B"), ("_per_second", "/s")];
    let (name, unit) = units
        .into_iter()
        .find_map(|(suffix, unit)| Some((name.strip_suffix(suffix)?, unit)))
        .unwrap_or((name, if name == "seconds" { "s" } else { "" }));
    let name = if name == "seconds" { "time".to_owned() } else { name.replace("p999", "p99.9").replace('_', " ") };
    let value = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if unit == "ms" || unit == "s" => format!("{:.3}", number.as_f64().unwrap_or_default()),
        Value::Number(number) => grouped(number.as_f64().unwrap_or_default()),
        value => value.to_string(),
    };
    (name, value, unit)
}

/// A whole number with a comma between each three digits.
pub(super) fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_row_for_each_figure_in_order_with_its_unit() {
        let mut figures = Figures::default();
        figures.add("wire", json!("native"));
        figures.add("size_bytes", json!(64));
        figures.add_rate("messages", 1_234_567, Duration::from_millis(1500));
        figures.add("receipt_p999_ms", json!(1.5));
        let table = [
            "wire              native",
            "size                  64 B",
            "messages       1,234,567",
            "time               1.500 s",
            "messages         823,045 /s",
            "receipt p99.9      1.500 ms",
        ];
        assert_eq!(figures.table().lines().collect::<Vec<_>>(), table);
    }

    #[test]
    fn large_numbers_have_groups_of_digits() {
        let numbers = [0.0, 999.0, 1000.0, 1_234_567.0].map(grouped);
        assert_eq!(numbers, ["0", "999", "1,000", "1,234,567"]);
    }
}
