//! What a scrape is answered: families of samples, written in the formats of Prometheus.

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, prometheus_text, text},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};
use rtm_core::{Histogram, Latencies};

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
    /// With the sums of their values.
    Histograms(Vec<(Labels, Buckets, f64)>),
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

    /// Adds histograms of sizes.
    pub(super) fn histogram(
        &mut self,
        name: &'static str,
        help: &'static str,
        samples: impl IntoIterator<Item = (Labels, Histogram)>,
    ) {
        let bounds = (0..Histogram::CLASSES - 1).map(|class| (1u64 << class) as f64).chain([f64::INFINITY]);
        let samples = samples
            .into_iter()
            .map(|(labels, sizes)| (labels, bounds.clone().zip(sizes.counts()).collect(), sizes.sum() as f64));
        self.durations(name, help, samples);
    }

    /// Adds histograms of times.
    pub(super) fn latencies(
        &mut self,
        name: &'static str,
        help: &'static str,
        samples: impl IntoIterator<Item = (Labels, Latencies)>,
    ) {
        let seconds = |micros: u64| micros as f64 / 1e6;
        let bounds = Latencies::BOUNDS.into_iter().map(seconds).chain([f64::INFINITY]);
        let samples = samples
            .into_iter()
            .map(|(labels, times)| (labels, bounds.clone().zip(times.counts()).collect(), seconds(times.micros())));
        self.durations(name, help, samples);
    }

    /// Adds histograms with bounds of their own, and the sums of their values.
    pub(super) fn durations(
        &mut self,
        name: &'static str,
        help: &'static str,
        samples: impl IntoIterator<Item = (Labels, Buckets, f64)>,
    ) {
        self.0.push(Family { name, help, samples: Samples::Histograms(samples.into_iter().collect()) });
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
                Samples::Histograms(samples) => {
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
