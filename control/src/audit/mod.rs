//! Audit events: taking them in from data planes, and giving them out as JSON and CSV, as the report of sign-ins, and as a
//! forecast of what a policy would do.
//!
//! Knows the event's meaning and nothing of HTTP or SQL. Called by `publish` (ingest) and `admin` (the rest).

mod export;
mod forecast;
mod ingest;
mod mask;
pub mod moment;
mod report;

pub(crate) use export::{csv_header, csv_line};
pub(crate) use forecast::{Forecast, Forecaster};
pub(crate) use ingest::read_batch;
pub(crate) use mask::{mask, masked_address, masked_name};
pub(crate) use report::{Column, Dates, Row, report_header, report_line};
