//! `[[listener]]`: where clients arrive that know nothing of the proxy, led by the kernel, by DNS or by a balancer.

use std::net::SocketAddr;

use toml::Spanned;

use super::error::ConfigError;
use super::proxy_protocol::{ProxyProtocol, ProxyProtocolMode, Written};
use super::raw::RawListener;
use super::typed::Source;

/// One transparent listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TransparentListener {
    pub(crate) steering: Steering,
    /// Port 0 is any free port. An IPv6 address takes IPv6 alone: each family has a listener of its own.
    pub(crate) address: SocketAddr,
    /// Whether origins see the client's address instead of the appliance's; the way back must lead through the appliance.
    /// Default: no. For `tproxy`, whose rules lead that way. Needs CAP_NET_ADMIN, and at most 28,000 or so flows of one client to one origin fit.
    pub(crate) keep_source: bool,
    /// Whether connections begin with a PROXY protocol header.
    pub(crate) proxy_protocol: ProxyProtocol,
}

/// How connections are led to a listener, and so what tells their true destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Steering {
    /// nftables `redirect`: the destination is rewritten, and connection tracking remembers the original one.
    Redirect,
    /// nftables `tproxy`: nothing is rewritten, the accepted socket has the destination as its own address. Needs
    /// CAP_NET_ADMIN or CAP_NET_RAW.
    Tproxy,
    /// DNS or a balancer: the client takes the listener for the origin, and the name in its ClientHello is dialled at
    /// `port`. Default: 443.
    Direct { port: u16 },
}

impl Steering {
    /// The word for it in the configuration and on standard output.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Redirect => "redirect",
            Self::Tproxy => "tproxy",
            Self::Direct { .. } => "direct",
        }
    }
}

impl Source<'_> {
    pub(super) fn listeners(&self, raw: Vec<RawListener>) -> Result<Vec<TransparentListener>, ConfigError> {
        let mut listeners: Vec<TransparentListener> = Vec::new();
        for raw in raw {
            let steering = self.steering(&raw)?;
            let address = self.address("listener.address", &raw.address)?;
            if address.port() != 0 && listeners.iter().any(|listener| listener.address == address) {
                return self.refuse(&raw.address, format!("`listener.address`: {address} has a listener already"));
            }
            if listeners.len() >= LISTENERS_MAX {
                return self.refuse(&raw.address, format!("there are more than {LISTENERS_MAX} listeners"));
            }
            let written = Written { mode: raw.proxy_protocol, trusted: raw.trusted, user: raw.proxy_protocol_user };
            let proxy_protocol = self.proxy_protocol("listener", written)?;
            let keep_source = self.keep_source(raw.keep_source, steering, &proxy_protocol)?;
            listeners.push(TransparentListener { steering, address, keep_source, proxy_protocol });
        }
        Ok(listeners)
    }

    fn steering(&self, raw: &RawListener) -> Result<Steering, ConfigError> {
        let steering = match raw.kind.get_ref().as_str() {
            "redirect" => Steering::Redirect,
            "tproxy" => Steering::Tproxy,
            "direct" => {
                let port = raw.port.as_ref().map_or(Ok(HTTPS_PORT), |port| self.port(port))?;
                return Ok(Steering::Direct { port });
            }
            _ => return self.refuse(&raw.kind, "`listener.kind` must be \"redirect\", \"tproxy\" or \"direct\""),
        };
        match &raw.port {
            Some(port) => {
                self.refuse(port, "`listener.port` is for `kind = \"direct\"`: elsewhere the kernel tells it")
            }
            None => Ok(steering),
        }
    }

    fn port(&self, port: &Spanned<u64>) -> Result<u16, ConfigError> {
        match u16::try_from(*port.get_ref()) {
            Ok(number @ 1..) => Ok(number),
            _ => self.refuse(port, "`listener.port` must be from 1 to 65535"),
        }
    }

    /// A source is kept that the kernel vouches for, where the way back is the kernel's too.
    fn keep_source(
        &self,
        written: Option<Spanned<bool>>,
        steering: Steering,
        proxy_protocol: &ProxyProtocol,
    ) -> Result<bool, ConfigError> {
        let Some(keep) = written.filter(|keep| *keep.get_ref()) else { return Ok(false) };
        match steering {
            Steering::Tproxy if proxy_protocol.mode == ProxyProtocolMode::Off => Ok(true),
            Steering::Redirect => self.refuse(
                &keep,
                "`listener.keep_source` needs `kind = \"tproxy\"`, and `penstock-nft apply --mode tproxy`: the rules of redirect \
                 bring no answer to a client's address back here",
            ),
            Steering::Direct { .. } | Steering::Tproxy => {
                self.refuse(&keep, "`listener.keep_source` is for what the kernel leads here, without a PROXY header")
            }
        }
    }
}

