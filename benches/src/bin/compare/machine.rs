//! The machine that measures: figures say nothing without it.

use std::fs;

use serde::{Deserialize, Serialize};

/// What figures depend on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// The model that the processor says it is.
    pub(crate) processor: String,
    /// How many of them may be used.
    pub(crate) processors: usize,
    pub(crate) kernel: String,
}

impl Machine {
    /// The one that this program runs on.
    pub(crate) fn here() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            processor: processor(&cpuinfo).unwrap_or_else(|| UNKNOWN.to_owned()),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: kernel.split('-').next().filter(|it| !it.is_empty()).unwrap_or(UNKNOWN).trim().to_owned(),
        }
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { processor, processors, kernel } = self;
        write!(f, "{processors} × {processor}, Linux {kernel}")
    }
}

/// Virtual machines share names: family and model tell them apart.
fn processor(cpuinfo: &str) -> Option<String> {
    let field = |wanted: &str| {
        let fields = cpuinfo.lines().filter_map(|line| line.split_once(':'));
        fields
            .map(|(name, value)| (name.trim(), value.trim()))
            .find(|(name, _)| *name == wanted)
            .map(|(_, value)| value)
    };
    let name = field("model name")?;
    match (field("cpu family"), field("model")) {
        (Some(family), Some(model)) => Some(format!("{name} (family {family}, model {model})")),
        _ => Some(name.to_owned()),
    }
}

const UNKNOWN: &str = "unknown";

#[cfg(test)]
mod tests {
    use super::processor;

    #[test]
    fn a_processor_is_named_with_its_family_and_model() {
        let cpuinfo =
            "processor\t: 0\ncpu family\t: 6\nmodel\t\t: 167\nmodel name\t: Some Processor\n\nprocessor\t: 1\n";
        assert_eq!(processor(cpuinfo).as_deref(), Some("Some Processor (family 6, model 167)"));
        assert_eq!(processor("model name : Other"), Some("Other".to_owned()));
        assert_eq!(processor("Hardware : none of these"), None);
    }
}
