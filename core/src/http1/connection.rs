//! The `Connection` field: which options it carries, and which other fields it asks the next hop to drop.
//!
//! A hop must remove every field that `Connection` names (RFC 9110 section 7.6.1). That is how a client could have a header
//! dropped that was set for it (CVE-2025-48865), and with `Content-Length` or `Host` it could have the rest of the message
//! read differently. So options that are not about the connection itself are consumed here: never forwarded.

use smallvec::SmallVec;

use crate::http::fault::EditFault;
use crate::http::token;
use crate::limits::HTTP1_CONNECTION_OPTIONS_MAX;

/// The options of all `Connection` fields of a head.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    pub(crate) close: bool,
    pub(crate) keep_alive: bool,
    pub(crate) te: bool,
    pub(crate) upgrade: bool,
    /// An option stands there that must not go on.
    pub(crate) foreign: bool,
    /// The names that `foreign` options nominate, as spans of the head.
    pub(crate) nominated: SmallVec<[(usize, usize); 4]>,
    count: usize,
}

impl Options {
    /// Adds the options of one field; `value_start` is where `value` begins in the head.
    pub(crate) fn add(&mut self, value: &[u8], value_start: usize) -> Result<(), EditFault> {
        let mut start = value_start;
        for element in value.split(|&byte| byte == b',') {
            let padding = element.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
            let option = token::trim(element);
            if !option.is_empty() {
                self.count += 1;
                if !token::is_token(option) || self.count > HTTP1_CONNECTION_OPTIONS_MAX {
                    return Err(EditFault::ConnectionMalformed);
                }
                self.add_option(option, start + padding)?;
            }
            start += element.len() + 1;
        }
        Ok(())
    }

    fn add_option(&mut self, option: &[u8], start: usize) -> Result<(), EditFault> {
        if token::is_name(option, b"keep-alive") {
            self.keep_alive = true;
        } else if token::is_name(option, b"close") {
            self.close = true;
        } else if token::is_name(option, b"upgrade") {
            self.upgrade = true;
        } else if token::is_name(option, b"te") {
            self.te = true;
        } else if PROTECTED.iter().any(|name| token::folds_to(option, name)) {
            return Err(EditFault::ConnectionNomination);
        } else {
            self.foreign = true;
            self.nominated.push((start, start + option.len()));
        }
        Ok(())
    }
}

/// Fields that say where a message goes, where it ends, or what it is: no honest sender nominates them.
const PROTECTED: &[&[u8]] = &[
    b"authorization",
    b"connection",
    b"content-length",
    b"content-type",
    b"cookie",
    b"host",
    b"origin",
    b"transfer-encoding",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn options(value: &str) -> Result<Options, EditFault> {
        let mut options = Options::default();
        options.add(value.as_bytes(), 0).map(|()| options)
    }

    #[test]
    fn options_of_real_clients_are_not_foreign() {
        for value in [" keep-alive", " Upgrade", "keep-alive, Upgrade", " TE, close", "close", "", " , ,Keep-Alive,,"] {
            assert!(!options(value).unwrap().foreign, "{value}");
        }
        let both = options(" Keep-Alive, upgrade").unwrap();
        assert!(both.keep_alive && both.upgrade && !both.close && !both.te);
    }

    #[test]
    fn h047_nominations_are_found_where_they_stand() {
        let value = " close ,Restrict-Access-To-Tenants, \tx-y";
        let options = options(value).unwrap();
        let names = options.nominated.iter().map(|&(start, end)| &value[start..end]);
        assert!(names.eq(["Restrict-Access-To-Tenants", "x-y"]));
        assert!(options.foreign && options.close);
    }

    #[test]
    fn nominations_that_would_reframe_the_message_are_refused() {
        for value in ["Content-Length", "close, HOST", "transfer_encoding", "Connection"] {
            assert_eq!(options(value).unwrap_err(), EditFault::ConnectionNomination, "{value}");
        }
        for value in ["a b", "a;b", "\"close\"", "cl\u{f6}se"] {
            assert_eq!(options(value).unwrap_err(), EditFault::ConnectionMalformed, "{value}");
        }
        assert_eq!(options(&"x,".repeat(100)).unwrap_err(), EditFault::ConnectionMalformed);
    }
}
