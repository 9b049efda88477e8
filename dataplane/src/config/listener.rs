//! `[[listener]]`: where the kernel leads connections of clients that know nothing of the proxy.

use std::net::SocketAddr;

use super::error::ConfigError;
use super::raw::RawListener;
use super::typed::Source;

/// One transparent listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TransparentListener {
    pub(crate) steering: Steering,
    /// Port 0 is any free port. An IPv6 address takes IPv6 alone: each family has a listener of its own.
    pub(crate) address: SocketAddr,
    /// Whether origins see the client's address instead of the appliance's; the way back must lead through the appliance.
    /// Default: no. Needs CAP_NET_ADMIN, and at most 28,000 or so flows of one client to one origin fit.
    pub(crate) keep_source: bool,
}

/// How the kernel leads connections to a listener, and so where it keeps their true destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Steering {
    /// nftables `redirect`: the destination is rewritten, and connection tracking remembers the original one.
    Redirect,
    /// nftables `tproxy`: nothing is rewritten, the accepted socket has the destination as its own address. Needs
    /// CAP_NET_ADMIN or CAP_NET_RAW.
    Tproxy,
}

impl Steering {
    /// The word for it in the configuration and on standard output.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Redirect => "redirect",
            Self::Tproxy => "tproxy",
        }
    }
}

impl Source<'_> {
    pub(super) fn listeners(&self, raw: Vec<RawListener>) -> Result<Vec<TransparentListener>, ConfigError> {
        let mut listeners: Vec<TransparentListener> = Vec::new();
        for raw in raw {
            let steering = match raw.kind.get_ref().as_str() {
                "redirect" => Steering::Redirect,
                "tproxy" => Steering::Tproxy,
                _ => return self.refuse(&raw.kind, "`listener.kind` must be \"redirect\" or \"tproxy\""),
            };
            let address = self.address("listener.address", &raw.address)?;
            if address.port() != 0 && listeners.iter().any(|listener| listener.address == address) {
                return self.refuse(&raw.address, format!("`listener.address`: {address} has a listener already"));
            }
            if listeners.len() >= LISTENERS_MAX {
                return self.refuse(&raw.address, format!("there are more than {LISTENERS_MAX} listeners"));
            }
            let keep_source = raw.keep_source.is_some_and(toml::Spanned::into_inner);
            listeners.push(TransparentListener { steering, address, keep_source });
        }
        Ok(listeners)
    }
}

/// Each costs a descriptor and the accepts that wait on it, in every shard.
const LISTENERS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    const SHORTEST: &str =
        "state_directory = \"state\"\nlisten.proxy = \"127.0.0.1:8080\"\nlink.socket = \"link.sock\"\n";

    fn listeners(text: &str) -> Result<Vec<TransparentListener>, String> {
        let text = format!("{SHORTEST}{text}");
        Config::parse("dataplane.toml", &text).map(|config| config.listeners).map_err(|error| error.to_string())
    }

    #[test]
    fn listeners_are_read() {
        let read = listeners(
            "[[listener]]\nkind = \"redirect\"\naddress = \"0.0.0.0:8443\"\n\
             [[listener]]\nkind = \"tproxy\"\naddress = \"[::1]:8444\"\nkeep_source = true\n",
        );
        let four = "0.0.0.0:8443".parse().unwrap();
        let six = "[::1]:8444".parse().unwrap();
        assert_eq!(
            read.unwrap(),
            [
                TransparentListener { steering: Steering::Redirect, address: four, keep_source: false },
                TransparentListener { steering: Steering::Tproxy, address: six, keep_source: true },
            ]
        );
        assert_eq!(listeners("").unwrap(), []);
    }

    #[test]
    fn a_mistake_is_named_with_its_place() {
        let refused = |text: &str| listeners(text).unwrap_err();
        let entry = |kind: &str, address: &str| format!("[[listener]]\nkind = \"{kind}\"\naddress = \"{address}\"\n");
        assert_eq!(
            refused(&entry("dnat", "0.0.0.0:1")),
            "dataplane.toml:5:8: error: `listener.kind` must be \"redirect\" or \"tproxy\""
        );
        assert!(refused(&entry("tproxy", "8443")).starts_with("dataplane.toml:6:11: error: `listener.address`: "));
        let twice = [entry("tproxy", "0.0.0.0:1"), entry("redirect", "0.0.0.0:1")].concat();
        assert!(
            refused(&twice).starts_with("dataplane.toml:9:11: error: `listener.address`: 0.0.0.0:1 has a listener")
        );
        assert!(refused(&format!("{}spoof = true\n", entry("tproxy", "0.0.0.0:1"))).contains("unknown field `spoof`"));
        let many: String = (1..=17).map(|port| entry("tproxy", &format!("0.0.0.0:{port}"))).collect();
        assert!(refused(&many).contains("more than 16"));
    }
}
