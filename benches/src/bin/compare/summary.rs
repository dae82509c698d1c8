//! What a set of values comes down to.

/// The median of some values, the lowest and the highest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Summary {
    /// Passes over what is no number, such as a ratio to zero. `None` if nothing is left.
    pub(crate) fn new(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let (&min, &max) = (values.first()?, values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 };
        Some(Self { median, min, max })
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { median, min, max } = self;
        let digits = match median.abs() {
            100.0.. => 0,
            10.0.. => 1,
            _ => 2,
        };
        write!(f, "{median:.digits$} ({min:.digits$}..{max:.digits$})")
    }
}

#[cfg(test)]
mod tests {
    use super::Summary;

    #[test]
    fn an_even_number_of_values_has_its_median_between_the_middle_two() {
        let summary = Summary::new([4.0, 1.0, 2.0, 8.0]);
        assert_eq!(summary, Some(Summary { median: 3.0, min: 1.0, max: 8.0 }));
    }

    #[test]
    fn what_is_no_number_does_not_count() {
        assert_eq!(Summary::new([f64::NAN, 2.0, f64::INFINITY]), Some(Summary { median: 2.0, min: 2.0, max: 2.0 }));
        assert_eq!(Summary::new([f64::NAN]), None);
    }

    #[test]
    fn a_summary_is_written_with_about_three_digits() {
        let written = |median| Summary { median, min: 0.5, max: 150.0 }.to_string();
        assert_eq!(written(1.234), "1.23 (0.50..150.00)");
        assert_eq!(written(12.34), "12.3 (0.5..150.0)");
        assert_eq!(written(123.4), "123 (0..150)");
    }
}