/// Each costs a descriptor and the accepts that wait on it, in every shard.
const LISTENERS_MAX: usize = 16;
const HTTPS_PORT: u16 = 443;

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
             [[listener]]\nkind = \"tproxy\"\naddress = \"[::1]:8444\"\nkeep_source = true\n\
             [[listener]]\nkind = \"direct\"\naddress = \"0.0.0.0:443\"\n\
             [[listener]]\nkind = \"direct\"\naddress = \"0.0.0.0:8843\"\nport = 8443\nproxy_protocol = \"required\"\n\
             trusted = [\"10.0.0.0/8\"]\n",
        )
        .unwrap();
        let seen: Vec<_> = read.iter().map(|it| (it.steering, it.address.to_string(), it.keep_source)).collect();
        let expected = [
            (Steering::Redirect, "0.0.0.0:8443", false),
            (Steering::Tproxy, "[::1]:8444", true),
            (Steering::Direct { port: 443 }, "0.0.0.0:443", false),
            (Steering::Direct { port: 8443 }, "0.0.0.0:8843", false),
        ];
        assert_eq!(seen, expected.map(|(steering, address, keep)| (steering, address.to_owned(), keep)));
        let trusts: Vec<_> = read.iter().map(|it| it.proxy_protocol.trusts([10, 1, 2, 3].into())).collect();
        assert_eq!(trusts, [false, false, false, true]);
        assert_eq!(listeners("").unwrap(), []);
    }

    #[test]
    fn a_mistake_is_named_with_its_place() {
        let refused = |text: &str| listeners(text).unwrap_err();
        let entry = |kind: &str, address: &str| format!("[[listener]]\nkind = \"{kind}\"\naddress = \"{address}\"\n");
        assert_eq!(
            refused(&entry("dnat", "0.0.0.0:1")),
            "dataplane.toml:5:8: error: `listener.kind` must be \"redirect\", \"tproxy\" or \"direct\""
        );
        assert!(refused(&entry("tproxy", "8443")).starts_with("dataplane.toml:6:11: error: `listener.address`: "));
        let twice = [entry("tproxy", "0.0.0.0:1"), entry("redirect", "0.0.0.0:1")].concat();
        assert!(
            refused(&twice).starts_with("dataplane.toml:9:11: error: `listener.address`: 0.0.0.0:1 has a listener")
        );
        assert!(refused(&format!("{}spoof = true\n", entry("tproxy", "0.0.0.0:1"))).contains("unknown field `spoof`"));
        let many: String = (1..=17).map(|port| entry("tproxy", &format!("0.0.0.0:{port}"))).collect();
        assert!(refused(&many).contains("more than 16"));
        for (entry, more, said) in [
            (entry("redirect", "0.0.0.0:1"), "port = 443", "7:8: error: `listener.port` is for `kind = \"direct\"`"),
            (entry("direct", "0.0.0.0:1"), "port = 0", "7:8: error: `listener.port`"),
            (entry("direct", "0.0.0.0:1"), "keep_source = true", "7:15: error: `listener.keep_source` is for what"),
            (
                entry("redirect", "0.0.0.0:1"),
                "keep_source = true",
                "7:15: error: `listener.keep_source` needs `kind = \"tproxy\"`, and `penstock-nft apply --mode tproxy`",
            ),
            (entry("tproxy", "0.0.0.0:1"), "proxy_protocol = \"required\"", "7:18: error: `listener.trusted`"),
            (
                entry("tproxy", "0.0.0.0:1"),
                "keep_source = true\nproxy_protocol = \"optional\"\ntrusted = [\"::1\"]",
                "7:15: error: `listener.keep_source`",
            ),
        ] {
            let told = refused(&format!("{entry}{more}\n"));
            assert!(told.starts_with(&format!("dataplane.toml:{said}")), "{told}");
        }
    }
}
