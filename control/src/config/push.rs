//! `[metrics_push]`: a collector that is told the metrics, beside `/metrics`, which is scraped.

use std::path::PathBuf;

use penstock_core::limits::METRICS_PUSH_SECONDS_MIN;
use serde::{Deserialize, Serialize};

use super::ConfigError;
use super::export::CollectorSettings;

/// The `[metrics_push]` table as written.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RawMetricsPush {
    /// `https://HOST[:PORT]/PATH`, mostly `/v1/metrics`: OTLP metrics as JSON over HTTP.
    pub url: String,
    /// Seconds between two messages. Default 60, at least 5.
    pub interval_seconds: Option<u64>,
    /// File with one `Name: value` a line, sent as headers; readable by its owner alone.
    pub headers_file: Option<PathBuf>,
    /// PEM: authorities that are trusted beside those of the operating system.
    pub ca_file: Option<PathBuf>,
    /// Speak in the clear with another host than this one. Default false.
    #[serde(default)]
    pub allow_plaintext: bool,
}

/// The same, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsPush {
    /// Where to.
    pub collector: CollectorSettings,
    /// Seconds between two messages.
    pub interval_seconds: u64,
}

impl TryFrom<RawMetricsPush> for MetricsPush {
    type Error = ConfigError;

    fn try_from(raw: RawMetricsPush) -> Result<Self, ConfigError> {
        let RawMetricsPush { url, interval_seconds, headers_file, ca_file, allow_plaintext } = raw;
        let interval_seconds = interval_seconds.unwrap_or(60);
        if interval_seconds < METRICS_PUSH_SECONDS_MIN {
            return Err(ConfigError::MetricsPush("interval_seconds: must be at least 5"));
        }
        let collector = CollectorSettings::read(&url, "/v1/metrics", headers_file, ca_file, allow_plaintext);
        Ok(Self { collector: collector.map_err(ConfigError::MetricsPush)?, interval_seconds })
    }
}
