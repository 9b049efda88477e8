//! `[quic]`: where the kernel leads UDP/443, and what becomes of what is refused.

use std::net::SocketAddr;
use std::num::NonZeroU32;

use penstock_core::limits;

use super::error::ConfigError;
use super::raw::RawQuic;
use super::typed::Source;

/// How QUIC is treated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Quic {
    /// Addresses of the listeners; port 0 is any free port. An IPv6 address takes IPv6 alone. Needs CAP_NET_ADMIN.
    pub(crate) listen: Vec<SocketAddr>,
    /// What a client of a refused flow is told. Default: the connection is closed, which needs CAP_NET_BIND_SERVICE.
    pub(crate) refuse: QuicRefusal,
    /// Mark on datagrams of flows that pass, by which the kernel learns them. Default: 0x52.
    pub(crate) mark: NonZeroU32,
    /// Flows that one source may begin in a second on one shard; further datagrams are dropped, and their client takes TCP.
    /// Addresses of one /64 of IPv6 are one source. Default: 500. Of one source 1,024 may wait for
    /// the rest of their hello in a shard, of all together 2,048.
    pub(crate) flows_per_second_and_source: usize,
}

/// What a client of a refused flow is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QuicRefusal {
    /// That the server refuses the connection: it takes TCP at once. The answer is a twentieth of what it answers.
    Close,
    /// Nothing: it takes TCP when it has waited long enough.
    Drop,
}

impl Source<'_> {
    pub(super) fn quic(&self, raw: RawQuic) -> Result<Quic, ConfigError> {
        if raw.listen.get_ref().is_empty() || raw.listen.get_ref().len() > LISTENERS_MAX {
            return self.refuse(&raw.listen, format!("`quic.listen` must name 1 to {LISTENERS_MAX} addresses"));
        }
        let addresses = raw.listen.get_ref().iter();
        let listen = addresses.map(|address| self.address("quic.listen", address)).collect::<Result<_, _>>()?;
        let refuse = match raw.refuse {
            None => QuicRefusal::Close,
            Some(word) => match word.get_ref().as_str() {
                "close" => QuicRefusal::Close,
                "drop" => QuicRefusal::Drop,
                _ => return self.refuse(&word, "`quic.refuse` must be \"close\" or \"drop\""),
            },
        };
        let mark = match raw.mark {
            None => MARK,
            Some(mark) => match u32::try_from(*mark.get_ref()).ok().and_then(NonZeroU32::new) {
                Some(mark) => mark,
                None => return self.refuse(&mark, format!("`quic.mark` must be between 1 and {}", u32::MAX)),
            },
        };
        let per_source = raw.flows_per_second_and_source_max.as_ref();
        let per_source =
            self.count("quic.flows_per_second_and_source_max", per_source, limits::UDP_WAITING_PER_SHARD_MAX)?;
        let flows_per_second_and_source = per_source.unwrap_or(limits::UDP_NEW_FLOWS_PER_SOURCE_MAX);
        Ok(Quic { listen, refuse, mark, flows_per_second_and_source })
    }
}

/// 0x52, made without a case that cannot be.
const MARK: NonZeroU32 = NonZeroU32::MIN.saturating_add(0x51);
/// Each costs a descriptor in every shard.
const LISTENERS_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    fn quic(text: &str) -> Result<Option<Quic>, String> {
        let shortest = "state_directory = \"state\"\nlisten.proxy = \"127.0.0.1:8080\"\nlink.socket = \"link.sock\"\n";
        let config = Config::parse("dataplane.toml", &format!("{shortest}{text}"));
        config.map(|config| config.quic).map_err(|error| error.to_string())
    }

    #[test]
    fn the_section_is_read() {
        assert_eq!(quic("").unwrap(), None);
        let listen: Vec<SocketAddr> = vec!["0.0.0.0:8443".parse().unwrap(), "[::]:8443".parse().unwrap()];
        let read = quic("[quic]\nlisten = [\"0.0.0.0:8443\", \"[::]:8443\"]\n").unwrap().unwrap();
        assert_eq!(read, Quic { listen, refuse: QuicRefusal::Close, mark: MARK, flows_per_second_and_source: 500 });
        let more = "refuse = \"drop\"\nmark = 7\nflows_per_second_and_source_max = 9\n";
        let read = quic(&format!("[quic]\nlisten = [\"0.0.0.0:1\"]\n{more}")).unwrap().unwrap();
        assert_eq!((read.refuse, read.mark.get(), read.flows_per_second_and_source), (QuicRefusal::Drop, 7, 9));
    }

    #[test]
    fn a_mistake_is_named_with_its_place() {
        let refused = |text: &str| quic(&format!("[quic]\n{text}")).unwrap_err();
        assert!(refused("listen = []\n").starts_with("dataplane.toml:5:10: error: `quic.listen` must name 1 to 8"));
        assert!(refused("listen = [\"8443\"]\n").starts_with("dataplane.toml:5:11: error: `quic.listen`"));
        assert!(refused("listen = [\"[::]:1\"]\nrefuse = \"icmp\"\n").contains(":6:10: error: `quic.refuse` must be"));
        assert!(refused("listen = [\"[::]:1\"]\nmark = 0\n").contains(":6:8: error: `quic.mark` must be"));
        assert!(refused("refuse = \"drop\"\n").contains("listen"));
        let none = refused("listen = [\"[::]:1\"]\nflows_per_second_and_source_max = 0\n");
        assert!(
            none.contains(":6:35: error: `quic.flows_per_second_and_source_max` must be between 1 and 2048"),
            "{none}"
        );
    }
}
