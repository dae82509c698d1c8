//! What a scrape is answered: families of samples, written in the formats of Prometheus.

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, prometheus_text, text},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};
use rtm_core::Histogram;

/// The labels of a sample.
pub(super) type Labels = Vec<(&'static str, String)>;

/// All families of one scrape.
#[derive(Debug, Default)]
pub(super) struct Page(Vec<Family>);

#[derive(Debug)]
struct Family {
    name: &'static str,
    help: &'static str,
    samples: Samples,
}

#[derive(Debug)]
enum Samples {
    Counters(Vec<(Labels, f64)>),
    Gauges(Vec<(Labels, f64)>),
    /// With the unit that their values are in.
    Histograms(Vec<(Labels, Histogram)>, f64),
    Durations(Vec<(Labels, Buckets, f64)>),
}

/// Upper bounds, the last of which is infinite, and how many values are between them.
pub(super) type Buckets = Vec<(f64, u64)>;

impl Page {
    /// Adds counters. The name gets `_total` behind it.
    pub(super) fn counter(
        &mut self,
        name: &'static str,
        help: &'static str,
        samples: impl IntoIterator<Item = (Labels, f64)>,
    ) {
        self.0.push(Family { name, help, samples: Samples::Counters(samples.into_iter().collect()) });
    }

    pub(super) fn gauge(
        &mut self,
        name: &'static str,
        help: &'static str,
        samples: impl IntoIterator<Item = (Labels, f64)>,
    ) {
        self.0.push(Family { name, help, samples: Samples::Gauges(samples.into_iter().collect()) });
    }

    /// Adds histograms whose values are multiples of `unit`.
    pub(super) fn histogram(
        &mut self,
        name: &'static str,
        help: &'static str,
        unit: f64,
        samples: impl IntoIterator<Item = (Labels, Histogram)>,
    ) {
        self.0.push(Family { name, help, samples: Samples::Histograms(samples.into_iter().collect(), unit) });
    }

    /// Adds histograms with bounds of their own, and the sums of their values.
    pub(super) fn durations(
        &mut self,
        name: &'static str,
        help: &'static str,
        samples: impl IntoIterator<Item = (Labels, Buckets, f64)>,
    ) {
        self.0.push(Family { name, help, samples: Samples::Durations(samples.into_iter().collect()) });
    }

    /// Its text and the type of that: in the newer format for those who ask for it.
    pub(super) fn write(self, is_openmetrics: bool) -> Result<(&'static str, String), std::fmt::Error> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        if is_openmetrics {
            text::encode(&mut text, &registry)?;
            Ok(("application/openmetrics-text; version=1.0.0; charset=utf-8", text))
        } else {
            prometheus_text::encode(&mut text, &registry)?;
            Ok(("text/plain; version=0.0.4; charset=utf-8", text))
        }
    }
}

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for Family { name, help, samples } in &self.0 {
            match samples {
                Samples::Counters(samples) => {
                    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
                    for (labels, value) in samples {
                        ConstCounter::new(*value).encode(family.encode_family(labels)?)?;
                    }
                }
                Samples::Gauges(samples) => {
                    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
                    for (labels, value) in samples {
                        ConstGauge::new(*value).encode(family.encode_family(labels)?)?;
                    }
                }
                Samples::Histograms(samples, unit) => {
                    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
                    for (labels, histogram) in samples {
                        let count = histogram.counts().iter().sum();
                        let sum = histogram.sum() as f64 * unit;
                        let mut family = family.encode_family(labels)?;
                        family.encode_histogram::<Labels>(sum, count, &buckets(histogram, *unit), None)?;
                    }
                }
                Samples::Durations(samples) => {
                    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
                    for (labels, buckets, sum) in samples {
                        let count = buckets.iter().map(|(_, count)| count).sum();
                        family.encode_family(labels)?.encode_histogram::<Labels>(*sum, count, buckets, None)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// The bounds and how many values are between them. The last has no bound.
fn buckets(histogram: &Histogram, unit: f64) -> Vec<(f64, u64)> {
    let counts = histogram.counts();
    let bound = |class: usize| if class + 1 == counts.len() { f64::INFINITY } else { (1u64 << class) as f64 * unit };
    counts.iter().enumerate().map(|(class, count)| (bound(class), *count)).collect()
}
