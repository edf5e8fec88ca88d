//! The page of metrics while it is being written.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use sockeye::{Counter, Gauge};

/// The page that is being written.
pub(crate) struct Page<'a>(pub(crate) DescriptorEncoder<'a>);

impl Page<'_> {
    /// Counters.
    pub(crate) fn counters(&mut self, all: &[(&str, &str, &Counter)]) -> fmt::Result {
        all.iter().try_for_each(|(name, help, counter)| {
            ConstCounter::new(counter.value()).encode(self.0.encode_descriptor(
                name,
                help,
                None,
                MetricType::Counter,
            )?)
        })
    }

    /// Gauges.
    pub(crate) fn gauges(&mut self, all: &[(&str, &str, &Gauge)]) -> fmt::Result {
        all.iter().try_for_each(|(name, help, gauge)| self.gauge(name, help, gauge.value()))
    }

    /// A gauge.
    pub(crate) fn gauge(&mut self, name: &str, help: &str, value: i64) -> fmt::Result {
        ConstGauge::new(value).encode(self.0.encode_descriptor(name, help, None, MetricType::Gauge)?)
    }

    /// A gauge of bytes.
    pub(crate) fn size(&mut self, name: &str, help: &str, bytes: usize) -> fmt::Result {
        self.gauge(name, help, size(bytes))
    }

    /// A gauge with a label.
    pub(crate) fn gauge_family<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        all: [(&str, i64); N],
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        all.iter()
            .try_for_each(|(value, size)| ConstGauge::new(*size).encode(family.encode_family(&[(label, *value)])?))
    }

    /// A counter with a label.
    pub(crate) fn family<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        all: [(&str, u64); N],
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        all.iter()
            .try_for_each(|(value, count)| ConstCounter::new(*count).encode(family.encode_family(&[(label, *value)])?))
    }
}

/// A number of bytes as a gauge has it.
pub(crate) fn size(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
