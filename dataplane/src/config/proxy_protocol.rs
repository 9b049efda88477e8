//! `proxy_protocol`, `trusted` and `proxy_protocol_user` of a listener: whose word counts for where a connection comes from.

use std::net::IpAddr;

use ipnet::IpNet;
use penstock_core::proxy::proxy_protocol::TlvKind;
use toml::Spanned;

use super::error::ConfigError;
use super::typed::Source;

/// Whether connections of a listener begin with a PROXY protocol header, and whose headers are believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProxyProtocol {
    /// Default: off.
    pub(crate) mode: ProxyProtocolMode,
    trusted: Vec<IpNet>,
    /// What in a header names the user. Default: nothing.
    pub(crate) user: Option<HeaderUser>,
}

/// What a listener expects ahead of a connection's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ProxyProtocolMode {
    /// Nothing: a header is no request, and refused.
    #[default]
    Off,
    /// Trusted sources may send a header.
    Optional,
    /// Trusted sources must, and nobody else gets in.
    Required,
}

/// What in a header names the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderUser {
    /// The common name of the client's certificate, when the balancer has verified it.
    SslCommonName,
    /// The value of a TLV.
    Tlv(TlvKind),
}

/// The three keys as they are written.
pub(super) struct Written {
    pub(super) mode: Option<Spanned<String>>,
    pub(super) trusted: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) user: Option<Spanned<String>>,
}

impl ProxyProtocol {
    /// Whether a header of `peer` is believed.
    pub(crate) fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(&peer.to_canonical()))
    }
}

impl Source<'_> {
    /// Checks the keys of the listener in `table`.
    pub(super) fn proxy_protocol(&self, table: &str, written: Written) -> Result<ProxyProtocol, ConfigError> {
        let mode = match written.mode.as_ref().map(|mode| (mode, mode.get_ref().as_str())) {
            None | Some((_, "off")) => ProxyProtocolMode::Off,
            Some((_, "optional")) => ProxyProtocolMode::Optional,
            Some((_, "required")) => ProxyProtocolMode::Required,
            Some((mode, _)) => {
                return self
                    .refuse(mode, format!("`{table}.proxy_protocol` must be \"off\", \"optional\" or \"required\""));
            }
        };
        let trusted = match &written.trusted {
            None => Vec::new(),
            Some(list) => list.get_ref().iter().map(|text| self.network(table, text)).collect::<Result<_, _>>()?,
        };
        match (&written.mode, &written.trusted) {
            (Some(place), _) if mode != ProxyProtocolMode::Off && trusted.is_empty() => self.refuse(
                place,
                format!("`{table}.trusted` names no network, so that no header would be believed: list the balancers"),
            ),
            (_, Some(place)) if mode == ProxyProtocolMode::Off => {
                self.refuse(place, format!("`{table}.trusted` means nothing without `{table}.proxy_protocol`"))
            }
            _ => {
                Ok(ProxyProtocol { mode, trusted, user: written.user.map(|user| self.user(table, &user)).transpose()? })
            }
        }
    }

    fn network(&self, table: &str, text: &Spanned<String>) -> Result<IpNet, ConfigError> {
        let written = text.get_ref();
        let network = written.parse().or_else(|_| written.parse::<IpAddr>().map(IpNet::from));
        match network {
            Ok(network) if network.trunc() == network => Ok(network),
            _ => self.refuse(
                text,
                format!(
                    "`{table}.trusted`: `{written}` is no network: write ADDRESS or ADDRESS/BITS without bits beyond"
                ),
            ),
        }
    }

    fn user(&self, table: &str, user: &Spanned<String>) -> Result<HeaderUser, ConfigError> {
        let written = user.get_ref();
        let kind = written.strip_prefix("tlv:").and_then(|kind| match kind.strip_prefix("0x") {
            Some(hex) => u8::from_str_radix(hex, 16).ok(),
            None => kind.parse().ok(),
        });
        match kind.map(TlvKind) {
            Some(kind) if kind.is_custom() => Ok(HeaderUser::Tlv(kind)),
            None if written == "ssl-cn" => Ok(HeaderUser::SslCommonName),
            _ => self.refuse(
                user,
                format!(
                    "`{table}.proxy_protocol_user` must be \"ssl-cn\" or \"tlv:TYPE\" with a type from 0xe0 to 0xff"
                ),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    fn listen(keys: &str) -> Result<ProxyProtocol, String> {
        let text =
            format!("state_directory = \"s\"\nlink.socket = \"l\"\n[listen]\nproxy = \"127.0.0.1:8080\"\n{keys}");
        let config = Config::parse("dataplane.toml", &text).map_err(|error| error.to_string())?;
        Ok(config.listen.proxy_protocol)
    }

    #[test]
    fn keys_are_read() {
        assert_eq!(listen("").unwrap(), ProxyProtocol::default());
        let read = listen(
            "proxy_protocol = \"required\"\ntrusted = [\"10.0.0.0/24\", \"2001:db8::1\"]\nproxy_protocol_user = \"tlv:0xE0\"\n",
        );
        let read = read.unwrap();
        assert_eq!((read.mode, read.user), (ProxyProtocolMode::Required, Some(HeaderUser::Tlv(TlvKind(0xe0)))));
        for (peer, is_trusted) in [
            ("10.0.0.7", true),
            ("::ffff:10.0.0.7", true),
            ("10.0.1.7", false),
            ("2001:db8::1", true),
            ("2001:db8::2", false),
        ] {
            assert_eq!(read.trusts(peer.parse().unwrap()), is_trusted, "{peer}");
        }
        let optional = "proxy_protocol = \"optional\"\ntrusted = [\"::/0\"]\nproxy_protocol_user = \"ssl-cn\"\n";
        assert_eq!(listen(optional).unwrap().user, Some(HeaderUser::SslCommonName));
    }

    #[test]
    fn a_mistake_is_named_with_its_place() {
        for (keys, place, word) in [
            ("proxy_protocol = \"on\"\n", "5:18", "must be \"off\", \"optional\" or \"required\""),
            ("proxy_protocol = \"required\"\n", "5:18", "names no network"),
            ("proxy_protocol = \"required\"\ntrusted = []\n", "5:18", "names no network"),
            ("trusted = [\"10.0.0.1\"]\n", "5:11", "means nothing without"),
            ("proxy_protocol = \"required\"\ntrusted = [\"10.0.0.1/8\"]\n", "6:12", "`10.0.0.1/8` is no network"),
            ("proxy_protocol = \"required\"\ntrusted = [\"balancer\"]\n", "6:12", "`balancer` is no network"),
            (
                "proxy_protocol = \"required\"\ntrusted = [\"10.0.0.1\"]\nproxy_protocol_user = \"tlv:5\"\n",
                "7:23",
                "with a type from 0xe0",
            ),
        ] {
            let said = listen(keys).unwrap_err();
            assert!(said.starts_with(&format!("dataplane.toml:{place}: error: ")) && said.contains(word), "{said}");
        }
    }
}
